"""What is to be run, and what came of it. Values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from soakkit.slopes import Point
from soakkit.weather import KINDS, Kind, Weather, forecast


@dataclass(frozen=True)
class Plan:
    """What to run. every_seconds: the mean time between two things that happen."""

    seed: int
    seconds: float
    hosts: int
    per_host: int
    every_seconds: float
    kinds: Sequence[Kind] = KINDS

    def forecast(self) -> list[Weather]:
        """Give what will happen."""
        where = (self.hosts, self.per_host)
        return forecast(self.seed, self.seconds, *where, self.every_seconds, self.kinds)


@dataclass
class Outcome:
    """What came of it. wrong: empty where all went well."""

    plan: Plan
    happened: list[Weather] = field(default_factory=list)
    converged_seconds: float | None = None
    idle: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    series: dict[str, list[Point]] = field(default_factory=dict)
    ended: int = 0
    wrong: list[str] = field(default_factory=list)
