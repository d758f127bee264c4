"""
Who is bound where: UDP sockets and listening TCP ones, with their process and its systemd unit.

/proc/net says which inodes are bound; which process holds an inode takes a walk over every
process's descriptors, so what was found is remembered and only checked the next time. A wildcard
of IPv6 counts for IPv4 too. Called by observe. Reads only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from . import sockdiag
from .cgroup import unit_of_cgroup
from .digits import number_of
from .journal import printable
from .model import BoundSocket

_LISTEN = "0A"
_TABLES = (("UDP", "udp"), ("UDP", "udp6"), ("TCP", "tcp"), ("TCP", "tcp6"))
_FAMILIES = {"": 2, "6": 10}  # AF_INET, AF_INET6
# A socket of the kernel's own has no process, which is no reason to walk again and again; but a
# walk may also have missed a process that bound its socket in the very moment.
_HOLDERLESS_SECONDS = 2.0
MAX_SOCKETS = 20_000
"""Told one by one; about 3 MB of a frame."""
_MAX_TABLE_BYTES = 32 * 1024 * 1024

WILDCARDS = frozenset(("0.0.0.0", "::"))  # noqa: S104  compared with, never bound


@dataclass(frozen=True)
class TableEntry:
    """One bound socket as /proc/net shows it. address: numeric, IPv4 or IPv6."""

    protocol: str
    address: str
    port: int
    inode: int


@dataclass(frozen=True)
class Holder:
    """Who holds a socket. descriptor: its number in that process."""

    pid: int
    descriptor: str
    process: str
    unit: str


def parse_table(text: str, protocol: str) -> list[TableEntry]:
    """Read /proc/net/{tcp,udp}[6]: of TCP the listening sockets, of UDP all that have a port."""
    entries = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or (protocol == "TCP" and fields[3] != _LISTEN):
            continue
        address, _, port = fields[1].partition(":")
        try:
            entry = TableEntry(protocol, _address(address), int(port, 16), int(fields[9]))
        except ValueError:
            continue
        if entry.port:
            entries.append(entry)
    return entries


def _address(text: str) -> str:
    """Read the kernel's hex: 32-bit words, each in the machine's byte order."""
    import socket

    data = bytes.fromhex(text)
    if len(data) not in (4, 16):
        raise ValueError(f"not an address: {text!r}")
    words = [data[i : i + 4][::-1] for i in range(0, len(data), 4)]
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, b"".join(words))


def bound_ports(sockets: Iterable[BoundSocket]) -> dict[tuple[str, int], BoundSocket]:
    """Give one socket a (protocol, number): whoever has the number on any address has it."""
    ports: dict[tuple[str, int], BoundSocket] = {}
    for one in sockets:
        ports.setdefault((one.protocol, one.port), one)
    return ports


def bounded(bound: list[BoundSocket]) -> tuple[BoundSocket, ...]:
    """
    Give all; of very many one a port and unit, and of very many of those one a port.

    A tenant's program can bind every port of every address that begins with 127, and what it does
    must not become a frame that is too large to be sent.
    """
    if len(bound) > MAX_SOCKETS:
        bound = list({(one.protocol, one.port, one.unit): one for one in reversed(bound)}.values())
        bound.reverse()
    if len(bound) > MAX_SOCKETS:
        return tuple(bound_ports(bound).values())
    return tuple(bound)


class SocketTable:
    """The bound sockets of this network namespace. Keep it: a second look costs little."""

    def __init__(self, proc: str = "/proc") -> None:
        """Touch nothing yet."""
        self._proc = proc
        self._holders: dict[int, Holder] = {}
        self._holderless: dict[int, float] = {}

    def read(self) -> tuple[BoundSocket, ...]:
        """Give every bound socket, sorted by protocol and port."""
        entries = self._all_entries()
        if self._find({entry.inode for entry in entries if entry.inode}):
            # Most sockets that no process holds were a process's that ended as we looked.
            still = {entry.inode for entry in self._all_entries()}
            entries = [entry for entry in entries if entry.inode in still]
        bound = [self._bound(entry) for entry in entries]
        return bounded(sorted(bound, key=lambda one: (one.protocol, one.port, one.address)))

    def _all_entries(self) -> list[TableEntry]:
        return [entry for protocol, name in _TABLES for entry in self._entries(protocol, name)]

    def _entries(self, protocol: str, name: str) -> list[TableEntry]:
        if self._proc == "/proc":
            try:
                rows = sockdiag.rows(protocol, _FAMILIES[name[3:]])
                return [TableEntry(protocol, *row) for row in rows]
            except OSError:  # not in this kernel
                pass
        return self._table(protocol, name)

    def _table(self, protocol: str, name: str) -> list[TableEntry]:
        try:
            with open(f"{self._proc}/net/{name}", "rb") as file:
                return parse_table(file.read(_MAX_TABLE_BYTES).decode("ascii", "replace"), protocol)
        except OSError:  # no IPv6 in this kernel
            return []

    def _bound(self, entry: TableEntry) -> BoundSocket:
        holder = self._holders.get(entry.inode)
        who = (holder.pid, holder.process, holder.unit) if holder else (0, "", "")
        return BoundSocket(entry.protocol, entry.address, entry.port, *who)

    def _find(self, inodes: set[int]) -> bool:
        """
        Bring the holders of *inodes* up to date, walking the processes only for new ones.

        Returns:
            Whether a walk has left some without a holder.
        """
        now = time.monotonic()
        self._holders = {
            inode: holder
            for inode, holder in self._holders.items()
            if inode in inodes and self._still_holds(holder, inode)
        }
        self._holderless = {
            inode: until
            for inode, until in self._holderless.items()
            if inode in inodes and until > now
        }
        missing = inodes - self._holders.keys() - self._holderless.keys()
        if missing:
            self._walk(missing)
        alone = missing - self._holders.keys()
        self._holderless.update(dict.fromkeys(alone, now + _HOLDERLESS_SECONDS))
        return bool(alone)

    def _still_holds(self, holder: Holder, inode: int) -> bool:
        return self._inode_of(f"{self._proc}/{holder.pid}/fd/{holder.descriptor}") == inode

    def _walk(self, missing: set[int]) -> None:
        """Look through the processes, newest first: an unknown socket is mostly a new process's."""
        wanted = set(missing)
        numbers = (number_of(name) for name in os.listdir(self._proc))
        for pid in sorted((pid for pid in numbers if pid is not None), reverse=True):
            if not wanted:
                return
            for inode, descriptor in self._sockets_of(pid, wanted):
                holder = self._holder(pid, descriptor)
                if holder is not None:
                    wanted.discard(inode)
                    self._holders[inode] = holder

    def _sockets_of(self, pid: int, wanted: set[int]) -> list[tuple[int, str]]:
        directory = f"{self._proc}/{pid}/fd"
        try:
            names = os.listdir(directory)
        except OSError:  # ended meanwhile, or not for us
            return []
        held = ((self._inode_of(f"{directory}/{name}"), name) for name in names)
        return [(inode, name) for inode, name in held if inode in wanted]

    @staticmethod
    def _inode_of(path: str) -> int:
        """Give the inode of the socket that a descriptor is; 0 for anything else."""
        try:
            target = os.readlink(path)
        except OSError:
            return 0
        if target.startswith("socket:[") and target.endswith("]"):
            return number_of(target[8:-1]) or 0
        return 0

    def _holder(self, pid: int, descriptor: str) -> Optional[Holder]:
        """Say whose process it is; None when it has ended meanwhile, and is nobody's."""
        group = self._text(pid, "cgroup")
        if group is None:
            return None
        # A process gives itself whatever name it likes.
        process = printable((self._text(pid, "comm") or "").rstrip("\n"))
        return Holder(pid, descriptor, process, unit_of_cgroup(group))

    def _text(self, pid: int, name: str) -> Optional[str]:
        try:
            with open(f"{self._proc}/{pid}/{name}", "rb") as file:
                return file.read(65536).decode("utf-8", "replace")
        except OSError:
            return None
