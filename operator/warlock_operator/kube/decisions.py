"""
When a status is written: at once, with the measurements' lane, or not at all. Pure.

    what differs from the status written last        when
    nothing                                          never
    any key but the measurements                     now
    a measurement, coming, going or of another kind  the measurements' lane
    a number, beyond the dead band                   the measurements' lane
    a number, within it                              never

The lane opens for an object ``status_measurement_seconds`` after its last write, and lets
``status_measurements_per_second`` through for the whole fleet. Whatever is written is the whole
status, so that measurements ride along with a change of state for nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from warlock_operator.settings import Settings

Status = Mapping[str, Any]

MEASUREMENTS: Final = frozenset({"players", "metrics"})
"""Keys of a status that hold numbers which change by themselves."""

TASKS_BAND: Final = 2.0  # threads come and go in any process


class Lane(enum.Enum):
    """How urgent a write is."""

    STATE = "state"
    MEASUREMENT = "measurement"


@dataclass(frozen=True)
class Due:
    """A write that should happen: not before *at* (monotonic seconds)."""

    at: float
    lane: Lane


def due(
    written: Status | None, wanted: Status, now: float, written_at: float, settings: Settings
) -> Due | None:
    """
    Whether and when to write *wanted* over *written*.

    Args:
        written: the status that the object is known to have; None: unknown, so write.
        now: monotonic seconds.
        written_at: when it was written last, or found written; ``-inf`` where it never was.
    """
    if written is None or _states(written) != _states(wanted):
        return Due(now, Lane.STATE)
    if all(within(written.get(k), wanted.get(k), k, settings) for k in MEASUREMENTS):
        return None
    return Due(max(now, written_at + settings.status_measurement_seconds), Lane.MEASUREMENT)


def _states(status: Status) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in MEASUREMENTS}


def within(written: object, wanted: object, key: str, settings: Settings) -> bool:
    """Whether the difference between two values under *key* is too small to be worth a write."""
    if written == wanted:
        return True
    if isinstance(written, Mapping) and isinstance(wanted, Mapping):
        return written.keys() == wanted.keys() and all(
            within(written[name], wanted[name], name, settings) for name in written
        )
    if _number(written) and _number(wanted):
        return _near(float(written), float(wanted), key, settings)  # type: ignore[arg-type]
    return False


def _near(written: float, wanted: float, key: str, settings: Settings) -> bool:
    """
    Whether two numbers are within the dead band; one without a band must be equal (players).

    Both bands must be left: the relative one alone would write an idle instance's 1 → 2
    millicores each minute, the absolute one alone every breath of a busy one.
    """
    band = {
        "cpuMillicores": settings.status_dead_band_cpu_millicores,
        "memoryBytes": settings.status_dead_band_memory_bytes,
        "tasks": TASKS_BAND,
    }.get(key, 0.0)
    difference = abs(wanted - written)
    relative = abs(written) * settings.status_dead_band_percent / 100 if band else 0.0
    return difference <= max(band, relative)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
