"""A link lives through bad frames, and says so in time when its far end does not live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.transport.agents import odd_agent
from tests.transport.conftest import Eventually, Host
from tests.transport.sshd import Cable
from warlock_agent.model import Authority, DesiredHost
from warlock_agent.wire import Fault, Sample
from warlock_operator.errors import (
    AgentFailed,
    HostTimeout,
    HostUnreachable,
    StaleLeader,
    SystemdUnreachable,
)
from warlock_operator.transport.zipapp import agent_archive

AUTHORITY = Authority("owner", 1, "holder", "host-uid")
SYSTEMD_IS_HERE = Path("/run/systemd/system").is_dir()
NOTHING = DesiredHost("host-a", ("/opt",))


def odd(host: Host, tmp_path: Path, body: str) -> None:
    """Have the host run an agent that greets, and treats each frame as *body* says."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    main = (
        "send(HELLO)\nfor frame in frames():\n"
        "    if isinstance(frame, wire.Ping):\n        send(wire.Pong(0))\n        continue\n"
        + lines
    )
    host.archive = odd_agent(tmp_path / "odd-one", main)


async def test_one_question_is_one_round_trip(host: Host) -> None:
    link = await host.opened()
    before = replace(link.counters)  # type: ignore[type-var]
    for _ in range(5):
        await link.observe()
    assert link.counters.requests - before.requests == 5
    assert link.counters.round_trips - before.round_trips == 5


