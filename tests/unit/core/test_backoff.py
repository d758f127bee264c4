"""Waits double, stay below their cap, and never all the way down; probes keep to their budget."""

from __future__ import annotations

from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from warlock_operator.core.backoff import (
    ATTEMPT_SECONDS,
    STEADY_SECONDS,
    Waits,
    backoff,
    pause_seconds,
    probe_period_seconds,
)


@given(st.floats(0.1, 5), st.floats(5, 300), st.floats(0, 1))
def test_each_wait_is_between_half_and_the_whole_of_its_step(
    initial: float, cap: float, chance: float
) -> None:
    step = initial
    for wait in islice(backoff(initial, cap, lambda: chance), 20):
        assert step / 2 <= wait <= step
        step = min(step * 2, cap)


@given(st.floats(0.1, 5), st.floats(5, 300), st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_no_wait_is_above_the_cap_and_it_is_reached(
    initial: float, cap: float, chances: list[float]
) -> None:
    waits = list(islice(backoff(initial, cap, iter(chances).__next__), 20))
    assert max(waits) <= cap
    # 0.1 doubled twelve times is more than 300: from there on each step is the cap.
    assert min(waits[12:]) >= cap / 2


@given(st.lists(st.floats(0, 100), max_size=30))
def test_whenever_attempts_are_asked_for_they_are_a_second_apart(asked: list[float]) -> None:
    made: list[float] = []
    for at in sorted(asked):
        now = max(at, made[-1] if made else at)
        made.append(now + pause_seconds(made[-1] if made else float("-inf"), now))
    gaps = [later - earlier for earlier, later in pairwise(made)]
    assert all(gap >= ATTEMPT_SECONDS - 1e-9 for gap in gaps)
    # And nobody waits for nothing: the first one is made when it is asked for.
    assert made[:1] == sorted(asked)[:1]


@given(st.integers(0, 100_000), st.floats(1, 60), st.floats(1, 1000))
def test_probes_keep_to_the_budget_and_come_no_more_often_than_needed(
    away: int, least: float, per_second: float
) -> None:
    period = probe_period_seconds(away, least, per_second)
    assert period >= least
    assert away / period <= per_second * (1 + 1e-9)
    assert period == least or away / period >= per_second * (1 - 1e-9)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, STEADY_SECONDS * 2)), max_size=40))
def test_waits_begin_anew_after_health_and_not_before(passes: list[tuple[bool, float]]) -> None:
    waits, now, steps, well = Waits(lambda: iter(range(100))), 0.0, 0, None
    for succeeded, later in passes:
        now += later
        if succeeded:
            waits.well(now)
            well = now if well is None else well
        else:
            if well is not None and now - well >= STEADY_SECONDS:
                steps = 0
            assert waits.failed(now) == steps
            steps, well = steps + 1, None


def test_an_edit_lets_them_begin_anew() -> None:
    waits = Waits(lambda: iter(range(100)))
    assert [waits.failed(0.0) for _ in range(3)] == [0, 1, 2]
    waits.renew()
    assert waits.failed(0.0) == 0
