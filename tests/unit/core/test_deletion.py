"""A deletion says what it waits for and since when, and by force it waits for nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.core.worlds import entry_of, host, instance, inventory_of
from warlock_agent.model import StepResult
from warlock_operator.api.names import FINALIZER, Kind
from warlock_operator.core.deletion import forced, left_behind, waits_for
from warlock_operator.core.desired import Verdict, key_of
from warlock_operator.core.view import HostView
from warlock_operator.errors import ApiRefused, HostUnreachable, OperatorError, OwnedByAnother

SEEN = datetime(2026, 1, 3, 4, 5, 6, tzinfo=UTC)
RAW = instance("arena")
KEY = f"{RAW['spec']['guid']}/default"
FAILED = StepResult("StopUnit", "u", KEY, "Failed", "StepFailed", "it does not stop")


def deleted(**annotations: str) -> Verdict:
    raw = instance("arena")
    raw["metadata"].update(
        deletionTimestamp="2026-01-02T00:00:00Z",
        finalizers=[FINALIZER],
        annotations={f"warlock.dev/{name.replace('_', '-')}": v for name, v in annotations.items()},
    )
    (item,) = inventory_of([(Kind.GAME_INSTANCE, raw)]).instances()
    assert key_of(item) == KEY
    return Verdict(item, removing=True)


AWAY = HostView(visited=True, error=HostUnreachable("no route"), last_seen=SEEN)
FINE = HostView(visited=True, reachable=True)
NEW = HostView()
API = HostView(error=ApiRefused("the finalizer could not be written"))
REFUSED = HostView(visited=True, reachable=True, error=OwnedByAnother("it is another's"))
STUCK = HostView(visited=True, reachable=True, failures={KEY: FAILED})


@pytest.mark.parametrize(
    ("view", "reason", "says"),
    [
        (AWAY, "HostUnreachable", "no route"),
        (AWAY, "HostUnreachable", "asked for at 2026-01-02T00:00:00Z"),
        (AWAY, "HostUnreachable", "last seen at 2026-01-03T04:05:06Z"),
        (REFUSED, "OwnedByAnother", "it is another's"),
        (STUCK, "StepFailed", "it does not stop"),
        (NEW, "NotVisited", "not been visited"),
    ],
)
def test_it_says_what_it_waits_for_and_what_to_do(view: HostView, reason: str, says: str) -> None:
    found = waits_for(deleted(), view, None)
    assert found is not None
    assert found[0] == reason
    assert says in found[1]
    assert "host-a" in found[1] or view is not AWAY
    assert "warlock.dev/force-delete" in found[1]


def test_where_nothing_is_in_the_way_it_waits_for_nothing() -> None:
    assert waits_for(deleted(), FINE, None) is None


def test_what_an_earlier_process_saw_is_said_after_a_restart() -> None:
    view = HostView(error=HostUnreachable("no route"))
    found = waits_for(deleted(), view, SEEN)
    assert found is not None
    assert "last seen at 2026-01-03T04:05:06Z" in found[1]


@pytest.mark.parametrize(
    ("view", "let_go"),
    [(AWAY, True), (REFUSED, True), (STUCK, True), (FINE, False), (NEW, False), (API, False)],
)
def test_by_force_it_goes_wherever_it_would_wait_for_more_than_a_first_look(
    view: HostView, let_go: bool
) -> None:
    assert forced(deleted(force_delete="true"), view) is let_go
    assert not forced(deleted(), view)
    assert not forced(deleted(force_delete="yes"), view)


@pytest.mark.parametrize("error", [None, HostUnreachable("x")])
def test_what_is_left_behind_is_named_with_its_machine(error: OperatorError | None) -> None:
    (item,) = inventory_of([(Kind.GAME_INSTANCE, RAW)]).instances()
    made: Any = host()
    machine = inventory_of([(Kind.GAME_HOST, made)]).host("host-a")
    assert machine is not None
    entry = entry_of(RAW, 27960)
    text = left_behind(item, machine, entry, None, "0123abcd")
    for part in ("host-a", "198.18.1.1", "0123abcd", entry.path, "warlock-openarena@default"):
        assert part in text
    assert "whatever it had" in left_behind(item, machine, None, None, "")
