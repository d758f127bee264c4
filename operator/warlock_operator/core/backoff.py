"""
When to try again: after a failure, after an edit, while a host is away. Pure: chance is passed in.

==========================  ==============================================================
what happened               the next attempt
==========================  ==============================================================
an attempt failed           after a wait that doubles, up to a cap (:class:`Waits`)
it fails again soon after   likewise: what breaks soon after each start is not started every
it was well                 second for ever
an edit, a request by       at once, but not sooner than a second after the last attempt
annotation, a new Secret    (:func:`pause_seconds`); the waits start anew
the host took no bare TCP   likewise; it is tried every five seconds, or less often where
connection, and does again  many are away (:func:`probe_period_seconds`)
==========================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

ATTEMPT_SECONDS = 1.0
"""Between two attempts to connect to one host, whoever asks for them."""


STEADY_SECONDS = 10.0
"""A failure after so long without one has nothing to do with those before; arbitrary."""


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


class Waits:
    """The waits between attempts at one host; *now* is any clock that does not jump."""

    def __init__(self, renewed: Callable[[], Iterator[float]]) -> None:
        """renewed: gives the waits from their beginning."""
        self._renewed = renewed
        self._waits = renewed()
        self._well_since: float | None = None

    def renew(self) -> None:
        """Begin anew: somebody has changed something."""
        self._waits = self._renewed()

    def well(self, now: float) -> None:
        """Note that all was done that was to be done."""
        if self._well_since is None:
            self._well_since = now

    def steady(self, now: float) -> bool:
        """Whether it has been well for so long that a failure would be a new one."""
        return self._well_since is not None and now - self._well_since >= STEADY_SECONDS

    def failed(self, now: float) -> float:
        """Note a failure; gives the seconds to wait."""
        if self.steady(now):
            self.renew()
        self._well_since = None
        return next(self._waits)


def pause_seconds(attempted_at: float, now: float) -> float:
    """Give how long an attempt that is due *now* has to wait for the last one's sake."""
    return max(0.0, attempted_at + ATTEMPT_SECONDS - now)


def probe_period_seconds(away: int, least_seconds: float, per_second: float) -> float:
    """Give the time between two probes of one host while *away* of them do not answer."""
    return max(least_seconds, away / per_second)
