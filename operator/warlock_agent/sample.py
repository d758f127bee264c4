"""
Counters of every running unit of ours, every few seconds -> Sample frames. A thread of its own.

Where the kernel counts no memory of a group, the sum over its processes takes a millisecond each,
so this must not stand in the way of a signal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .board import Board
from .cgroup import Cgroups, control_group_of
from .model import UnitSample
from .wire import Sample


class Sampler:
    """Samples the units on the board until told to stop."""

    def __init__(
        self,
        board: Board,
        send: Callable[[Sample], None],
        stop: threading.Event,
        every_seconds: float,
        proc: str = "/proc",
    ) -> None:
        """every_seconds: from the begin of one sample to the begin of the next."""
        self._board = board
        self._send = send
        self._stop = stop
        self._every_seconds = every_seconds
        self._proc = proc
        self._cgroups = Cgroups(proc=proc)

    def run(self) -> None:
        """Sample until stopped. Raises: ChannelClosed."""
        while not self._stop.wait(self._every_seconds):
            units = self.sample()
            if units:
                self._send(Sample(int(time.monotonic() * 1000), units))

    def sample(self) -> tuple[UnitSample, ...]:
        """Read the counters now."""
        with self._board.truth:
            running = [(u.unit, u.main_pid) for u in self._board.told.values() if u.main_pid]
        found = ((unit, self._control_group(pid)) for unit, pid in sorted(running))
        return tuple(self._cgroups.sample(unit, group) for unit, group in found if group)

    def _control_group(self, pid: int) -> str:
        try:
            with open(f"{self._proc}/{pid}/cgroup", "rb") as file:
                return control_group_of(file.read(65536).decode("utf-8", "replace"))
        except OSError:  # it has ended
            return ""
