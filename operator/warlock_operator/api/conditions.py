"""
The algebra of condition lists: pure, and the time comes in as an argument.

A list is a tuple in the order in which its types were first set, so that equal facts give an
equal status and an equal status is not written.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from warlock_operator.api.names import ConditionStatus, ConditionType, Reason, Why
from warlock_operator.api.v1alpha1.meta import Condition
from warlock_operator.api.v1alpha1.values import MAX_MESSAGE, said
from warlock_operator.errors import BY_REASON

Conditions = tuple[Condition, ...]

TROUBLESHOOTING = "docs/troubleshooting.md"
"""Of this project; the README and ``kubectl explain`` say so."""

POINTED = frozenset({*BY_REASON, Reason.NOT_SEEN, Reason.RECOVERING})
"""Reasons with which something is wrong; the message of such a condition says where to read on."""


def get_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((each for each in conditions if each.type == type_), None)


def set_condition(
    conditions: Conditions,
    type_: ConditionType,
    status: ConditionStatus,
    reason: Why,
    message: str = "",
    *,
    now: datetime,
    observed_generation: int = 0,
) -> Conditions:
    """
    Put one condition into the list; its transition time moves only when its status does.

    Args:
        message: made printable and cut to what the schema allows; where something is wrong, its
            first line gets the place of the reason's entry in docs/troubleshooting.md.
        now: the time that a change of status gets; whole seconds are kept.
    """
    before = get_condition(conditions, type_)
    message = said(pointed(reason, message) if reason in POINTED else message, MAX_MESSAGE)
    if before is not None and (status, reason, message, observed_generation) == (
        before.status,
        before.reason,
        before.message,
        before.observed_generation,
    ):
        return conditions
    moved = before is None or before.status != status
    made = Condition(
        type=type_,
        status=status,
        reason=str(reason),
        message=message,
        last_transition_time=now.replace(microsecond=0)
        if moved or before is None
        else before.last_transition_time,
        observed_generation=observed_generation,
    )
    if before is None:
        return (*conditions, made)
    return tuple(made if each is before else each for each in conditions)


def pointed(reason: str, message: str) -> str:
    """The message, with the place of its reason's entry at the end of its first line."""
    first, newline, rest = message.partition("\n")
    where = f"; see {TROUBLESHOOTING}#{reason.lower()}"
    room = MAX_MESSAGE - len(where) - len("\n…")
    return f"{said(first.rstrip('. '), room)}{where}{newline}{rest}"
