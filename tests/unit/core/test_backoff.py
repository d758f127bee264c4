"""Waits double, stay below their cap, and never all the way down."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from warlock_operator.core.backoff import backoff


@given(st.floats(0.1, 5), st.floats(5, 300), st.floats(0, 1))
def test_each_wait_is_between_half_and_the_whole_of_its_step(
    initial: float, cap: float, chance: float
) -> None:
    step = initial
    for wait in islice(backoff(initial, cap, lambda: chance), 20):
        assert step / 2 <= wait <= step
        step = min(step * 2, cap)
