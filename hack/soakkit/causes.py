"""How many main processes of an instance may have ended by now: each end has a cause. Pure."""

from __future__ import annotations

import threading
import time

from soakkit.weather import Weather

_BEFORE_SECONDS = 30.0
_AFTER_SECONDS = 60.0


class Causes:
    """What has happened to each instance so far. Threads share it."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._lock = threading.Lock()
        self._happened: list[tuple[float, Weather]] = []

    def note(self, weather: Weather, at_seconds: float | None = None) -> None:
        """Say that something is about to happen; *at_seconds* of the monotonic clock."""
        now = time.monotonic() if at_seconds is None else at_seconds
        with self._lock:
            self._happened.append((now, weather))

    def allowed(self, slot: int) -> int:
        """Give how many of the instance's main processes may have ended."""
        mine = self.of(slot)
        hard = [(at, each.kind.ends) for at, each in mine if each.kind.ends]
        loose = [at for at, each in mine if each.kind.loose]
        extra = sum(
            any(-_BEFORE_SECONDS <= when - at <= _AFTER_SECONDS for when, _ in hard) for at in loose
        )
        return sum(ends for _, ends in hard) + extra

    def of(self, slot: int) -> list[tuple[float, Weather]]:
        """Give what concerned an instance, oldest first."""
        with self._lock:
            return [pair for pair in self._happened if pair[1].concerns(slot, self._per_host)]
