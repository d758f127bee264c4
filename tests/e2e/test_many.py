"""Many on one machine, for real: who has a port, whom a change concerns, what an end leaves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from tests.e2e import scenes
from tests.e2e.world import (
    GUID,
    SERVICE,
    Machine,
    Namespace,
    Object,
    condition,
    reason,
    wait_for,
)
from warlock_agent import names

PORT = 28111
CRASHED = ("MainProcessExited", "StartFailed", "CrashLoop")


def managed_paths(instance_id: str) -> list[str]:
    """Give every path that an instance alone has on its machine, its own directory aside."""
    return [
        names.drop_in_path(SERVICE, instance_id),
        names.drop_in_path(SERVICE, instance_id).rpartition("/")[0],
        names.wants_path(SERVICE, instance_id),
        names.env_path(GUID, instance_id),
        names.registration_path(GUID, instance_id),
    ]


def test_an_end_leaves_files_user_and_neighbour_and_the_last_one_takes_the_template(
    namespace: Namespace, machine: Machine
) -> None:
    instance_id = str(uuid.uuid4())
    namespace.instance("neighbour")
    namespace.instance("arena", instance_id=instance_id)
    namespace.wait_running("neighbour")
    found = namespace.wait_running("arena")["status"]
    neighbour = machine.main_pid(), scenes.own_files(machine, "default")
    machine.shell(
        f"echo saved > {found['path']}/save && chown {found['user']} {found['path']}/save"
    )
    namespace.delete("arena")
    assert machine.main_pid(instance_id) == 0
    assert not machine.bound(found["ports"][0]["port"])
    assert [path for path in managed_paths(instance_id) if machine.exists(path)] == []
    assert scenes.ledger_names(machine) == [f"{namespace.name}/neighbour"]
    assert machine.read(f"{found['path']}/save") == "saved\n"
    assert machine.run("getent", "passwd", found["user"])
    told = scenes.wait_event(namespace, "arena", "Removed")
    assert found["path"] in told["note"]
    assert machine.name in told["note"]
    assert (machine.main_pid(), scenes.own_files(machine, "default")) == neighbour
    assert machine.exists(names.template_path(SERVICE))
    namespace.delete("neighbour")
    assert machine.managed() == {}


def test_who_comes_back_finds_its_files_and_its_user(
    namespace: Namespace, machine: Machine
) -> None:
    instance_id = str(uuid.uuid4())
    namespace.instance("arena", instance_id=instance_id)
    before = namespace.wait_running("arena")["status"]
    machine.shell(f"echo saved > {before['path']}/save")
    namespace.delete("arena")
    namespace.instance("again", instance_id=instance_id)
    after = namespace.wait_running("again")["status"]
    assert (after["path"], after["user"]) == (before["path"], before["user"])
    assert machine.read(f"{after['path']}/save") == "saved\n"


@pytest.fixture
def foreign(machine: Machine) -> Iterator[str]:
    """A process of somebody else that has the port; gives its unit."""
    unit = f"foreign-{uuid.uuid4().hex[:8]}.service"
    program = (
        f"import socket, time; s = socket.socket(type=2); s.bind(('', {PORT})); time.sleep(600)"
    )
    machine.run("systemd-run", "-q", "--collect", "-u", unit, "/usr/bin/python3", "-c", program)
    wait_for(lambda: machine.bound(PORT), 10.0, "the port is bound")
    yield unit
    machine.run("systemctl", "stop", unit, check=False)


def test_a_foreign_port_is_told_with_its_process_and_had_once_that_ends(
    namespace: Namespace, machine: Machine, foreign: str
) -> None:
    namespace.instance("arena", ports=[{"name": "game", "port": PORT}])
    found = namespace.wait("arena", lambda found: reason(found) == "PortInUse", "PortInUse")
    said = condition(found, "Ready")["message"]
    for part in (str(PORT), "python3", foreign, str(*machine.bound(PORT))):
        assert part in said
    machine.run("systemctl", "stop", foreign)
    namespace.wait_running("arena")
    assert machine.bound(PORT) == {machine.main_pid()}


def test_a_port_of_another_namespace_is_told_with_its_holder_and_had_once_that_goes(
    namespace: Namespace, other_namespace: Namespace, machine: Machine
) -> None:
    namespace.instance("holder", ports=[{"name": "game", "port": PORT}])
    namespace.wait_running("holder")
    pid = machine.main_pid()
    # By the machine's address rather than the GameHost's name: it is the same machine.
    other_namespace.instance(
        "loser",
        host=machine.host.address,
        instance_id=str(uuid.uuid4()),
        ports=[{"name": "game", "port": PORT}],
    )
    found = other_namespace.wait_stalled("loser", "PortTaken")
    assert f"{namespace.name}/holder" in condition(found, "Stalled")["message"]
    assert machine.main_pid() == pid
    namespace.delete("holder")
    other_namespace.wait_running("loser")


def test_a_unit_stopped_by_hand_is_started_again_and_told(
    namespace: Namespace, machine: Machine
) -> None:
    namespace.instance("arena")
    namespace.wait_running("arena")
    machine.run("systemctl", "stop", names.unit_name(SERVICE, "default"))
    wait_for(machine.main_pid, 30.0, "it runs again")
    told = scenes.wait_event(namespace, "arena", "DriftCorrected")
    assert "not running" in told["note"]
    # OpenArena ends with status 1 when it is asked to end: that is no crash.
    assert not [each for each in namespace.events("arena") if each["reason"] in CRASHED]
    namespace.wait_running("arena")


def test_another_exec_restarts_the_instances_of_that_game_alone_and_once(
    namespace: Namespace, machine: Machine, kubectl: Kubectl, sleeper: Object
) -> None:
    spec = sleeper["spec"]
    service, ids = spec["services"][0]["name"], (str(uuid.uuid4()), str(uuid.uuid4()))
    namespace.instance("bystander")
    for number, instance_id in enumerate(ids):
        namespace.instance(f"sleeper-{number}", guid=spec["guid"], instance_id=instance_id)
    namespace.wait_running("bystander")
    for number in range(len(ids)):
        namespace.wait_running(f"sleeper-{number}")
    bystander = machine.main_pid()
    before = [machine.main_pid(each, service) for each in ids]
    spec["services"][0]["exec"] = ["/bin/sleep", "2000"]
    kubectl.apply(sleeper)

    def all_new() -> bool:
        now = [machine.main_pid(each, service) for each in ids]
        return all(pid not in (0, old) for pid, old in zip(now, before, strict=True))

    wait_for(all_new, 30.0, "both are other processes")
    for each in ids:
        path = f"/proc/{machine.main_pid(each, service)}/cmdline"
        # Between fork and exec it is still systemd's own.
        wait_for(
            lambda path=path: machine.read(path).split("\0")[:2] == ["/bin/sleep", "2000"],
            10.0,
            "it runs the new words",
        )
        assert scenes.starts(machine, names.unit_name(service, each)) == 2
    assert machine.main_pid() == bystander
