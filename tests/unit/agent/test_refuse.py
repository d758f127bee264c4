"""Why an instance is left as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.agent.hosts import empty_host, host, instance
from warlock_agent import names, retry
from warlock_agent.model import (
    BoundSocket,
    DesiredInstance,
    LedgerEntry,
    ObservedFile,
    ObservedHost,
    Retry,
)
from warlock_agent.plan import plan
from warlock_agent.refuse import under_root

ONE = instance()
ENTRY = LedgerEntry(
    ONE.guid, ONE.instance_id, ONE.namespace, ONE.name, ONE.uid, 1, ONE.path, "wl-x", ONE.ports,
    ("warlock-openarena",),
)  # fmt: skip
TEMPLATE = names.template_path("warlock-openarena")


def held(**changes: object) -> ObservedHost:
    empty = empty_host()
    entry = replace(ENTRY, **changes)  # type: ignore[arg-type]
    return replace(empty, ledger=replace(empty.ledger, instances=(entry,)))


CASES: list[tuple[str, DesiredInstance, ObservedHost]] = [
    ("HeldByAnother", ONE, held(namespace="elsewhere")),
    ("PathMoved", ONE, held(path="/opt/before")),
    ("PathOutsideRoots", replace(ONE, path="/etc/x"), empty_host()),
    ("PathOutsideRoots", replace(ONE, path="/opt/../etc"), empty_host()),
    ("PathTaken", ONE, held(instance_id="x", path=f"{ONE.path}/inside")),
    ("PortTaken", ONE, held(instance_id="x", path="/opt/elsewhere")),
    ("PathOccupied", ONE, empty_host(files=(ObservedFile(ONE.path, "File"),))),
    ("PathOccupied", ONE, empty_host(files=(ObservedFile(ONE.path, "Directory", empty=False),))),
    ("UnitNameTaken", ONE, empty_host(files=(ObservedFile(TEMPLATE, "File"),))),
    ("PortInUse", ONE, empty_host(sockets=(BoundSocket("UDP", "0.0.0.0", 27960, 7, "nginx"),))),
]


@pytest.mark.parametrize(("reason", "one", "observed"), CASES)
def test_it_is_refused_with_its_reason_and_left_alone(
    reason: str, one: DesiredInstance, observed: ObservedHost
) -> None:
    made = plan(host(one), observed)
    assert [(r.key, r.reason) for r in made.refusals] == [(one.key, reason)]
    assert not [step for step in made.steps if step.key == one.key]


def test_a_strangers_process_is_named_with_its_pid() -> None:
    said = plan(host(ONE), CASES[-1][2]).refusals[0].message
    assert "nginx (pid 7)" in said
    assert "27960/UDP (game)" in said


@pytest.mark.parametrize(
    ("path", "lies"),
    [
        ("/opt/a", True), ("/opt/a/b", True), ("/opt", False), ("/opt/", False),
        ("/option/a", False), ("/opt/a/../../etc", False), ("/opt//a", False), ("opt/a", False),
        ("/opt/./a", False), ("/opt/a/", False),
    ],
)  # fmt: skip
def test_a_path_lies_beneath_a_root_or_it_does_not(path: str, lies: bool) -> None:
    assert under_root(path, ["/opt/", "/srv"]) is lies


def test_waits_double_up_to_five_minutes_and_end() -> None:
    waits = [retry.delay_seconds(attempts) for attempts in range(8)]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    assert retry.delay_seconds(10**9) == 300
    later = Retry("u", 1, 100)
    assert not retry.due(None, 100)
    assert not retry.due(later, 99)
    assert retry.due(later, 100)
    assert (retry.wait_seconds(later, 90), retry.wait_seconds(later, 200)) == (10, 1)
