"""
Long work on the host: transient units, and the records in which they tell how far they are.

An operation ``install-…`` is the unit ``warlock-install-….service``; its record lies under the
ledger's directory, so that a result outlives unit, agent and reboot. A record that says Running
while its unit is gone was killed or lost its machine: that is Failed, and tried again with
back-off. Called by :mod:`apply` (start), :mod:`observe` (look) and ``__main__ install`` (write).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Optional

from . import install, names
from .files import read_regular
from .ledger import OPERATIONS
from .model import Operation
from .steps import StartInstall
from .systemd import Systemd, service_properties
from .wire import WireError, from_plain, to_plain

UNIT_PREFIX = "warlock-"
UNIT_PATTERN = "warlock-install-*.service"
DEADLINE_SECONDS = 1800
GIVE_UP_SECONDS = 30
GRACE_SECONDS = 5
"""The record is written before its unit is started: so long it may have none."""
RECORD = "operation.json"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_Signatures = tuple[Optional[tuple[int, int, int]], Optional[tuple[int, int, int]]]
_ALIVE = frozenset(("active", "activating", "reloading", "deactivating"))


def unit_of(operation: str) -> str:
    """Name the transient unit of an operation."""
    return f"{UNIT_PREFIX}{operation}.service"


class Records:
    """
    The records of operations, a directory each: ``operation.json`` is written when it is started,
    ``progress.json`` by the operation itself (:mod:`install`).
    """

    def __init__(self, root: str = "") -> None:
        """root: put before every path; a directory of a test."""
        self.directory = f"{root}{names.LEDGER_DIR}/{OPERATIONS}"
        self._known: dict[str, tuple[_Signatures, Operation]] = {}

    def directory_of(self, operation: str) -> str:
        """Give the directory of an operation. Raises: ValueError for what can't be a name."""
        if not _ID.fullmatch(operation) or operation.startswith("."):
            raise ValueError(f"{operation!r} can't name an operation")
        return f"{self.directory}/{operation}"

    def begin(self, operation: Operation) -> None:
        """Write the record of an operation that is about to be started; forget an earlier run."""
        directory = self.directory_of(operation.id)
        os.makedirs(directory, 0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/{install.PROGRESS_FILE}")
        temporary = f"{directory}/{RECORD}.tmp"
        with open(temporary, "w", encoding="ascii") as file:
            file.write(json.dumps(to_plain(operation)))
        os.rename(temporary, f"{directory}/{RECORD}")

    def read(self) -> tuple[Operation, ...]:
        """Give every operation whose record can be read, sorted by id."""
        try:
            found = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return ()
        read = (self._read(name) for name in found)
        return tuple(operation for operation in read if operation is not None)

    def _read(self, name: str) -> Optional[Operation]:
        directory = f"{self.directory}/{name}"
        signatures = (
            _signature(f"{directory}/{RECORD}"),
            _signature(f"{directory}/{install.PROGRESS_FILE}"),
        )
        known = self._known.get(name)
        if known is not None and known[0] == signatures:
            return known[1]
        with contextlib.suppress(OSError, ValueError, RecursionError, WireError):
            plain = json.loads(read_regular(f"{directory}/{RECORD}"))
            record = from_plain(Operation, plain, "operation")
            made = _with_progress(record, install.read_progress(directory))
            self._known[name] = (signatures, made)
            return made
        return None


def _signature(path: str) -> Optional[tuple[int, int, int]]:
    try:
        there = os.stat(path)
    except OSError:
        return None
    return there.st_ino, there.st_size, there.st_mtime_ns


def _with_progress(record: Operation, progress: Optional[install.Progress]) -> Operation:
    if progress is None:
        return record
    return replace(
        record,
        state=progress.state,
        step=progress.step,
        progress=progress.progress,
        message=progress.message,
    )


def as_seen(
    records: Iterable[Operation], listed: dict[str, str], now_seconds: int
) -> tuple[Operation, ...]:
    """
    Give the operations as they are; a record is only what its unit last said. Pure.

    listed: active state by unit, of the units that systemd has loaded. now_seconds: epoch.
    """
    seen = []
    for record in records:
        young = 0 <= now_seconds - record.started_at_seconds < GRACE_SECONDS
        alive = young or listed.get(unit_of(record.id)) in _ALIVE
        if record.state == install.RUNNING and not alive:
            record = replace(
                record,
                state=install.FAILED,
                message=f"it ended without a result while: {record.step or 'starting'}"
                " (killed, out of time, or the machine restarted)",
            )
        seen.append(record)
    return tuple(seen)


def archive_path() -> str:
    """Give the path of the archive that we were started from; empty when run from source."""
    where = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return where if os.path.isfile(where) else ""


def agent_command() -> tuple[str, ...]:
    """Give the words that start this very agent again, from its archive or its source."""
    archive = archive_path()
    if archive:
        return (sys.executable, "-I", "-S", archive)
    where = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    start = (
        f"import sys; sys.path.insert(0, {where!r}); "
        "from warlock_agent.__main__ import main; raise SystemExit(main())"
    )
    return (sys.executable, "-I", "-S", "-c", start)


class Installer:
    """Starts installs as transient units, which live on when the agent ends."""

    def __init__(self, records: Records, deadline_seconds: int = DEADLINE_SECONDS) -> None:
        """deadline_seconds: systemd ends an install that takes longer."""
        self._records = records
        self._deadline_seconds = deadline_seconds

    def start(self, systemd: Systemd, step: StartInstall) -> None:
        """
        Start an install, unless it runs already.

        Raises:
            DBusError: systemd refused. OSError: the record can't be written.
        """
        unit = unit_of(step.operation)
        listed = systemd.list_units((unit,)).get(unit)
        if listed is not None and listed.active_state in _ALIVE:
            return
        now = int(time.time())
        # The record comes first: a unit without one would be work that nobody has heard of.
        self._records.begin(
            Operation(
                step.operation,
                step.key,
                "Install",
                install.RUNNING,
                "starting",
                started_at_seconds=now,
                deadline_seconds=now + self._deadline_seconds,
            )
        )
        systemd.reset_failed((unit,))
        argv = (*agent_command(), "install", *self._arguments(step))
        systemd.start_transient(
            unit,
            service_properties(
                argv,
                description=f"Warlock: {step.operation}",
                environment=("DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"),
                timeout_seconds=self._deadline_seconds,
            ),
        )

    def _arguments(self, step: StartInstall) -> list[str]:
        # It gives up by itself a little before systemd ends it, and can still say why.
        seconds = max(1, self._deadline_seconds - GIVE_UP_SECONDS)
        directory = self._records.directory_of(step.operation)
        made = [f"--directory={directory}", f"--timeout-seconds={seconds}"]
        made += [f"--apt={package}" for package in step.apt]
        return made + [f"--mask={unit}" for unit in step.mask]
