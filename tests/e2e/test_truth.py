"""The status says what is so: crash, loop, failed start, a host out of reach, a reboot."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.conftest import QUICK
from tests.e2e import scenes
from tests.e2e.conftest import plain_game
from tests.e2e.world import (
    Machine,
    Namespace,
    Object,
    condition,
    is_true,
    reason,
    running,
)

GRACE_SECONDS = 3


@pytest.fixture(scope="module")
def watchful(operator: Operator) -> Operator:
    """The operator, quick to give a host up."""
    operator.stop()
    operator.start(
        {
            **QUICK,
            "WARLOCK_UNKNOWN_GRACE_SECONDS": str(GRACE_SECONDS),
            "WARLOCK_PING_SECONDS": "0.5",
            "WARLOCK_PING_TIMEOUT_SECONDS": "1.5",
            "WARLOCK_CONNECT_TIMEOUT_SECONDS": "2",
            "WARLOCK_BACKOFF_CAP_SECONDS": "2",
        }
    )
    operator.wait_ready()
    return operator


@pytest.fixture
def arena(namespace: Namespace, watchful: Operator) -> str:
    """The id of an instance that runs."""
    instance_id = str(uuid.uuid4())
    namespace.instance("arena", instance_id=instance_id)
    namespace.wait_running("arena")
    return instance_id


@pytest.fixture
def game(
    request: pytest.FixtureRequest, kubectl: Kubectl, namespace: Namespace
) -> Iterator[Object]:
    """A Game that installs nothing and runs what the test says."""
    made = plain_game(request.param)
    kubectl.apply(made)
    yield made
    kubectl("-n", namespace.name, "delete", "gi", "--all", "--timeout=60s")
    kubectl("delete", "game", made["metadata"]["name"])


def test_a_killed_process_is_told_with_its_signal_and_runs_again(
    namespace: Namespace, machine: Machine, arena: str
) -> None:
    pid = machine.main_pid(arena)
    machine.run("kill", "-9", str(pid))
    namespace.wait(
        "arena",
        lambda found: running(found) and found["status"]["services"][0]["mainPID"] not in (0, pid),
        "another process runs",
    )
    event = scenes.wait_event(namespace, "arena", "MainProcessExited")
    assert "SIGKILL" in event["note"]
    assert event["type"] == "Warning"
    namespace.wait_running("arena")


LOOP = ["/bin/sh", "-c", "echo the moon is full; exit 3"]


@pytest.mark.parametrize("game", [LOOP], indirect=True)
def test_a_crash_loop_is_stalled_with_exit_code_and_last_lines(
    namespace: Namespace, game: Object, watchful: Operator
) -> None:
    namespace.instance("looping", guid=game["spec"]["guid"])
    namespace.wait_stalled("looping", "CrashLoop", 60.0)

    def told(found: Object) -> bool:
        # The failure is told at once; reading its last lines takes a process, and they follow.
        why = condition(found, "Stalled")
        return why["reason"] == "CrashLoop" and "the moon is full" in why["message"]

    found = namespace.wait("looping", told, "CrashLoop with its last lines")
    first, *rest = condition(found, "Running")["message"].splitlines()
    assert "exit code 3" in first
    assert first.endswith("; see docs/troubleshooting.md#crashloop")
    assert "the moon is full" in rest
    assert found["status"]["state"] == "Failed"


@pytest.mark.parametrize("game", [["/usr/games/not-there"]], indirect=True)
def test_a_program_that_is_not_there_is_told(
    namespace: Namespace, game: Object, watchful: Operator
) -> None:
    namespace.instance("absent", guid=game["spec"]["guid"])
    found = namespace.wait(
        "absent", lambda found: found.get("status", {}).get("state") == "Failed", "Failed", 60.0
    )
    assert not is_true(found, "Running")
    assert reason(found, "Running") in ("StartFailed", "CrashLoop")
    assert "203" in condition(found, "Running")["message"]


def test_a_host_out_of_reach_is_told_at_once_and_unknown_after_the_grace(
    namespace: Namespace, machine: Machine, arena: str
) -> None:
    pid = machine.main_pid(arena)
    machine.host.unplug()
    try:
        found = namespace.wait(
            "arena", lambda found: condition(found, "HostReachable")["status"] == "False", "lost"
        )
        assert is_true(found, "Running")
        found = namespace.wait("arena", lambda found: reason(found) == "NotSeen", "out of sight")
        for kind in ("Ready", "Running", "Registered", "Installed"):
            assert condition(found, kind)["status"] == "Unknown", kind
        assert condition(found, "HostReachable")["status"] == "False"
        assert found["status"]["state"] == "Unknown"
        assert found["status"]["lastSeen"]
    finally:
        machine.host.plug()
    found = namespace.wait_running("arena", 90.0)
    assert "lastSeen" not in found["status"]
    assert machine.main_pid(arena) == pid


def test_a_reboot_ends_in_ready_again(namespace: Namespace, machine: Machine, arena: str) -> None:
    machine.host.reboot()
    found = namespace.wait(
        "arena",
        lambda found: (
            running(found)
            and is_true(found, "Ready")
            and found["status"]["services"][0]["mainPID"] == machine.main_pid(arena)
        ),
        "it runs and is Ready",
        90.0,
    )
    assert is_true(found, "HostReachable")
