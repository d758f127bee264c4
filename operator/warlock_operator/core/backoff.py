"""
When to try again: after a failure, after an edit, while a host is away. Pure: chance is passed in.

==========================  ==============================================================
what happened               the next attempt
==========================  ==============================================================
an attempt failed           after a wait that doubles, up to a cap (:func:`backoff`)
an edit, a request by       at once, but not sooner than a second after the last attempt
annotation, a new Secret    (:func:`pause_seconds`); the waits start anew
the host answers a bare     likewise; it is tried every five seconds, or less often where
TCP connect again           many are away (:func:`probe_period_seconds`)
==========================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

ATTEMPT_SECONDS = 1.0
"""Between two attempts to connect to one host, whoever asks for them."""


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


def pause_seconds(attempted_at: float, now: float) -> float:
    """Give how long an attempt that is due *now* has to wait for the last one's sake."""
    return max(0.0, attempted_at + ATTEMPT_SECONDS - now)


def probe_period_seconds(away: int, least_seconds: float, per_second: float) -> float:
    """Give the time between two probes of one host while *away* of them do not answer."""
    return max(least_seconds, away / per_second)
