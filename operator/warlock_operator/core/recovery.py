"""
What was Ready and has ended by itself: whether it recovers, and for how long it may. Pure.

All that is remembered stands in the status that was published last, so that another operator goes
on from there (``docs/decisions/0013-a-crash-has-a-grace-in-health.md``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from warlock_agent.model import ObservedUnit
from warlock_operator.api.conditions import get_condition
from warlock_operator.api.names import ConditionStatus, ConditionType, Reason
from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus
from warlock_operator.core.running import Running
from warlock_operator.errors import MainProcessExited


def recovery_left(status: GameInstanceStatus, now: datetime, grace: timedelta) -> timedelta | None:
    """
    Give how long what recovers has left to be Ready again; None where nothing recovers.

    A clock that was put back ends it: better early than for an hour.
    """
    ready = get_condition(status.conditions, ConditionType.READY)
    if ready is None or ready.reason != Reason.RECOVERING:
        return None
    gone = now.replace(microsecond=0) - ready.last_transition_time
    if gone < timedelta(0) or gone >= grace:
        return timedelta(0)
    return ready.last_transition_time + grace - now


def recovers(
    previous: GameInstanceStatus,
    generation: int,
    running: Running,
    units: Sequence[ObservedUnit],
    now: datetime,
    grace: timedelta,
    ours: bool,
) -> bool:
    """
    Whether what is not Ready is so for no other cause than its own end, not long ago.

    ours: it may be a pass that ended it, or that restarted what has ended now: what was Ready is
    the process before then, perhaps of another version.
    """
    ready = get_condition(previous.conditions, ConditionType.READY)
    if ready is None or ready.observed_generation != generation:
        return False
    if ready.status == ConditionStatus.TRUE:
        return bool(grace) and not ours and _ended_by_itself(previous, running, units)
    return bool(recovery_left(previous, now, grace))


def _ended_by_itself(
    previous: GameInstanceStatus, running: Running, units: Sequence[ObservedUnit]
) -> bool:
    """Whether it was systemd that found a process gone, or has started one anew."""
    shown = {each.unit: each.restarts for each in previous.services}
    return running.reason == MainProcessExited.reason or any(
        unit.restarts > shown.get(unit.unit, unit.restarts)
        or (unit.active_state == "active" and not unit.main_pid)
        for unit in units
    )
