"""
Who may write to a machine: two clusters, and two operators of one.

The machine is this module's own, since its ownership moves.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from demokit import demo
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit import paths
from labkit.errors import LabError
from labkit.lab import Lab
from tests import labs
from tests.conftest import QUICK, MakeHost, MakeOperator
from tests.e2e import scenes
from tests.e2e.conftest import declare, empty_namespace, make_namespace, remove_objects, wait_host
from tests.e2e.world import (
    Machine,
    Namespace,
    Object,
    condition,
    is_true,
    reason,
    wait_for,
)
from warlock_agent import wire
from warlock_agent.model import Authority, DesiredHost, Ledger, RemovedInstance
from warlock_agent.wire import Converge, Fault, FrameReader, Hello

NAME = "owned"
SILENCE_SECONDS = 30.0
REFUSED = "OwnedByAnother"


@dataclass(frozen=True)
class Side:
    """One cluster: its kubectl, its operator, and a namespace in it."""

    kubectl: Kubectl
    operator: Operator
    namespace: Namespace

    @property
    def owner(self) -> str:
        """What its operator calls itself on machines."""
        return str(self.kubectl.get("namespace", "kube-system")["metadata"]["uid"])

    def host(self) -> Object:
        """Give the machine's GameHost."""
        found: Object = self.kubectl.get("gamehost", NAME)
        return found

    def annotate(self, **values: str) -> None:
        """Set ``warlock.dev/<key>`` annotations on the GameHost, ``_`` for ``-``."""
        words = [f"warlock.dev/{key.replace('_', '-')}={text}" for key, text in values.items()]
        self.kubectl("annotate", "--overwrite", "gamehost", NAME, *words)

    def wait_host(self, why: str, seconds: float = 30.0) -> Object:
        """Give the GameHost once its Ready condition has that reason."""
        wait_for(lambda: reason(self.host()) == why, seconds, f"GameHost: {why}", self.host)
        return self.host()

    def refusals(self) -> int:
        """How often its operator has logged that the machine belongs to another."""
        return self.operator.log.read_text().count(f'"reason": "{REFUSED}"')


@pytest.fixture(scope="module")
def machine(lab_hosts: MakeHost) -> Machine:
    """A machine that is to have one owner."""
    return Machine(lab_hosts(NAME))


@pytest.fixture(scope="module")
def home(kubectl: Kubectl, machine: Machine, operator_process: MakeOperator) -> Iterator[Side]:
    """The cluster that has the machine first, with an instance that runs there."""
    kubectl("apply", "-k", paths.REPOSITORY / "manifests/games")
    declare(kubectl, machine)
    side = Side(kubectl, operator_process(), make_namespace(kubectl))
    wait_host(kubectl, NAME)
    side.namespace.instance("arena", NAME)
    side.namespace.wait_running("arena")
    yield side
    side.operator.start()
    side.operator.wait_ready()
    empty_namespace(side.namespace)
    kubectl("delete", "gamehosts", "--all", "--timeout=60s")
    side.operator.stop()
    remove_objects(kubectl)


@pytest.fixture(scope="module")
def rival(lab: Lab, home: Side, machine: Machine) -> Iterator[Side]:
    """Another cluster whose admin has declared the same machine."""
    with labs.second_cluster(lab) as other:
        assert other.cluster is not None
        kubectl = Kubectl(other.cluster.kubectl, other.kubeconfig)
        demo.install(other, kubectl)
        remove_objects(kubectl)
        kubectl("apply", "-k", paths.REPOSITORY / "manifests/games")
        declare(kubectl, machine)
        side = Side(kubectl, Operator(other, kubectl), make_namespace(kubectl))
        side.operator.start(QUICK)
        side.operator.wait_ready()
        yield side
        side.operator.stop()


def ledger(machine: Machine) -> Ledger:
    """Read the machine's record."""
    found = json.loads(machine.read(f"{scenes.LEDGER}/ledger.json"))["ledger"]
    made = wire.from_plain(Ledger, found, "ledger")
    assert isinstance(made, Ledger)
    return made


