"""
When something that failed on the host may be tried again. Pure; times are of the boot clock.

Kept in a file that a reboot clears, since a reboot is a new chance.
"""

from __future__ import annotations

from typing import Optional

from .model import ObservedUnit, Retry

FIRST_SECONDS = 10
CAP_SECONDS = 300
SETTLED_SECONDS = 600
"""A unit that has run for so long has recovered; arbitrary, twice the longest wait."""

CRASHES_OF_A_LOOP = 3
"""A failed unit that was restarted so often has hit its start limit."""


def gave_up(unit: ObservedUnit) -> bool:
    """Say whether systemd has given up a failed unit, which nobody had stopped."""
    if unit.stopped:
        return False
    return unit.restarts >= CRASHES_OF_A_LOOP or unit.result == "start-limit-hit"


def delay_seconds(attempts: int) -> int:
    """Give the wait after so many attempts: 10 s, doubling, at most 5 minutes."""
    return min(CAP_SECONDS, FIRST_SECONDS << min(max(attempts, 0), 10))


def due(retry: Optional[Retry], now_seconds: int) -> bool:
    """Say whether it may be tried now."""
    return retry is not None and now_seconds >= retry.next_at_seconds


def wait_seconds(retry: Retry, now_seconds: int) -> int:
    """Seconds until it may be tried again, at least 1."""
    return max(1, retry.next_at_seconds - now_seconds)
