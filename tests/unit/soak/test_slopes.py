"""Growth is told from a process's second minute on, and a new process is no growth."""

from __future__ import annotations

import pytest

from soakkit.slopes import Point, slope_per_minute, trend


def points(whose: int, begin: float, level: float, per_minute: float) -> list[Point]:
    """Give five minutes of one process."""
    return [
        Point(begin + age, whose, float(age), level + per_minute * age / 60)
        for age in range(0, 300, 2)
    ]


def test_a_straight_line_has_its_slope() -> None:
    assert slope_per_minute(points(1, 0.0, 100.0, 2.5)) == pytest.approx(2.5)


def test_a_process_that_began_anew_on_another_level_is_no_growth() -> None:
    found = trend([*points(1, 0.0, 100.0, 0.0), *points(2, 300.0, 180.0, 0.0)])
    assert found.per_minute == pytest.approx(0.0)
    assert (found.least, found.most, found.last) == (100.0, 180.0, 180.0)


def test_the_first_minute_is_left_out() -> None:
    warming = [Point(float(age), 1, float(age), float(min(age, 60))) for age in range(0, 300, 2)]
    assert trend(warming).per_minute == pytest.approx(0.0)


def test_too_little_has_no_slope() -> None:
    assert trend(points(1, 0.0, 1.0, 1.0)[:20]).per_minute is None