def whole(machine: Machine) -> tuple[dict[str, str], dict[str, int], Ledger, int]:
    """Everything on the machine that an operator could have changed."""
    return machine.managed(), machine.main_pids(), ledger(machine), scenes.reloads(machine)


# --- two clusters -----------------------------------------------------------------------------


def test_the_second_cluster_is_refused_told_whose_it_is_and_never_fights(
    home: Side, rival: Side, machine: Machine
) -> None:
    before = whole(machine)
    found = rival.wait_host(REFUSED)
    assert home.owner in condition(found, "Ready")["message"]
    assert "warlock.dev/take-over" in condition(found, "Ready")["message"]
    assert is_true(found, "Stalled")
    rival.namespace.instance("greedy", NAME, instance_id="550e8400-e29b-41d4-a716-446655440000")
    stalled = rival.namespace.wait_stalled("greedy", REFUSED)
    assert home.owner in condition(stalled, "Stalled")["message"]
    # Whatever makes it look again, it is refused again and has changed nothing.
    for number in range(3):
        seen = rival.refusals()
        rival.annotate(reconcile=f"again-{number}")
        wait_for(lambda seen=seen: rival.refusals() > seen, 30.0, "it was refused again")
    rival.namespace.delete("greedy", wait_seconds=0)
    rival.namespace.annotate("greedy", force_delete="true")
    rival.namespace.wait("greedy", lambda found: not found, "it is let go")
    assert whole(machine) == before
    assert reason(home.host()) == "AsDeclared"


def test_a_deletion_in_the_refused_cluster_takes_nothing_and_can_be_let_go(
    home: Side, rival: Side, machine: Machine
) -> None:
    before = whole(machine)
    # Of the very names that the machine's owner uses.
    rival.kubectl("create", "namespace", home.namespace.name)
    twin = Namespace(home.namespace.name, rival.kubectl)
    twin.instance("arena", NAME)
    twin.wait_stalled("arena", REFUSED)
    # Without it there is nothing to wait for: not a byte has been sent.
    twin.wait("arena", lambda found: found["metadata"].get("finalizers"), "it is held")
    twin.delete("arena", wait_seconds=0)
    waiting = twin.wait("arena", lambda found: reason(found) == REFUSED, "it waits")
    assert "force-delete" in condition(waiting, "Ready")["message"]
    twin.annotate("arena", force_delete="true")
    twin.wait("arena", lambda found: not found, "it is gone")
    assert whole(machine) == before


def test_a_take_over_moves_the_machine_once_and_stops_nothing(
    home: Side, rival: Side, machine: Machine
) -> None:
    pids = machine.main_pids()
    rival.annotate(take_over=f"{home.owner}/first")
    rival.wait_host("AsDeclared")
    assert ledger(machine).owner == rival.owner
    # What the former owner runs there is an orphan to the new one, and runs on.
    wait_for(lambda: rival.host()["status"].get("orphans"), 30.0, "the orphan is listed")
    (orphan,) = rival.host()["status"]["orphans"]
    assert (orphan["namespace"], orphan["name"]) == (home.namespace.name, "arena")
    assert {unit: pid for unit, pid in machine.main_pids().items() if unit in pids} == pids

    home.annotate(reconcile="displaced")
    assert rival.owner in condition(home.wait_host(REFUSED), "Ready")["message"]
    home.namespace.wait_stalled("arena", REFUSED)
    assert ledger(machine).owner == rival.owner

    home.annotate(take_over=f"{rival.owner}/back")
    home.wait_host("AsDeclared")
    home.namespace.wait_running("arena")
    # The other one's annotation still stands, and has been used.
    rival.annotate(reconcile="displaced")
    found = rival.wait_host(REFUSED)
    assert "used before" in condition(found, "Ready")["message"]
    assert ledger(machine).owner == home.owner
    assert {unit: pid for unit, pid in machine.main_pids().items() if unit in pids} == pids


# --- two operators of one cluster -------------------------------------------------------------


