"""A connection that died halfway: the machine is served by a new agent, and by one alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.e2e.conftest import wait_host
from tests.e2e.world import Machine, Namespace, wait_for

LIMIT_SECONDS = 60.0


@pytest.fixture
def line(machine: Machine, namespace: Namespace) -> Iterator[Machine]:
    """A machine with an instance on it, whose connections are to be cut; mended afterwards."""
    namespace.instance("arena")
    namespace.wait_running("arena")
    yield machine
    machine.run("nft", "delete", "table", "inet", "cut", check=False)


@pytest.mark.parametrize("way", ["both", "to the machine", "from the machine"])
def test_a_half_open_connection_leaves_no_second_agent_after_a_minute(
    line: Machine, operator: Operator, kubectl: Kubectl, way: str
) -> None:
    (before,) = wait_for(lambda: alone(line), 30.0, "one agent serves", lambda: agents(line))
    pid = line.main_pid()
    cut(line, way)
    began = time.monotonic()
    wait_for(
        lambda: alone(line) - {before},
        LIMIT_SECONDS,
        "one agent is left, and it is a new one",
        lambda: sorted(agents(line)),
    )
    print(f"cut {way}: one agent again after {time.monotonic() - began:.1f} s")
    wait_host(kubectl, line.name)
    assert line.main_pid() == pid


def agents(machine: Machine) -> set[int]:
    """Give the processes of agents that serve."""
    said = machine.run("pgrep", "-f", r"^[^ ]*python3 -I -S /var/lib/warlock/agent/", check=False)
    return {int(pid) for pid in said.split()}


def alone(machine: Machine) -> set[int]:
    """Likewise, where it is one; else nothing."""
    found = agents(machine)
    return found if len(found) == 1 else set()


def cut(machine: Machine, way: str) -> None:
    """Drop the packets of the connections that are there; new ones get through."""
    said = machine.run("ss", "-Htn", "state", "established", "sport = :22")
    ports = {line.split()[-1].rpartition(":")[2] for line in said.splitlines()}
    assert ports
    rules = ["table inet cut {"]
    for hook, field in (("input", "sport"), ("output", "dport")):
        if way in ("both", {"input": "to the machine", "output": "from the machine"}[hook]):
            drop = f"tcp {field} {{ {', '.join(sorted(ports))} }} drop"
            rules.append(f"chain {hook} {{ type filter hook {hook} priority 0; {drop}; }}")
    machine.host.run(["nft", "-f", "-"], stdin="\n".join([*rules, "}"]))
