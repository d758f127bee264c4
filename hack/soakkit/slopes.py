"""How much something grows by the minute: least squares. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SETTLED_SECONDS = 60.0
"""A process's first minute is its own: it imports, fills caches, meets every host."""


@dataclass(frozen=True)
class Point:
    """One look: at which second, at which process (or connection), of what age, how much."""

    at_seconds: float
    whose: int
    age_seconds: float
    value: float


@dataclass(frozen=True)
class Trend:
    """What came of a series. per_minute: None where too little was seen for one."""

    first: float
    last: float
    least: float
    most: float
    per_minute: float | None


def trend(points: Sequence[Point]) -> Trend:
    """
    Give the trend of *points*, from the second minute of each process on.

    A process that was killed begins anew, and lower: so every process has its own level, and all
    have one slope.
    """
    old = [each for each in points if each.age_seconds >= SETTLED_SECONDS]
    values = [each.value for each in points]
    return Trend(values[0], values[-1], min(values), max(values), slope_per_minute(old))


def slope_per_minute(points: Iterable[Point]) -> float | None:
    """Give the common slope of all processes; None: none was seen at two moments."""
    over = under = 0.0
    for mine in _by_process(points).values():
        x_mean = sum(each.at_seconds for each in mine) / len(mine)
        y_mean = sum(each.value for each in mine) / len(mine)
        over += sum((each.at_seconds - x_mean) * (each.value - y_mean) for each in mine)
        under += sum((each.at_seconds - x_mean) ** 2 for each in mine)
    return over / under * 60 if under else None


def _by_process(points: Iterable[Point]) -> Mapping[int, list[Point]]:
    found: dict[int, list[Point]] = {}
    for each in points:
        found.setdefault(each.whose, []).append(each)
    return found
