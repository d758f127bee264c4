"""What people are told: of conditions that change, and of what was changed on a machine."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.unit.core.worlds import entry_of, instance
from warlock_agent import names
from warlock_agent.model import Ledger, StepResult
from warlock_operator.api.conditions import Conditions, set_condition
from warlock_operator.api.names import ConditionStatus, ConditionType, Reason, Why
from warlock_operator.core.events import drift_events, events_of
from warlock_operator.errors import MainProcessExited

FIRST, SECOND = (
    entry_of(instance(name, instance_id=id_), 27960)
    for name, id_ in (("a", None), ("b", "f50e8400-e29b-41d4-a716-446655440000"))
)
LEDGER = Ledger(instances=(FIRST, SECOND))


def told(target: str, key: str) -> list[str]:
    put_back = StepResult("WriteFile", target, key, found="it had been changed")
    return [who for who, _ in drift_events([put_back], LEDGER)]


def test_a_template_concerns_all_who_share_it() -> None:
    template = names.template_path("warlock-openarena")
    assert told(template, FIRST.key) == [FIRST.key, SECOND.key]


def test_a_file_of_its_own_concerns_one() -> None:
    drop_in = names.drop_in_path("warlock-openarena", "default")
    assert told(drop_in, FIRST.key) == [FIRST.key]


def test_what_nobody_had_changed_is_not_told() -> None:
    step = StepResult("WriteFile", names.template_path("warlock-openarena"), FIRST.key)
    assert not list(drift_events([step], LEDGER))


# --- the story of a condition ---------------------------------------------------------

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def story(*steps: tuple[ConditionStatus, Why]) -> list[str]:
    """Reasons of the events that Running tells on its way."""
    before: Conditions = ()
    found: list[str] = []
    for status, reason in steps:
        after = set_condition(before, ConditionType.RUNNING, status, reason, now=NOW)
        found += [told.reason for told in events_of(before, after)]
        before = after
    return found


TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
RUNS = (TRUE, Reason.RUNNING)
STARTS = (FALSE, Reason.STARTING)
CRASHES = (FALSE, MainProcessExited.reason)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([(UNKNOWN, Reason.NOT_VISITED), (FALSE, Reason.WAITING), STARTS, RUNS], ["Started"]),
        ([STARTS, RUNS], ["Started"]),
        ([RUNS, CRASHES, STARTS, RUNS], ["Started", "MainProcessExited", "Starting", "Started"]),
        ([RUNS, (FALSE, Reason.STOPPING), (FALSE, Reason.STOPPED)],
         ["Started", "Stopping", "Stopped"]),
        ([RUNS, STARTS], ["Started", "Starting"]),
        ([(UNKNOWN, Reason.NOT_SEEN), CRASHES], ["MainProcessExited"]),
    ],
)  # fmt: skip
def test_nothing_is_told_of_what_is_yet_to_run(
    steps: list[tuple[ConditionStatus, Why]], told: list[str]
) -> None:
    assert story(*steps) == told
