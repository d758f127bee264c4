"""
The whole host as it is -> :class:`~.model.ObservedHost`. Reads only.

Everything is remembered by a signature that costs next to nothing to look at, so a second look at
an unchanged host is one call to systemd and an lstat a path: files by inode, size and times; units
by what systemd lists and has signalled; processes by pid and start. Called by :mod:`converge` and
:mod:`watch`, each with an observer of its own: for one thread.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from . import facts, names, operations, plan
from .dbus import DBusDisconnected
from .files import FileError, Tree
from .ledger import LedgerFile
from .model import DesiredHost, Ledger, ObservedFile, ObservedHost
from .packages import Packages
from .sockets import SocketTable
from .systemd import Systemd
from .unit import UnitReader, patterns_of
from .users import Users
from .volatile import Volatile

RECONNECT_SECONDS = (0.02, 0.1, 0.3, 1.0, 2.0)
NOTHING_DESIRED = DesiredHost(host="", path_roots=())
NOTHING: Mapping[str, str] = {}
_KINDS = {stat.S_IFREG: "File", stat.S_IFLNK: "Link", stat.S_IFDIR: "Directory"}
_MARKER = names.MARKER.encode("utf-8")
_FOREIGN = tuple(directory + "/" for directory in names.FOREIGN_UNIT_DIRS)

_Signature = tuple[int, int, int, int, int, int]


@dataclass
class Senses:
    """All that a host is looked at with. root: put before every path, for tests."""

    systemd: Systemd
    ledger: LedgerFile
    volatile: Volatile
    units: UnitReader
    records: operations.Records
    users: Users
    packages: Packages
    sockets: SocketTable
    root: str = ""
    tree: Tree = field(init=False)

    def __post_init__(self) -> None:
        self.tree = Tree(self.root or "/")


class Observer:
    """Looks at one host again and again."""

    def __init__(self, senses: Senses) -> None:
        """senses: this observer's own."""
        self._senses = senses
        self._files: dict[str, tuple[_Signature, ObservedFile]] = {}
        self.machine_id = facts.machine_id(senses.root or "/")
        self._boot_id = facts.boot_id(senses.root or "/")

    def look(self, desired: DesiredHost = NOTHING_DESIRED) -> ObservedHost:
        """
        Give the host as it is now.

        Args:
            desired: names what to look at besides what the ledger lists.

        Raises:
            LedgerUnreadable: see :class:`~.ledger.LedgerFile`.
            FileError, DBusDisconnected, DBusTimeout, DBusProtocolError: it can't be looked at.
        """
        for seconds in RECONNECT_SECONDS:
            try:
                return self._look(desired)
            except DBusDisconnected:  # systemd was executed anew, and is back in a moment
                time.sleep(seconds)
        return self._look(desired)

    def _look(self, desired: DesiredHost) -> ObservedHost:
        senses = self._senses
        ledger = senses.ledger.read()
        sockets = senses.sockets.read()
        users = senses.users.find(plan.users_of(desired, ledger))  # before the files: their owners
        wanted = plan.units_of(desired, ledger)
        listed = senses.systemd.list_matching((*patterns_of(wanted), operations.UNIT_PATTERN))
        self.drain()
        return ObservedHost(
            machine_id=self.machine_id,
            boot_id=self._boot_id,
            uptime_seconds=uptime_seconds(),
            ledger=ledger,
            files=self.files(plan.paths_of(desired, ledger), plan.new_paths_of(desired, ledger)),
            units=senses.units.read(wanted, listed, sockets),
            users=tuple(sorted(users)),
            packages=senses.packages.installed(plan.packages_of(desired)),
            operations=operations.as_seen(
                senses.records.read(),
                {u.unit: u.active_state for u in listed.values()},
                int(time.time()),
            ),
            sockets=sockets,
            retries=senses.volatile.retries(),
            reload_pending=senses.volatile.reload_pending,
        )

    def drain(self) -> None:
        """Take in systemd's signals; its queue for us must not fill while nobody looks."""
        self._senses.units.take(self._senses.systemd.events())

    def files(
        self, paths: Sequence[str], new: Mapping[str, str] = NOTHING
    ) -> tuple[ObservedFile, ...]:
        """
        Give what is at *paths*, of those that exist.

        Args:
            new: the root of each path that nobody of ours has yet. No link is followed behind it:
                a tenant's could lead to what is not theirs to know of.
        """
        seen = (
            ObservedFile(path, "Other")
            if self._is_astray(path, new.get(path))
            else self._file(path)
            for path in paths
        )
        return tuple(file for file in seen if file is not None)

    def _is_astray(self, path: str, root: Optional[str]) -> bool:
        if root is None:
            return False
        try:
            self._senses.tree.signature(path, trusted=root)
        except FileError:
            return True
        return False

    def _file(self, path: str) -> Optional[ObservedFile]:
        try:
            there = os.lstat(self._senses.root + path)
        except (FileNotFoundError, NotADirectoryError):
            self._files.pop(path, None)
            return None
        except OSError:  # links in a circle, a name that is too long: of a tenant's making
            return ObservedFile(path, "Other")
        signature = (
            there.st_ino,
            there.st_size,
            there.st_mtime_ns,
            there.st_ctime_ns,
            there.st_mode,
            there.st_uid,
        )
        known = self._files.get(path)
        if known is None or known[0] != signature:
            known = self._files[path] = (signature, self._read(path, there))
        return known[1]

    def _read(self, path: str, there: os.stat_result) -> ObservedFile:
        kind = _KINDS.get(stat.S_IFMT(there.st_mode), "Other")
        mode, owner = stat.S_IMODE(there.st_mode), self._senses.users.name_of(there.st_uid)
        if path.startswith(_FOREIGN):
            return ObservedFile(path, kind, mode=mode, owner=owner)
        try:
            if kind == "File":
                data = self._senses.tree.read(path)
                ours = data.startswith(_MARKER)
                digest = hashlib.sha256(data).hexdigest()
                return ObservedFile(path, kind, digest, mode, owner, ours=ours)
            if kind == "Link":
                return ObservedFile(path, kind, os.readlink(self._senses.root + path), mode, owner)
            if kind == "Directory":
                return self._read_directory(path, mode, owner)
        except (FileError, OSError):
            # It changed under our eyes, or is too large to be ours: not what it should be.
            return ObservedFile(path, kind, mode=mode, owner=owner)
        return ObservedFile(path, kind, mode=mode, owner=owner)

    def _read_directory(self, path: str, mode: int, owner: str) -> ObservedFile:
        with os.scandir(self._senses.root + path) as entries:
            empty = next(entries, None) is None
        marker = "" if empty else self._marker(path)
        return ObservedFile(path, "Directory", "", mode, owner, empty, marker)

    def _marker(self, path: str) -> str:
        try:
            data = self._senses.tree.read(f"{path}/{names.MARKER_FILE}", 4096, trusted=path)
        except FileError:
            return ""
        return data.split(b"\n")[0].decode("utf-8", "replace")


def uptime_seconds() -> int:
    """Give the boot clock, by which systemd's monotonic times go: suspended time does not count."""
    return int(time.monotonic())


def ports_of(ledger: Ledger) -> dict[str, frozenset[tuple[str, int]]]:
    """Give what each main unit should have bound, by unit."""
    return {
        names.unit_name(entry.services[0], entry.instance_id): frozenset(
            (port.protocol, port.number) for port in entry.ports
        )
        for entry in ledger.instances
        if entry.services
    }
