"""Run one row: make the fault, hear what is said of it, take the cause away, time the healing."""

from __future__ import annotations

import time
from functools import partial

from soakkit.harm import tracebacks
from tests.e2e import scenes
from tests.e2e.faults.guard import Guard
from tests.e2e.faults.row import Measured, Row, Says
from tests.e2e.faults.stage import Stage
from tests.e2e.world import condition

SETTLED_SECONDS = 60.0
_SLACK_SECONDS = 30.0
"""A row that heals too late is still waited for, so that the next one begins well."""


def walk(row: Row, stage: Stage, guard: Guard) -> Measured:
    """Run *row* on *stage*; what went wrong stands in the result, and nothing is raised."""
    measured = Measured(row)
    try:
        _walk(row, stage, guard, measured)
    except Exception as error:  # shown by the row's test; the rows behind it go on
        measured.failure = error
        _leave(row, stage)
    return measured


def _walk(row: Row, stage: Stage, guard: Guard, measured: Measured) -> None:
    stage.notes.clear()
    stage.until(stage.well, SETTLED_SECONDS, "well before the row")
    starts_before = [scenes.starts(stage.machine, unit) for unit in stage.units]
    log_begin = stage.operator.log.stat().st_size
    guard.look_anew()
    if row.interrupts:
        guard.look_away()
    row.made.do(stage)
    began = time.monotonic()
    for says in row.says:
        stage.until(partial(_said, stage, says), row.seen_seconds, f"{row.name}: {says}")
    if row.unharmed:
        stage.until(partial(row.unharmed, stage), row.seen_seconds, f"{row.name}: unharmed")
    measured.seen_seconds = time.monotonic() - began
    row.cured.do(stage)
    limit = row.heals_seconds + _SLACK_SECONDS
    measured.healed_seconds = stage.until(lambda: _healed(row, stage), limit, f"{row.name}: heals")
    if row.interrupts:
        guard.look_anew()
    measured.harm += guard.harm
    measured.harm += _started(row, stage, starts_before)
    measured.harm += tracebacks(stage.operator.log, log_begin)
    if row.after:
        row.after(stage)


def _said(stage: Stage, says: Says) -> bool:
    found = condition(stage.get(says.about), says.type)
    fits = (found.get("status"), found.get("reason")) == (says.status, says.reason)
    return fits and all(hint in found["message"] for hint in says.hint)


def _healed(row: Row, stage: Stage) -> bool:
    return stage.well() and (row.healed is None or bool(row.healed(stage)))


def _started(row: Row, stage: Stage, before: list[int]) -> list[str]:
    """Say which unit was started more often, or less, than the row allows."""
    allowed = ((1, 1) if row.interrupts else (0, 0), row.starts)
    harm: list[str] = []
    for unit, earlier, (least, most) in zip(stage.units, before, allowed, strict=True):
        count = scenes.starts(stage.machine, unit) - earlier
        if not least <= count <= most:
            harm.append(f"{unit} was started {count} times, not {least} to {most}")
    return harm


def _leave(row: Row, stage: Stage) -> None:
    """Take the cause of a row away that went wrong, as far as that goes."""
    for act in (row.cured.do, row.after):
        try:
            if act:
                act(stage)
        except Exception as error:
            print(f"{row.name}: its cause could not be taken away: {error}")


def healthy_agents(stage: Stage) -> bool:
    """Whether exactly one agent serves on the machine: no second one of a lost connection."""
    return len(stage.agents()) == 1
