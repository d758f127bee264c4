"""The real agent, over real sshd, as root and by sudo, on each suite."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from labkit.host import Host
from tests.transport.conftest import Ends, Eventually
from tests.transport.on_host.conftest import MakeLink, target_of
from warlock_agent.model import Authority, DesiredHost
from warlock_agent.names import AGENT_DIR
from warlock_operator.errors import (
    AgentFailed,
    HostKeyMismatch,
    HostUnreachable,
    OperatorError,
    SudoDenied,
)
from warlock_operator.transport.zipapp import agent_archive

AUTHORITY = Authority("owner", 1, "holder", "host-uid")
KILL = """
for process in /proc/[0-9]*; do
  tr '\\0' ' ' < $process/cmdline 2>/dev/null | grep -q '^[^ ]*python3.*pyz serve' || continue
  kill -9 ${process#/proc/}
done
"""
USERS = ("root", "warlock")


def agents(machine: Host) -> list[str]:
    """Command lines of the agents that run there; sudo's own among them."""
    found = machine.run(["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; echo"])
    return [one for one in found.stdout.split("python3 ") if ".pyz serve" in one]


@pytest.mark.parametrize("user", USERS)
async def test_the_agent_serves_through_a_noisy_login(
    machine: Host,
    make_link: MakeLink,
    user: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "warlock_operator")
    clock = asyncio.get_running_loop().time
    started = clock()
    link = make_link(target_of(machine, user))
    hello = await link.open()
    connected = clock() - started
    started = clock()
    for _ in range(20):
        await link.observe()
    each = (clock() - started) / 20
    with capsys.disabled():
        pushed = link.counters.pushed_bytes
        print(
            f"\n  {machine.name} as {user}: hello after {connected * 1000:.0f} ms "
            f"({pushed} bytes pushed), observe {each * 1000:.1f} ms"
        )
    assert any(f"Welcome to {machine.name}" in str(vars(one)) for one in caplog.records)
    assert hello.digest == agent_archive().digest
    assert hello.observed.machine_id == machine.machine_id
    assert link.counters.round_trips == 20


async def test_the_agent_is_pushed_once_a_machine_and_is_roots(
    machine: Host, make_link: MakeLink
) -> None:
    machine.run(["rm", "-rf", AGENT_DIR])
    first = make_link(target_of(machine, "warlock"))
    await first.open()
    await first.close()
    second = make_link(target_of(machine))
    await second.open()

    assert first.counters.pushed_bytes == len(agent_archive().data)
    assert second.counters.pushed_bytes == 0
    shown = machine.run(["stat", "-c", "%U %a %n", AGENT_DIR, f"{AGENT_DIR}/"]).stdout
    assert shown.splitlines()[0] == f"root 700 {AGENT_DIR}"
    listed = machine.run(["sh", "-c", f"stat -c '%U %a %n' {AGENT_DIR}/*"]).stdout
    assert listed == f"root 500 {AGENT_DIR}/{agent_archive().digest}.pyz\n"
    assert machine.run(["stat", "-c", "%a", "/var/lib/warlock"]).stdout == "755\n"


@pytest.mark.parametrize("user", USERS)
async def test_a_pass_over_an_empty_host_is_one_round_trip(
    machine: Host, make_link: MakeLink, user: str
) -> None:
    link = make_link(target_of(machine, user))
    await link.open()
    before = link.counters.round_trips
    report = await link.converge(AUTHORITY, DesiredHost(machine.name, ("/opt",)))
    assert report.refusals == ()
    assert report.observed.ledger.owner == "owner"
    assert link.counters.round_trips == before + 1


@pytest.mark.parametrize("user", USERS)
async def test_a_closed_link_leaves_no_agent_behind(
    machine: Host, make_link: MakeLink, user: str, eventually: Eventually
) -> None:
    link = make_link(target_of(machine, user))
    await link.open()
    assert agents(machine)
    await link.close()
    await eventually(lambda: not agents(machine))


async def test_a_killed_agent_is_a_lost_link_and_the_next_one_works(
    machine: Host, make_link: MakeLink, ends: Ends
) -> None:
    await make_link(target_of(machine, "warlock")).open()
    machine.run(["sh", "-c", KILL])
    async with asyncio.timeout(10):
        assert isinstance(await ends.lost.get(), AgentFailed)
    hello = await make_link(target_of(machine)).open()
    assert hello.observed.machine_id == machine.machine_id


async def test_another_machines_key_is_refused(
    machine: Host, machines: dict[str, Host], make_link: MakeLink
) -> None:
    other = next(one for one in machines.values() if one is not machine)
    wrong = replace(target_of(machine), host_keys=(other.host_key,))
    with pytest.raises(HostKeyMismatch):
        await make_link(wrong).open()


async def test_an_unplugged_machine_is_lost_and_closing_does_not_hang(
    machine: Host, make_link: MakeLink, ends: Ends, eventually: Eventually
) -> None:
    link = make_link(target_of(machine))
    await link.open()
    machine.unplug()
    try:
        async with asyncio.timeout(10):
            error: OperatorError = await ends.lost.get()
        assert isinstance(error, HostUnreachable)
        async with asyncio.timeout(5):
            await link.close()
    finally:
        machine.plug()
    await make_link(target_of(machine)).open()


async def test_sudo_without_a_rule_is_denied_with_what_to_do(
    machine: Host, make_link: MakeLink
) -> None:
    rule = "/etc/sudoers.d/"
    machine.run(["sh", "-c", f"mkdir -p /root/kept && mv {rule}* /root/kept/"])
    try:
        with pytest.raises(SudoDenied, match="NOPASSWD"):
            await make_link(target_of(machine, "warlock")).open()
    finally:
        machine.run(["sh", "-c", f"mv /root/kept/* {rule}"])


async def test_a_user_without_sudo_can_not_become_the_agent(
    machine: Host, make_link: MakeLink
) -> None:
    plain = replace(target_of(machine, "warlock"), become="None")
    with pytest.raises(AgentFailed, match=r"Permission denied|can be written by others"):
        await make_link(plain).open()
