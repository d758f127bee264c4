"""How long to wait after a failure: exponential, with jitter, capped. Pure: chance is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def backoff(
    initial_seconds: float, cap_seconds: float, jitter: Callable[[], float]
) -> Iterator[float]:
    """
    Yield waits without end: doubling from *initial_seconds* to *cap_seconds*.

    Args:
        jitter: a number from 0 to 1; a wait is between half and the whole of its step, so that
            hosts that failed together do not come back together.
    """
    step = initial_seconds
    while True:
        yield step * (0.5 + jitter() / 2)
        step = min(step * 2, cap_seconds)
