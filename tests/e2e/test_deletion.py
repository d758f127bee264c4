"""Machines that go away: noticed when they are back, and no deletion hangs on them meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.conftest import QUICK
from tests.e2e import scenes
from tests.e2e.conftest import declare, wait_host
from tests.e2e.world import (
    GUID,
    Machine,
    Namespace,
    Object,
    condition,
    is_true,
    reason,
    running,
    wait_for,
)

OTHER_ID = "550e8400-e29b-41d4-a716-446655440000"
LOST_SOON = {"WARLOCK_PING_SECONDS": "1", "WARLOCK_PING_TIMEOUT_SECONDS": "3"}
# The first wait after a failure is 100 s at least, so nothing but a probe brings a host back.
PATIENT = {**QUICK, **LOST_SOON, "WARLOCK_BACKOFF_INITIAL_SECONDS": "200"}


@pytest.fixture(scope="module")
def patient(operator: Operator) -> Operator:
    """An operator that waits long after a failure."""
    operator.stop()
    operator.start(PATIENT)
    operator.wait_ready()
    return operator


@pytest.fixture
def away(machine: Machine, patient: Operator, namespace: Namespace) -> Iterator[Machine]:
    """The machine, to be unplugged; plugged again before the namespace is emptied."""
    yield machine
    machine.host.plug()


def host(kubectl: Kubectl, machine: Machine) -> Object:
    found: Object = kubectl.get("gamehost", machine.name)
    return found


def orphans(kubectl: Kubectl, machine: Machine) -> list[Object]:
    return list(host(kubectl, machine)["status"].get("orphans", ()))


def unplug(kubectl: Kubectl, machine: Machine) -> None:
    """Pull the cable, and return when an attempt to connect has failed."""
    machine.host.unplug()

    def says(text: str) -> bool:
        reachable = condition(host(kubectl, machine), "Reachable")
        return reachable.get("status") == "False" and text in reachable["message"]

    def shown() -> object:
        return host(kubectl, machine)["status"]

    wait_for(lambda: says(""), 30.0, "it is lost", shown)
    retry(kubectl, machine, "unplugged")
    wait_for(lambda: says(" port 22"), 30.0, "an attempt has failed", shown)


def retry(kubectl: Kubectl, machine: Machine, value: str) -> None:
    """Ask for an attempt now; *value* differs from the one before."""
    argv = ("annotate", "gamehost", machine.name, "--overwrite")
    kubectl(*argv, f"warlock.dev/reconcile={value}-{time.monotonic()}")


def test_a_machine_that_is_back_is_served_within_seconds_of_a_long_back_off(
    away: Machine, kubectl: Kubectl, namespace: Namespace
) -> None:
    namespace.instance("arena")
    namespace.wait_running("arena")
    pid = away.main_pid()
    unplug(kubectl, away)
    away.host.plug()
    began = time.monotonic()
    wait_for(
        lambda: is_true(host(kubectl, away), "Reachable"),
        15.0,
        "it is served again",
        lambda: host(kubectl, away)["status"],
    )
    print(f"served {time.monotonic() - began:.1f} s after the cable was plugged in")
    assert away.main_pid() == pid


def test_an_edit_is_an_attempt_at_once(
    away: Machine, kubectl: Kubectl, namespace: Namespace
) -> None:
    unplug(kubectl, away)
    began = time.monotonic()
    away.host.plug()
    retry(kubectl, away, "plugged")
    wait_for(lambda: is_true(host(kubectl, away), "Reachable"), 15.0, "it is served again")
    print(f"served {time.monotonic() - began:.1f} s after it was asked for")


def test_what_a_lost_machine_holds_is_let_go_by_force_and_removed_when_it_is_back(
    away: Machine, kubectl: Kubectl, namespace: Namespace
) -> None:
    namespace.instance("arena")
    namespace.instance("beside", instance_id=OTHER_ID)
    namespace.wait_running("arena")
    namespace.wait_running("beside")
    uid = namespace.get("arena")["metadata"]["uid"]
    pids = away.main_pids()
    unplug(kubectl, away)

    namespace.delete("arena", wait_seconds=0)
    waiting = namespace.wait(
        "arena", lambda found: reason(found) == "HostUnreachable", "it says what it waits for"
    )
    message = condition(waiting, "Ready")["message"]
    assert waiting["metadata"]["deletionTimestamp"] in message
    assert "last seen at 20" in message
    began = time.monotonic()
    namespace.annotate("arena", force_delete="true")
    namespace.wait("arena", lambda found: not found, "it is let go", 10.0)
    print(f"let go {time.monotonic() - began:.1f} s after it was forced")
    event = scenes.wait_event(namespace, "arena", "LeftBehind")
    for part in (away.name, away.host.address, away.host.machine_id, "/opt/openarena-default"):
        assert part in event["note"]

    away.host.plug()
    wait_for(lambda: orphans(kubectl, away), 30.0, "it is an orphan")
    (orphan,) = orphans(kubectl, away)
    assert (orphan["guid"], orphan["instance_id"], orphan["uid"]) == (GUID, "default", uid)
    assert away.main_pids() == pids

    value = f"warlock.dev/remove-orphan={GUID}/default/{uid}"
    kubectl("annotate", "gamehost", away.name, "--overwrite", value)
    wait_for(lambda: not orphans(kubectl, away), 30.0, "it is no orphan any more")
    assert away.main_pid() == 0
    assert away.main_pid(OTHER_ID) == pids[f"warlock-openarena@{OTHER_ID}.service"]
    assert not any("openarena@default" in path for path in away.managed())
    assert away.exists("/opt/openarena-default")
    told = kubectl.items("events.events.k8s.io", "-A")
    assert "OrphanRemoved" in {each["reason"] for each in told}


def test_a_terminating_host_is_served_until_its_last_instance_is_gone(
    machine: Machine, patient: Operator, kubectl: Kubectl, namespace: Namespace
) -> None:
    namespace.instance("arena")
    namespace.wait_running("arena")
    kubectl("delete", "gamehost", machine.name, "--wait=false")
    wait_for(lambda: reason(host(kubectl, machine)) == "Deleting", 30.0, "it says that it waits")
    assert "1 do" in condition(host(kubectl, machine), "Ready")["message"]
    namespace.instance("late", instance_id=OTHER_ID)
    namespace.wait_stalled("late", "HostTerminating")
    # What is there is served: an edit is done, a crash is seen and healed.
    pid = machine.main_pid()
    namespace.annotate("arena", restart="once")
    wait_for(lambda: machine.main_pid() not in (0, pid), 30.0, "it was restarted")
    pid = namespace.wait_running("arena")["status"]["services"][0]["mainPID"]
    machine.run("kill", "-9", str(pid))
    namespace.wait(
        "arena",
        lambda found: running(found) and found["status"]["services"][0]["mainPID"] != pid,
        "it runs again",
    )
    namespace.delete("late")
    namespace.delete("arena")
    argv = ("get", "gamehost", machine.name, "--ignore-not-found", "-o", "name")
    wait_for(lambda: not kubectl(*argv).strip(), 30.0, "the GameHost is gone")
    assert machine.main_pid() == 0
    declare(kubectl, machine)
    wait_host(kubectl, machine.name)
