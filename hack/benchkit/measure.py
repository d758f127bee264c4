"""Samples and what is said of them: plain values, so that results can be read again."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Pairs = list[tuple[tuple[str, str, str], float]]
"""Single trials: (scene, phase, way) and seconds."""


@dataclass(frozen=True)
class Sample:
    """
    What was measured for one way in one scene, all trials.

    scene: such as ``10 on 1``. phase: ``converge``, ``no-op``, ``one change``, ``status`` or what a
    trial of a cluster goes through. way: whose. seconds: one a trial, in order.
    """

    scene: str
    phase: str
    way: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of all trials, in seconds."""
        return statistics.median(self.seconds)

    def percentile(self, share: float) -> float:
        """Give the value that *share* (0 to 1) of the trials do not exceed: the nearest rank."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def timed(work: Callable[[], object]) -> float:
    """Run *work*; give the seconds that it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gathered(pairs: Pairs) -> list[Sample]:
    """Put the trials of the same (scene, phase, way) together, in the order of their first."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for key, seconds in pairs:
        found.setdefault(key, []).append(seconds)
    return [Sample(*key, tuple(seconds)) for key, seconds in found.items()]


def text(seconds: float) -> str:
    """Say seconds with three significant digits, in s or ms."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
