"""
What need not be said twice on one channel: a host that is as it was said last. Pure.

A host with 100 instances takes 140 kB to say and, on both ends, most of the time of a pass that
finds nothing to do. So the agent, which knows what it said last (:mod:`board`), says "as before"
to a request that tells that its sender remembers, and the operator's end of the channel fills it
in, frame by frame, in the order in which they came. News of units in between does not matter: "as
before" means the last *whole* host, and is said only where the host is that again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from .model import ObservedHost
from .wire import Frame, Hello, Report, State, WireError


def as_said(observed: ObservedHost) -> ObservedHost:
    """Give *observed* without what is not sent, or changes with time alone."""
    return replace(observed, files=(), uptime_seconds=0)


def shortened(observed: ObservedHost, said: Optional[ObservedHost]) -> ObservedHost:
    """Give what to send for *observed*. said: :func:`as_said` of the last one; None: none yet."""
    if said is None or as_said(observed) != said:
        return observed
    return ObservedHost(uptime_seconds=observed.uptime_seconds, as_before=True)


class Recall:
    """The hearing end of one channel."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._whole: Optional[ObservedHost] = None

    @property
    def remembers(self) -> bool:
        """Whether the last whole host is known: what a request says in ``remembers``."""
        return self._whole is not None

    def forget(self) -> None:
        """A frame was lost, and may have had a whole host in it."""
        self._whole = None

    def filled(self, frame: Frame) -> Frame:
        """
        Give *frame* with the host that it leaves out. Every frame goes through here, in order.

        Raises:
            WireError: it says "as before", and what was before is not remembered.
        """
        if not isinstance(frame, (Hello, Report, State)):
            return frame
        observed = frame.observed
        if not observed.as_before:
            self._whole = observed
            return frame
        if self._whole is None:
            error = WireError("a host as before, and what was before is not remembered")
            error.request = getattr(frame, "request", 0)
            raise error
        whole = replace(self._whole, uptime_seconds=observed.uptime_seconds)
        return replace(frame, observed=whole)
