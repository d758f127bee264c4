"""
How far installs are -> OperationChanged frames, while one runs and at its end. A thread of its own.

An operation is a unit that outlives the agent; what it says of itself lies in files, and they are
looked at only while there is one. Starting one is a pass's business, which then wakes this thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Optional

from . import operations
from .apply import SYSTEMD_ERRORS
from .board import Board
from .model import Operation
from .systemd import Systemd
from .wire import OperationChanged

EVERY_SECONDS = 0.5
"""At most two frames a second tell of one operation."""


class Progress:
    """Follows the operations of this host until told to stop."""

    def __init__(
        self,
        board: Board,
        send: Callable[[OperationChanged], None],
        stop: threading.Event,
        records: operations.Records,
        systemd: Optional[Systemd] = None,
    ) -> None:
        """records: this thread's own."""
        self._board = board
        self._send = send
        self._stop = stop
        self._records = records
        self._systemd = systemd or Systemd()
        self._told: dict[str, Operation] = {}
        self._look = threading.Event()
        board.on_change(self._look.set)

    def wake(self) -> None:
        """Have it look, or end if it should."""
        self._look.set()

    def run(self) -> None:
        """Follow until stopped. Raises: ChannelClosed."""
        self._told = {one.id: one for one in self._seen()}
        while not self._stop.is_set():
            running = any(one.state == "Running" for one in self._told.values())
            self._look.wait(EVERY_SECONDS if running else None)
            self._look.clear()
            if running or self._board.installing:
                self._tell()
                self._stop.wait(0.0 if self._stop.is_set() else EVERY_SECONDS)
            else:
                self._systemd.close()  # or its signals would pile up unread

    def _tell(self) -> None:
        for one in self._seen():
            if self._told.get(one.id) != one:
                self._told[one.id] = one
                self._send(OperationChanged(one))

    def _seen(self) -> tuple[Operation, ...]:
        records = self._records.read()
        if not any(record.state == "Running" for record in records):
            return records
        try:
            listed = self._systemd.list_matching((operations.UNIT_PATTERN,))
            self._systemd.events()
        except SYSTEMD_ERRORS:
            return tuple(self._told.get(record.id, record) for record in records)
        states = {unit.unit: unit.active_state for unit in listed.values()}
        # Read again: one that ended between the two looks would seem to have been killed.
        return operations.as_seen(self._records.read(), states, int(time.time()))