async def test_round_trip_times_are_told(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    link = await host.opened()
    connected = clock() - started
    await link.close()
    started = clock()
    link = await host.opened()
    again = clock() - started
    started = clock()
    for _ in range(100):
        await link.observe()
    each = (clock() - started) / 100
    with capsys.disabled():
        print(
            f"\n  first connection {connected * 1000:.0f} ms, next {again * 1000:.0f} ms, "
            f"round trip {each * 1000:.2f} ms (client, server and agent on this machine)"
        )
    assert link.counters.round_trips == 100


async def test_a_request_that_the_agent_does_not_know_fails_and_the_channel_lives(
    host: Host,
) -> None:
    link = await host.opened()
    with pytest.raises(AgentFailed, match="UnknownRequest"):
        await link.converge(AUTHORITY, NOTHING)
    assert (await link.observe()).machine_id == "stub"


async def test_a_fault_becomes_the_error_of_its_name(host: Host, tmp_path: Path) -> None:
    odd(host, tmp_path, 'send(wire.Fault(frame.request, "StaleLeader", "token 1 is old"))')
    link = await host.opened()
    with pytest.raises(StaleLeader, match="token 1 is old"):
        await link.converge(AUTHORITY, NOTHING)


async def test_an_answer_that_is_no_frame_fails_its_request_and_the_channel_lives(
    host: Host, tmp_path: Path
) -> None:
    odd(
        host,
        tmp_path,
        """
if frame.request == 1:
    raw(b'{"frame":"State","request":1,"observed":7}' + bytes([10]))
elif frame.request == 2:
    raw(b'this is no JSON' + bytes([10]))
else:
    send(wire.State(frame.request, HELLO.observed))
""",
    )
    link = await host.opened()
    with pytest.raises(AgentFailed, match="observed"):
        await link.observe()
    with pytest.raises(AgentFailed, match="not JSON"):
        await link.observe()
    assert (await link.observe()).machine_id == "stub"


async def test_an_oversized_frame_fails_what_waits_and_the_channel_lives(
    host: Host, tmp_path: Path
) -> None:
    odd(
        host,
        tmp_path,
        """
if frame.request == 1:
    raw(b"x" * 100_000 + bytes([10]))
else:
    send(wire.State(frame.request, HELLO.observed))
""",
    )
    host.settings = replace(host.settings, frame_bytes=50_000)
    link = await host.opened()
    with pytest.raises(AgentFailed, match="more than 50000 bytes"):
        await link.observe()
    assert (await link.observe()).machine_id == "stub"


async def test_frames_arrive_whole_in_whatever_pieces_they_come(host: Host, tmp_path: Path) -> None:
    odd(
        host,
        tmp_path,
        """
for byte in wire.encode(wire.State(frame.request, HELLO.observed)):
    raw(bytes([byte]))
""",
    )
    link = await host.opened()
    assert (await link.observe()).machine_id == "stub"


async def test_half_a_frame_and_then_the_end_is_a_failed_agent(host: Host, tmp_path: Path) -> None:
    odd(
        host,
        tmp_path,
        """
raw(wire.encode(wire.State(frame.request, HELLO.observed))[:20])
print("disk on fire", file=sys.stderr)
return 3
""",
    )
    link = await host.opened()
    with pytest.raises(AgentFailed, match=r"status 3.*disk on fire"):
        await link.observe()
    async with asyncio.timeout(5):
        assert isinstance(await host.ends.lost.get(), AgentFailed)


async def test_frames_that_nobody_asked_for_are_handed_on(host: Host, tmp_path: Path) -> None:
    odd(
        host,
        tmp_path,
        """
send(wire.Sample(1))
send(wire.Fault(0, "BadFrame", "what?"))
send(wire.State(frame.request, HELLO.observed))
""",
    )
    link = await host.opened()
    await link.observe()
    assert host.ends.frames == [Sample(1), Fault(0, "BadFrame", "what?")]


async def test_a_killed_agent_is_a_lost_link(host: Host) -> None:
    link = await host.opened()
    host.sshd.kill_agents()
    async with asyncio.timeout(5):
        error = await host.ends.lost.get()
    assert isinstance(error, AgentFailed)
    assert "signal" in error.message
    with pytest.raises(AgentFailed):
        await link.observe()
    await host.opened()  # the next link is a new one


async def test_a_lost_link_leaves_no_connection_behind(host: Host) -> None:
    await host.opened()
    (connection,) = host.sshd.connections
    host.sshd.kill_agents()
    async with asyncio.timeout(5):
        await host.ends.lost.get()
        await connection.wait_closed()  # nobody has called the link's close


async def test_a_question_is_failed_by_the_loss_of_its_link(host: Host, tmp_path: Path) -> None:
    odd(host, tmp_path, "pass")
    link = await host.opened()
    asking = asyncio.ensure_future(link.observe())
    await asyncio.sleep(0)
    host.sshd.cut()
    with pytest.raises(HostUnreachable):
        await asking
    async with asyncio.timeout(5):
        assert isinstance(await host.ends.lost.get(), HostUnreachable)
    await host.sshd.wait_for_agents_to_end()


async def test_a_late_answer_is_nobodys_and_the_channel_lives(host: Host, tmp_path: Path) -> None:
    odd(
        host,
        tmp_path,
        """
import time
time.sleep(0.5 if frame.request == 1 else 0)
send(wire.State(frame.request, HELLO.observed))
""",
    )
    host.settings = replace(host.settings, request_timeout_seconds=0.2)
    link = await host.opened()
    with pytest.raises(HostTimeout):
        await link.observe()
    host.settings = replace(host.settings, request_timeout_seconds=5)
    async with asyncio.timeout(5):
        while True:
            try:
                assert (await link.observe()).machine_id == "stub"
                break
            except HostTimeout:
                continue
    assert host.ends.lost.empty()


async def test_an_agent_that_can_not_look_at_its_host_says_why(host: Host, tmp_path: Path) -> None:
    host.archive = odd_agent(
        tmp_path / "blind", 'send(wire.Fault(0, "SystemdUnreachable", "no bus"))\nreturn 1'
    )
    with pytest.raises(SystemdUnreachable, match="no bus"):
        await host.link().open()
    assert host.ends.lost.empty(), "a link that was never open is not lost"


async def test_the_real_agent_starts_from_its_archive_alone(host: Host) -> None:
    """Without systemd it can't serve; that it says so takes all of its modules."""
    if SYSTEMD_IS_HERE:
        host.archive = agent_archive()
        assert (await (await host.opened()).observe()).machine_id
        return
    host.archive = agent_archive()
    with pytest.raises(SystemdUnreachable):
        await host.link().open()


# --- the far end is gone ----------------------------------------------------------------------


@pytest.fixture
async def cable(host: Host) -> AsyncIterator[Cable]:
    made = Cable(host.sshd.port)
    await made.start()
    host.retarget(port=made.port)
    host.settings = replace(host.settings, ping_seconds=0.1, ping_timeout_seconds=0.5)
    yield made
    await made.stop()


async def test_a_quiet_link_lives_on_its_pings(
    host: Host, cable: Cable, eventually: Eventually
) -> None:
    link = await host.opened()
    twice_the_silence = link.counters.pings + 10
    await eventually(lambda: link.counters.pings >= twice_the_silence)
    assert host.ends.lost.empty()
    assert (await link.observe()).machine_id == "stub"


async def test_a_pulled_cable_is_seen_though_nobody_tells(host: Host, cable: Cable) -> None:
    link = await host.opened()
    started = asyncio.get_running_loop().time()
    cable.pull()
    with pytest.raises(HostUnreachable, match="nothing was heard"):
        await link.observe()
    assert 0.4 < asyncio.get_running_loop().time() - started < 4
    assert isinstance(host.ends.lost.get_nowait(), HostUnreachable)


async def test_closing_a_dead_link_does_not_hang(host: Host, cable: Cable) -> None:
    host.settings = replace(host.settings, ping_seconds=60.0, ping_timeout_seconds=60.0)
    link = await host.opened()
    cable.pull()
    asking = asyncio.ensure_future(link.observe())
    await asyncio.sleep(0)
    async with asyncio.timeout(3):
        await link.close()
        await link.close()
    with pytest.raises(HostUnreachable):
        await asking
    assert host.ends.lost.empty(), "who closes a link does not lose it"


async def test_bytes_that_can_not_leave_do_not_hold_up_the_close(host: Host, cable: Cable) -> None:
    host.settings = replace(host.settings, ping_seconds=60.0, ping_timeout_seconds=60.0)
    link = await host.opened()
    cable.pull()
    asking = asyncio.ensure_future(link.exchange("UDP", 1, b"x" * 1_400_000, 60.0))
    await asyncio.sleep(0)
    async with asyncio.timeout(3):
        await link.close()
    with pytest.raises(HostUnreachable):
        await asking


async def test_a_host_that_says_nothing_at_all_is_unreachable_in_time(
    host: Host, cable: Cable
) -> None:
    cable.pull()
    host.settings = replace(host.settings, connect_timeout_seconds=0.3)
    with pytest.raises(HostUnreachable, match=r"within 0\.3 s"):
        await host.link().open()


async def test_closing_ends_the_agent(host: Host) -> None:
    link = await host.opened()
    await link.close()
    await host.sshd.wait_for_agents_to_end()
    with pytest.raises(HostUnreachable):
        await link.observe()


async def test_opening_can_be_cancelled_and_leaves_nothing(
    host: Host, tmp_path: Path, eventually: Eventually
) -> None:
    host.archive = odd_agent(tmp_path / "mute", "for frame in frames():\n    pass")
    opening = asyncio.ensure_future(host.link().open())
    await eventually(lambda: bool(host.sshd.running))
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await host.sshd.wait_for_agents_to_end()