def test_an_operator_that_slept_through_its_lease_changes_nothing_when_it_wakes(
    home: Side, machine: Machine, operator_process: MakeOperator
) -> None:
    old = home.operator
    sleeper, token = old.pid, ledger(machine).token
    second = operator_process(name="second", wait=False)
    try:
        old.pause()
        second.wait_ready()
        wait_for(lambda: ledger(machine).token > token, 30.0, "the new leader was there")
        # The sleeper will find these in its watch before it finds out that it leads no more.
        home.namespace.patch("arena", {"spec": {"instance_name": "By the new leader"}})
        home.namespace.annotate("arena", restart="by-the-new-leader")
        scenes.until_passed(machine, "default", "by-the-new-leader")
        home.namespace.wait_running("arena")
        before = whole(machine)
        old.resume()
        wait_for(lambda: _pid(old) not in (0, sleeper), 30.0, "the sleeper has ended itself")
        assert "leadership lost" in old.log.read_text()
        assert whole(machine) == before
        home.namespace.annotate("arena", reconcile="after-it-woke")
        scenes.until_passed(machine, "default", "after-it-woke")
        assert ledger(machine).token == before[2].token
        assert (machine.managed(), machine.main_pids()) == before[:2]
    finally:
        if _pid(old) == sleeper:
            old.resume()
        second.stop()
        old.wait_ready()
    wait_host(home.kubectl, NAME)


def _pid(operator: Operator) -> int:
    """Its process; 0 between two of them."""
    try:
        return operator.pid
    except LabError:
        return 0


def test_a_frame_that_was_half_sent_by_a_former_leader_is_refused(
    home: Side, machine: Machine
) -> None:
    """The rest of it arrives after another has become leader, and would have removed the game."""
    before = ledger(machine)
    (entry,) = (each for each in before.instances if each.namespace == home.namespace.name)
    removed = RemovedInstance(entry.guid, entry.instance_id, entry.uid, entry.namespace, entry.name)
    former = Authority(before.owner, before.token, before.holder, before.host_uid)
    frame = wire.encode(Converge(7, former, DesiredHost(NAME, ("/opt",), remove=(removed,)), 10))
    pids = machine.main_pids()
    with agent(machine) as peer:
        assert isinstance(peer.frame(), Hello)
        peer.send(frame[: len(frame) // 2])
        began = time.monotonic()
        home.operator.kill()
        wait_for(lambda: ledger(machine).token > before.token, 60.0, "another leader was there")
        assert time.monotonic() - began < SILENCE_SECONDS - 5, "the agent would have ended by now"
        kept = whole(machine)
        peer.send(frame[len(frame) // 2 :])
        answer = peer.answer(7)
        assert isinstance(answer, Fault)
        assert answer.reason == "StaleLeader"
    assert machine.main_pids() == pids
    assert whole(machine) == kept


@dataclass
class Peer:
    """An agent on the machine, spoken to byte by byte."""

    process: subprocess.Popen[bytes]
    reader: FrameReader
    lines: list[bytes]

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def frame(self) -> wire.Frame:
        """Give the next frame."""
        assert self.process.stdout is not None
        while not self.lines:
            data = self.process.stdout.read1(65536)  # type: ignore[attr-defined]
            assert data, "the agent has ended"
            for line in self.reader.feed(data):
                assert isinstance(line, bytes), line
                self.lines.append(line)
        return wire.decode(self.lines.pop(0))

    def answer(self, request: int) -> wire.Frame:
        """Give the answer to a request; what is said unasked is passed over."""
        while getattr(found := self.frame(), "request", 0) != request:
            pass
        return found


@contextmanager
def agent(machine: Machine) -> Iterator[Peer]:
    """Start a second agent on the machine over SSH, as the operator would."""
    archive = machine.shell("ls -t /var/lib/warlock/agent/*.pyz | head -1").strip()
    command = [*machine.host.ssh_argv(), "--", f"python3 -I -S {archive} serve --sample-seconds=0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Peer(process, FrameReader(), [])
        finally:
            process.kill()
