"""
One instance changes, its neighbour plays on: edits, restarts, pauses, hands on the machine, an end.

Every test has the neighbour beside it, and fails where that one's process or files changed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit.lab import Lab
from tests.conftest import QUICK
from tests.e2e import scenes
from tests.e2e.conftest import empty_namespace, make_namespace
from tests.e2e.world import (
    GUID,
    SERVICE,
    Machine,
    Namespace,
    Object,
    condition,
    ready,
    reason,
    wait_for,
)
from warlock_agent import names


@dataclass
class Arena:
    """The instance that a test works on."""

    namespace: Namespace
    machine: Machine
    name: str
    instance_id: str

    @property
    def unit(self) -> str:
        return names.unit_name(SERVICE, self.instance_id)

    @property
    def pid(self) -> int:
        return self.machine.main_pid(self.instance_id)

    def paths(self) -> dict[str, str]:
        """Give every managed file of it, by what it is."""
        return {
            "template": names.template_path(SERVICE),
            "drop-in": names.drop_in_path(SERVICE, self.instance_id),
            "link": names.wants_path(SERVICE, self.instance_id),
            "environment": names.env_path(GUID, self.instance_id),
            "registration": names.registration_path(GUID, self.instance_id),
        }

    def get(self) -> Object:
        return self.namespace.get(self.name)


@pytest.fixture(scope="module")
def neighbour(kubectl: Kubectl, operator: Operator) -> Iterator[Namespace]:
    """A namespace with the neighbour in it: the ``default`` instance of the same Game."""
    made = make_namespace(kubectl)
    made.instance("neighbour")
    made.wait_running("neighbour")
    yield made
    operator.start()
    empty_namespace(made)


@pytest.fixture
def arena(neighbour: Namespace, namespace: Namespace, machine: Machine) -> Iterator[Arena]:
    """An instance that runs; afterwards the neighbour must be what it was."""
    before = machine.main_pid(), scenes.own_files(machine, "default")
    instance_id = str(uuid.uuid4())
    namespace.instance("arena", instance_id=instance_id)
    namespace.wait_running("arena")
    yield Arena(namespace, machine, "arena", instance_id)
    assert (machine.main_pid(), scenes.own_files(machine, "default")) == before


@pytest.fixture
def quiet(operator: Operator, arena: Arena) -> Iterator[Operator]:
    """The operator, taking its time with measurements: those may move between two looks."""
    arena.namespace.wait("arena", lambda found: found["status"].get("players"), "players are known")
    operator.stop()
    operator.start({**QUICK, "WARLOCK_STATUS_MEASUREMENT_SECONDS": "600"})
    operator.wait_ready()
    arena.namespace.annotate("arena", reconcile="first")
    scenes.until_passed(arena.machine, arena.instance_id, "first")
    yield operator
    operator.stop()
    operator.start(QUICK)
    operator.wait_ready()


def test_a_second_reconcile_changes_nothing_and_writes_nothing(
    arena: Arena, lab: Lab, quiet: Operator
) -> None:
    before = arena.machine.managed(), arena.machine.main_pids(), scenes.reloads(arena.machine)
    with scenes.writes_of_operator(lab) as writes:
        arena.namespace.annotate("arena", reconcile="again")
        scenes.until_passed(arena.machine, arena.instance_id, "again")
    assert writes == []
    after = arena.machine.managed(), arena.machine.main_pids(), scenes.reloads(arena.machine)
    assert after == before


def test_a_restarted_operator_changes_nothing_and_writes_no_status(
    arena: Arena, lab: Lab, quiet: Operator
) -> None:
    before = arena.machine.managed(), arena.machine.main_pids(), scenes.reloads(arena.machine)
    with scenes.writes_of_operator(lab) as writes:
        quiet.restart()
        quiet.wait_ready()
        arena.namespace.annotate("arena", reconcile="anew")
        scenes.until_passed(arena.machine, arena.instance_id, "anew")
    assert writes == []
    after = arena.machine.managed(), arena.machine.main_pids(), scenes.reloads(arena.machine)
    assert after == before


def test_a_new_environment_restarts_that_instance_once(arena: Arena) -> None:
    pid, drop_in = arena.pid, arena.machine.managed()[arena.paths()["drop-in"]]
    arena.namespace.patch("arena", {"spec": {"env": [{"name": "SERVER_NAME", "value": "Other"}]}})
    arena.namespace.wait_running("arena")
    now = arena.pid
    assert now not in (0, pid)
    assert arena.machine.environment(now)["SERVER_NAME"] == "Other"
    assert arena.machine.managed()[arena.paths()["drop-in"]] == drop_in
    assert scenes.starts(arena.machine, arena.unit) == 2
    # Its process ends with status 1 when it is asked to end, and nobody needs to be warned.
    assert not [each for each in arena.namespace.events("arena") if each["type"] == "Warning"]


def test_a_new_port_is_bound_and_the_old_one_let_go(arena: Arena) -> None:
    old = arena.get()["status"]["ports"][0]["port"]
    arena.namespace.patch("arena", {"spec": {"ports": [{"name": "game", "port": 28444}]}})
    found = arena.namespace.wait_running("arena")
    assert found["status"]["ports"][0]["port"] == 28444
    assert arena.machine.bound(28444) == {arena.pid}
    assert not arena.machine.bound(old)
    assert scenes.starts(arena.machine, arena.unit) == 2


def test_stopped_stops_and_disables_and_running_brings_it_back(arena: Arena) -> None:
    arena.namespace.patch("arena", {"spec": {"state": "Stopped"}})
    arena.namespace.wait(
        "arena", lambda found: ready(found) and found["status"]["state"] == "Stopped", "Stopped"
    )
    assert arena.pid == 0
    assert not arena.machine.exists(arena.paths()["link"])
    assert arena.machine.exists(arena.paths()["registration"])
    arena.namespace.patch("arena", {"spec": {"state": "Running"}})
    arena.namespace.wait_running("arena")
    assert arena.pid
    assert arena.machine.exists(arena.paths()["link"])


def test_a_restart_is_done_once_also_across_a_restart_of_the_operator(
    arena: Arena, operator: Operator
) -> None:
    pid = arena.pid
    arena.namespace.annotate("arena", restart="one")
    wait_for(lambda: arena.pid not in (0, pid), 30.0, "another process runs")
    arena.namespace.wait_running("arena")
    now = arena.pid
    operator.kill()
    operator.wait_ready()
    arena.namespace.annotate("arena", reconcile="after")
    scenes.until_passed(arena.machine, arena.instance_id, "after")
    assert arena.pid == now
    assert scenes.starts(arena.machine, arena.unit) == 2


def test_a_paused_instance_is_not_touched_and_its_deletion_waits(arena: Arena) -> None:
    arena.namespace.annotate("arena", paused="true")
    arena.namespace.wait("arena", lambda found: reason(found) == "Paused", "Paused")
    path = arena.paths()["environment"]
    arena.machine.shell(f"echo '# by hand' >> {path}")
    arena.namespace.patch("arena", {"spec": {"env": [{"name": "SERVER_NAME", "value": "No"}]}})
    before = arena.machine.managed(), arena.pid
    arena.namespace.delete("arena", wait_seconds=0)
    found = arena.namespace.wait(
        "arena", lambda found: "waits" in condition(found, "Ready").get("message", ""), "it waits"
    )
    assert "warlock.dev/paused" in condition(found, "Ready")["message"]
    assert (arena.machine.managed(), arena.pid) == before
    arena.namespace.annotate("arena", paused=None)
    arena.namespace.wait("arena", lambda found: not found, "it is gone")
    assert arena.pid == 0


@pytest.mark.parametrize("what", ["template", "drop-in", "environment", "registration"])
def test_an_edited_file_is_put_back_and_told_without_a_restart(arena: Arena, what: str) -> None:
    path, pid = arena.paths()[what], arena.pid
    before = arena.machine.read(path)
    arena.machine.shell(f"echo '# by hand' >> {path}")
    arena.namespace.annotate("arena", reconcile="edited")
    wait_for(lambda: arena.machine.read(path) == before, 30.0, f"{path} is put back")
    event = scenes.wait_event(arena.namespace, "arena", "DriftCorrected")
    assert path in event["note"]
    assert "changed" in event["note"]
    assert arena.pid == pid


@pytest.mark.parametrize("what", ["drop-in", "link", "environment", "registration"])
def test_a_removed_file_is_put_back_and_told_without_a_restart(arena: Arena, what: str) -> None:
    path, pid = arena.paths()[what], arena.pid
    arena.machine.run("rm", path)
    arena.namespace.annotate("arena", reconcile="removed")
    wait_for(lambda: arena.machine.exists(path), 30.0, f"{path} is put back")
    assert path in scenes.wait_event(arena.namespace, "arena", "DriftCorrected")["note"]
    assert arena.pid == pid
