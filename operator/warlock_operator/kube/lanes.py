"""
Who is next to be written: a queue a lane, and the fleet's allowance for measurements.

Ordered by time, then by arrival, so that nobody starves. A turn whose object wants something
else by now stays in the queue until it comes up, and is passed over then. Used by ``status``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from warlock_operator.kube.decisions import Due, Lane


@dataclass(order=True)
class Turn:
    """A place in a lane's queue."""

    at: float
    number: int
    uid: str = field(compare=False)
    plan: Due = field(compare=False)


class Lanes:
    """The two queues; monotonic seconds from *clock*."""

    def __init__(self, measurements_per_second: float, clock: Callable[[], float]) -> None:
        self._rate = measurements_per_second
        self._clock = clock
        self._queues: dict[Lane, list[Turn]] = {lane: [] for lane in Lane}
        self._number = 0
        self._allowance = 1.0  # measurement writes that the fleet may make now
        self._counted_at = clock()

    def add(self, uid: str, plan: Due) -> None:
        """Queue the object for *plan*."""
        self._number += 1
        heapq.heappush(self._queues[plan.lane], Turn(plan.at, self._number, uid, plan))

    def first(self, lane: Lane, counts: Callable[[Turn], bool]) -> Turn | None:
        """The lane's next turn that *counts*; those before it are dropped."""
        queue = self._queues[lane]
        while queue and not counts(queue[0]):
            heapq.heappop(queue)
        return queue[0] if queue else None

    def take(self, lane: Lane) -> Turn:
        """Take the lane's first turn out."""
        return heapq.heappop(self._queues[lane])

    def wait_seconds(self, turn: Turn) -> float:
        """Seconds until *turn* may be taken; 0 or less: now."""
        wait = turn.at - self._clock()
        if turn.plan.lane is Lane.STATE:
            return wait
        return max(wait, (1.0 - self._refilled()) / self._rate)

    def spend(self, lane: Lane) -> None:
        """Count a write against the lane's allowance."""
        if lane is Lane.MEASUREMENT:
            self._allowance -= 1.0

    def _refilled(self) -> float:
        """The allowance as of now; a second's worth, and at least one, can be saved up."""
        now = self._clock()
        earned = (now - self._counted_at) * self._rate
        self._allowance = min(max(1.0, self._rate), self._allowance + earned)
        self._counted_at = now
        return self._allowance
