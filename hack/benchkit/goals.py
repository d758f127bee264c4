"""What the design asks for, and whether a run has reached it: ratios within the run alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchkit import tables
from benchkit.results import Results

_SCENES = ("10 on 1", "100 on 1", "10 on each of 10")


@dataclass(frozen=True)
class Goal:
    """A ratio, or seconds, and its limit; *most*: not to be exceeded, else to be reached."""

    what: str
    limit: float
    most: bool
    found: Callable[[Results], float | None]
    unit: str = "×"


def table(results: Results) -> str:
    """Give a line a goal that was measured."""
    rows = []
    for goal in GOALS:
        found = goal.found(results)
        if found is None:
            continue
        reached = found <= goal.limit if goal.most else found >= goal.limit
        sign = "≤" if goal.most else "≥"
        shown = _number(found, goal.unit)
        asked = f"{sign} {_number(goal.limit, goal.unit)}"
        rows.append([goal.what, asked, shown, "yes" if reached else "**no**"])
    return tables.table(["goal", "asked", "measured", "reached"], rows)


def _number(value: float, unit: str) -> str:
    if unit == "ms":
        return f"{value:.0f} ms"
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def _ratio(scene: str, phase: str, way: str, ours_above: bool) -> Callable[[Results], float | None]:
    """Give theirs / ours, or ours / theirs, of medians."""

    def found(results: Results) -> float | None:
        ours, theirs = (results.find(scene, phase, name) for name in ("agent", way))
        if ours is None or theirs is None:
            return None
        return ours.median / theirs.median if ours_above else theirs.median / ours.median

    return found


def _percentile(
    scene: str, phase: str, way: str, share: float
) -> Callable[[Results], float | None]:
    def found(results: Results) -> float | None:
        sample = results.find(scene, phase, way)
        return sample.percentile(share) * 1000 if sample else None

    return found


def _above_floor(results: Results) -> float | None:
    ours = results.find("apply to active", "apply → unit active", "operator")
    floor = results.find("apply to active", "apply → unit active", "floor")
    if ours is None or floor is None:
        return None
    return (ours.percentile(0.95) - floor.percentile(0.95)) * 1000


def _goals() -> Iterator[Goal]:
    for scene in _SCENES:
        of_bare = _ratio(scene, "converge", "bare", True)
        yield Goal(f"converge {scene}: ours to bare systemd", 1.5, True, of_bare)
        of_program = _ratio(scene, "converge", "program", True)
        yield Goal(f"converge {scene}: ours to the one Python program", 1.0, True, of_program)
    for way, limits in {"ansible": (40, 200), "pyinfra": (40, 0)}.items():
        for scene, limit in zip(_SCENES, limits, strict=False):
            if limit:
                of_way = _ratio(scene, "converge", way, False)
                yield Goal(f"converge {scene}: {way} to ours", limit, False, of_way)
    for way, limit in {"program": 5, "ansible": 1000}.items():
        of_way = _ratio("100 on 1", "no-op", way, False)
        yield Goal(f"no-op 100 on 1: {way} to ours", limit, False, of_way)
    yield Goal("apply → active, p95 above the floor's p95", 300, True, _above_floor, "ms")
    kill = ("kill to condition", "kill → condition", "operator")
    yield Goal("kill → condition, p95", 250, True, _percentile(*kill, 0.95), "ms")
    yield Goal("kill → condition, p50 (aim)", 50, True, _percentile(*kill, 0.5), "ms")


GOALS = tuple(_goals())
