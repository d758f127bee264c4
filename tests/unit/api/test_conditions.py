"""Condition lists: transition times, one of a type, and where to read on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_operator.api.conditions import (
    get_condition,
    set_condition,
)
from warlock_operator.api.names import ConditionStatus, ConditionType, Reason, Why
from warlock_operator.api.v1alpha1.meta import Condition
from warlock_operator.api.v1alpha1.values import said
from warlock_operator.errors import BY_REASON, CrashLoop, OperatorError

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
TYPES = list(ConditionType)

settings = st.lists(
    st.tuples(
        st.sampled_from(TYPES),
        st.sampled_from(list(ConditionStatus)),
        st.sampled_from(["A", "B"]),
        st.integers(0, 10_000),
    ),
    max_size=20,
)


def _made(changes: list[tuple[ConditionType, ConditionStatus, str, int]]) -> tuple[Condition, ...]:
    made: tuple[Condition, ...] = ()
    for type_, status, reason, seconds in changes:
        made = set_condition(made, type_, status, reason, now=NOW + timedelta(seconds=seconds))
    return made


def test_a_new_condition_gets_the_time_in_whole_seconds() -> None:
    made = set_condition(
        (), ConditionType.READY, TRUE, "Fine", "well", now=NOW, observed_generation=3
    )
    assert made[0].to_json() == {
        "type": "Ready",
        "status": "True",
        "reason": "Fine",
        "message": "well",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "observedGeneration": 3,
    }


def test_another_reason_is_no_transition() -> None:
    before = set_condition((), ConditionType.READY, FALSE, "A", now=NOW)
    after = set_condition(before, ConditionType.READY, FALSE, "B", "m", now=LATER)
    assert after[0].reason == "B"
    assert after[0].last_transition_time == before[0].last_transition_time


def test_another_status_is_a_transition() -> None:
    before = set_condition((), ConditionType.READY, FALSE, "A", now=NOW)
    after = set_condition(before, ConditionType.READY, UNKNOWN, "A", now=LATER)
    assert after[0].last_transition_time == LATER.replace(microsecond=0)


@given(settings)
def test_a_type_is_there_once_with_what_was_said_last(
    changes: list[tuple[ConditionType, ConditionStatus, str, int]],
) -> None:
    made = _made(changes)
    last = {type_: (status, reason) for type_, status, reason, _ in changes}
    assert {each.type: (each.status, each.reason) for each in made} == last
    assert len(made) == len(last)
    assert [each.type for each in made] == list(dict.fromkeys(change[0] for change in changes))


@given(settings, st.sampled_from(TYPES))
def test_saying_it_again_changes_nothing(
    changes: list[tuple[ConditionType, ConditionStatus, str, int]], type_: ConditionType
) -> None:
    made = _made(changes)
    found = get_condition(made, type_)
    if found is not None:
        again = set_condition(made, type_, found.status, found.reason, found.message, now=LATER)
        assert again == made


def test_a_long_message_is_clipped_to_what_the_schema_allows() -> None:
    made = set_condition((), ConditionType.READY, FALSE, "A", "x" * 10_000, now=NOW)
    assert len(made[0].message) == 4096
    assert made[0].message.endswith("…")
    assert said("short", 5) == "short"


def _message(reason: Why, message: str) -> str:
    return set_condition((), ConditionType.READY, FALSE, reason, message, now=NOW)[0].message


@pytest.mark.parametrize("error", BY_REASON.values(), ids=lambda each: each.__name__)
def test_what_is_wrong_says_where_to_read_on(error: type[OperatorError]) -> None:
    assert _message(error.reason, "Why. ") == (
        f"Why; see docs/troubleshooting.md#{error.__name__.lower()}"
    )


@pytest.mark.parametrize("reason", set(Reason) - {Reason.NOT_SEEN, Reason.RECOVERING})
def test_what_is_not_wrong_needs_no_more_words(reason: Reason) -> None:
    assert _message(reason, "Why. ") == "Why. "


def test_the_place_stands_before_the_journal_however_long_either_is() -> None:
    where = "; see docs/troubleshooting.md#crashloop"
    assert _message(CrashLoop.reason, "ended\nIts last lines:\na\nb") == (
        f"ended{where}\nIts last lines:\na\nb"
    )
    assert _message(CrashLoop.reason, "ended\n" + "x" * 10_000).startswith(f"ended{where}\nx")
    assert _message(CrashLoop.reason, "x" * 10_000 + "\nyy").endswith(f"…{where}\n…")


def test_what_a_machine_says_drives_no_terminal() -> None:
    assert _message(Reason.RUNNING, "a\x1b[2J\u202eb\nc") == "a [2J b\nc"
