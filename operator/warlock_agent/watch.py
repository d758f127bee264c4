"""
systemd's signals -> UnitsChanged frames: coalesced, but for a failure, which hardly waits.

One thread with a connection of its own. A unit that signalled is read once its signals have been
quiet for a moment (one start gives 14 of them). A failure is taken out of the signal itself: exit
code and signal are gone from systemd as soon as it restarts the unit. Whether it will restart it is
said 2 ms later: a failure waits for that, at most until units are read, or it would be told as one
that systemd has given up. A unit that has just started has its sockets looked at, ever more rarely,
until all that it should bind is bound.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from .apply import SYSTEMD_ERRORS
from .board import Board
from .dbus import DBusError
from .marshal import DBusProtocolError
from .model import ObservedUnit
from .sockets import SocketTable
from .systemd import (
    SERVICE,
    Event,
    SignalsLost,
    Systemd,
    UnitChanged,
    UnitNew,
    UnitRemoved,
    unit_state,
)
from .unit import Slots, UnitReader, has_failed, patterns_of
from .wire import UnitsChanged

FIRST_LOOK_SECONDS = 0.05
SLOWEST_LOOK_SECONDS = 1.0
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_FAILURE_WORDS = (b"failed\0", b"auto-restart")


@dataclass(frozen=True)
class Pace:
    """coalesce_seconds: quiet before units are read; bind_seconds: how long to await sockets."""

    coalesce_seconds: float = 0.02
    bind_seconds: float = 120.0


class Watch:
    """Watches the units on the board until told to stop."""

    def __init__(
        self,
        board: Board,
        send: Callable[[UnitsChanged], None],
        stop: threading.Event,
        pace: Pace = Pace(),
        systemd: Optional[Systemd] = None,
        score_of: Callable[[str], Optional[int]] = lambda unit: None,
    ) -> None:
        """send: to the operator; raises ChannelClosed when nobody is there."""
        self._board = board
        self._send = send
        self._stop = stop
        self._pace = pace
        self._systemd = systemd or Systemd()
        self._reader = UnitReader(self._systemd, score_of=score_of)
        self._sockets = SocketTable()
        self._watched: set[str] = set(board.slots)
        self._dirty: set[str] = set()
        self._read_at: Optional[float] = None
        self._service_signals: dict[str, UnitChanged] = {}
        self._failures: dict[str, ObservedUnit] = {}
        self._binding: dict[tuple[str, int], float] = {}  # by unit and main pid: until when
        self._look_at: Optional[float] = None
        self._look_seconds = FIRST_LOOK_SECONDS
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        board.on_change(self.wake)

    def wake(self) -> None:
        """From any thread: have it look at the board again, or end if it should."""
        self._call(b"w")

    def refresh(self) -> None:
        """From any thread: have it read every unit again, and tell what is new."""
        self._call(b"r")

    def _call(self, word: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # it is awake
            os.write(self._wake_write, word)

    def run(self) -> None:
        """Watch until stopped. Raises: ChannelClosed."""
        losses = 0
        while not self._stop.is_set():
            try:
                self._turn()
                losses = 0
            except (*SYSTEMD_ERRORS, DBusError):
                # systemd or the bus went away: signals are lost, so everything is looked at again.
                self._systemd.close()
                self._stop.wait(RECONNECT_SECONDS[min(losses, len(RECONNECT_SECONDS) - 1)])
                losses += 1
                self._mark(self._units())

    def _turn(self) -> None:
        self._await()
        self._take(self._systemd.events())
        now = time.monotonic()
        read = self._read_at is not None and now >= self._read_at
        look = self._look_at is not None and now >= self._look_at
        if read or look or all(map(_starts_again, self._failures.values())):
            self._tell_failures()  # before anything newer is told of those units
        if read:
            self._read_dirty()
        if look:
            self._look_at_sockets()

    def _await(self) -> None:
        poll = select.poll()
        poll.register(self._systemd.fileno(), select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        for descriptor, _ in poll.poll(self._patience_milliseconds()):
            if descriptor == self._wake_read:
                units = self._units()
                # A signal of a unit that was not on the board yet has been passed over.
                everything = b"r" in os.read(self._wake_read, 4096)
                self._mark(units if everything else units.keys() - self._watched)
                self._watched = set(units)
                self._await_sockets(units)

    def _patience_milliseconds(self) -> Optional[float]:
        """Say how long nothing may happen; None: for ever."""
        if self._systemd.has_events:
            return 0.0
        due = [at for at in (self._read_at, self._look_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 if due else None

    def _units(self) -> Mapping[str, Slots]:
        with self._board.truth:
            return dict(self._board.slots)

    # --- signals ----------------------------------------------------------------

    def _take(self, events: Sequence[Event]) -> None:
        self._reader.take(events)
        slots = self._board.slots  # replaced, never changed: needs no lock
        for event in events:
            if isinstance(event, SignalsLost):
                self._mark(self._units())
            elif isinstance(event, UnitChanged) and event.unit in slots:
                self._mark((event.unit,))
                failed = self._failure(event)
                if failed is not None:
                    self._failures[event.unit] = failed  # the last one counts
            elif isinstance(event, (UnitNew, UnitRemoved)) and event.unit in slots:
                self._mark((event.unit,))

    def _tell_failures(self) -> None:
        failures, self._failures = self._failures, {}
        if failures:
            self._tell(list(failures.values()))

    def _failure(self, event: UnitChanged) -> Optional[ObservedUnit]:
        """
        Read a failure out of a signal; None for any other change.

        systemd sends what is a service's own first, then what every unit has; the state is in the
        second, the exit code in the first. Reading one takes a while, and a start sends a dozen, so
        bytes are looked at before they are read.
        """
        body = event.message.body
        if SERVICE.encode() in body[:64]:
            self._service_signals[event.unit] = event
            return None
        service = self._service_signals.pop(event.unit, None)
        if service is None or not any(word in body for word in _FAILURE_WORDS):
            return None
        try:
            state = unit_state(event.unit, event.properties(), service.properties())
        except DBusProtocolError:
            return None  # it is dirty, and read in a moment
        # On the way back up (auto-restart-queued) systemd has forgotten already how it ended.
        forgotten = not state.exit_code and state.result == "success"
        if forgotten or state.stopped or not has_failed(state.active_state, state.sub_state):
            return None
        # Without its last lines: they take a process, and come with the read that follows.
        return self._reader.observed(state, (), with_journal=False)

    # --- reading ----------------------------------------------------------------

    def _mark(self, units: Iterable[str]) -> None:
        self._dirty.update(units)
        if self._dirty and self._read_at is None:
            self._read_at = time.monotonic() + self._pace.coalesce_seconds

    def _read_dirty(self) -> None:
        dirty = sorted(self._dirty & self._board.slots.keys())
        self._dirty.clear()
        self._read_at = None
        if dirty:
            self._tell_as_they_are(dirty)
            self._await_sockets(dirty)
            self._mark(self._reader.unread_journals)

    def _tell_as_they_are(self, units: Sequence[str]) -> None:
        with self._board.truth:
            listed = self._systemd.list_matching(patterns_of(units))
            read = self._reader.read(units, listed, self._sockets.read())
            self._send_news(read)

    def _tell(self, units: Sequence[ObservedUnit]) -> None:
        with self._board.truth:
            self._send_news(units)

    def _send_news(self, units: Iterable[ObservedUnit]) -> None:
        news = self._board.news(units)
        if news:
            self._send(UnitsChanged(news))
            self._board.units_told(news)

    # --- sockets ----------------------------------------------------------------

    def _await_sockets(self, units: Iterable[str]) -> None:
        """Look at the sockets of those of *units* that run and have not bound all they should."""
        with self._board.truth:
            incomplete = {self._process(unit) for unit in units if self._incomplete(unit)}
        deadline = time.monotonic() + self._pace.bind_seconds
        new = incomplete - self._binding.keys()
        self._binding.update((process, deadline) for process in new)
        if new:
            self._look_seconds = FIRST_LOOK_SECONDS
            self._look_at = time.monotonic() + self._look_seconds

    def _process(self, unit: str) -> tuple[str, int]:
        """Whose sockets are awaited: one that is started anew has all its time again."""
        return unit, self._board.told[unit].main_pid

    def _incomplete(self, unit: str) -> bool:
        told = self._board.told.get(unit)
        if told is None or told.active_state != "active":
            return False
        return not set(self._board.slots.get(unit, ())) <= set(told.ports)

    def _look_at_sockets(self) -> None:
        units = {unit for unit, _ in self._binding} & self._board.slots.keys()
        self._tell_as_they_are(sorted(units))
        now = time.monotonic()
        with self._board.truth:
            self._binding = {
                (unit, pid): deadline
                for (unit, pid), deadline in self._binding.items()
                if deadline > now and self._incomplete(unit) and (unit, pid) == self._process(unit)
            }
        self._look_seconds = min(self._look_seconds * 2, SLOWEST_LOOK_SECONDS)
        self._look_at = now + self._look_seconds if self._binding else None


def _starts_again(unit: ObservedUnit) -> bool:
    return unit.sub_state.startswith("auto-restart")
