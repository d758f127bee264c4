"""
What needs a kernel of its own, so a virtual machine: a clock that is wrong, and memory that is
counted for each unit whatever the machine that carries the lab does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from demokit import account
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit.lab import Lab
from tests.e2e import scenes
from tests.e2e.conftest import (
    declare,
    empty_namespace,
    make_namespace,
    plain_game,
    wait_host,
)
from tests.e2e.world import Machine, Namespace, Object, condition, ready, running
from warlock_agent import names

HOUR_SECONDS = 3600
SLACK_SECONDS = 300
SLOW_SECONDS = 120.0
"""The machine may be emulated."""


@pytest.fixture(scope="module")
def virtual(lab: Lab, kubectl: Kubectl, operator: Operator) -> Iterator[Machine]:
    """A virtual machine that the operator reaches."""
    made = Machine(lab.add_host("clock", kind="vm"))
    declare(kubectl, made)
    wait_host(kubectl, made.name, SLOW_SECONDS)
    yield made
    kubectl("delete", "gamehost", made.name, "--timeout=60s")
    kubectl("-n", account.NAMESPACE, "delete", "secret", f"{made.name}-ssh")
    lab.remove_host(made.name)


@pytest.fixture(scope="module")
def arena(kubectl: Kubectl, virtual: Machine) -> Iterator[tuple[Namespace, str]]:
    """An instance that runs there; gives its namespace and its service's name."""
    game = plain_game(["/bin/sleep", "100000"])
    kubectl.apply(game)
    made = make_namespace(kubectl)
    made.instance("arena", host=virtual.name, guid=game["spec"]["guid"])
    made.wait_running("arena", SLOW_SECONDS)
    yield made, game["spec"]["services"][0]["name"]
    empty_namespace(made)
    kubectl("delete", "game", game["metadata"]["name"])


@contextmanager
def clock_off(machine: Machine, seconds: int) -> Iterator[None]:
    """While it lasts, the machine's clock is so far ahead of ours."""
    machine.shell(f"date -s @$(($(date +%s) + {seconds}))")
    try:
        assert abs(int(machine.shell("date +%s")) - time.time() - seconds) < SLACK_SECONDS
        yield
    finally:
        machine.shell(f"date -s @$(($(date +%s) - {seconds}))")


def test_a_clock_that_is_an_hour_off_changes_nothing(
    arena: tuple[Namespace, str], virtual: Machine
) -> None:
    namespace, service = arena
    first = virtual.main_pid(service=service)
    reached = condition(namespace.get("arena"), "HostReachable")
    with clock_off(virtual, HOUR_SECONDS):
        namespace.annotate("arena", restart="once")
        namespace.wait(
            "arena",
            lambda found: ready(found) and main_pid(found) not in (0, first),
            "it was restarted",
            SLOW_SECONDS,
        )
        second = virtual.main_pid(service=service)
    with clock_off(virtual, -HOUR_SECONDS):
        virtual.shell(f"kill -KILL {second}")
        told = scenes.wait_event(namespace, "arena", "MainProcessExited", SLOW_SECONDS)
        assert "KILL" in told["note"]
        found = namespace.wait(
            "arena",
            lambda found: running(found) and main_pid(found) not in (0, second),
            "it runs again",
            SLOW_SECONDS,
        )
        assert main_pid(found) == virtual.main_pid(service=service)
        # What the machine dates is dated by the machine, and what we saw by us.
        since = datetime.fromisoformat(found["status"]["services"][0]["since"])
        assert abs(since.timestamp() - time.time() + HOUR_SECONDS) < SLACK_SECONDS
        changed = datetime.fromisoformat(condition(found, "Running")["lastTransitionTime"])
        assert abs(changed.timestamp() - time.time()) < SLACK_SECONDS
    before = virtual.main_pid(service=service), virtual.managed()
    namespace.annotate("arena", reconcile="the clock is right")
    scenes.until_passed(virtual, "default", "the clock is right")
    namespace.wait_running("arena", SLOW_SECONDS)
    assert (virtual.main_pid(service=service), virtual.managed()) == before
    assert scenes.starts(virtual, names.unit_name(service, "default")) == 3
    assert condition(namespace.get("arena"), "HostReachable") == reached


def main_pid(found: Object) -> int:
    """Give the process that the status shows."""
    services = found["status"].get("services") or [{}]
    return int(services[0].get("mainPID", 0))


def test_what_a_unit_uses_is_counted_by_its_kernel(
    arena: tuple[Namespace, str], virtual: Machine
) -> None:
    namespace, service = arena

    def measured(found: Object) -> bool:
        shown = found["status"].get("metrics") or {}
        return bool(shown.get("memorySource") == "Cgroup" and shown.get("tasks"))

    shown = namespace.wait("arena", measured, "it is measured", SLOW_SECONDS)["status"]["metrics"]
    counted = virtual.show(names.unit_name(service, "default"), "MemoryCurrent", "TasksCurrent")
    assert shown["tasks"] == int(counted["TasksCurrent"]) == 1
    assert 0 < shown["memoryBytes"] < 2 * int(counted["MemoryCurrent"])
