"""
What one process says of itself in /proc: when it began, and one variable of its environment.
"""

from __future__ import annotations

import os
from typing import Optional

from .digits import number_of
from .render import DIGEST_VARIABLE

MAX_ENVIRON_BYTES = 1024 * 1024
KEPT = 10_000
"""Processes remembered; arbitrary, more than a host runs at once."""
_PREFIX = DIGEST_VARIABLE.encode("ascii") + b"="


def start_ticks(pid: int, proc: str = "/proc") -> int:
    """Give the boot-clock ticks at which the process began; 0 when there is none of that pid."""
    try:
        with open(f"{proc}/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(4096)
    except OSError:
        return 0
    # The second field is the program's name in parentheses, and may hold spaces and parentheses.
    fields = text.rpartition(b")")[2].split()
    return number_of(fields[19].decode("ascii", "replace")) or 0 if len(fields) > 19 else 0


def digest_of(pid: int, proc: str = "/proc") -> Optional[str]:
    """
    Give ``WARLOCK_DIGEST`` of the environment that the process was started with.

    None where it can't be read, or is not in it. A program may write its title over its own
    environment (setproctitle does), so absence proves nothing, and must not restart a server.
    """
    try:
        with open(f"{proc}/{pid}/environ", "rb", buffering=0) as file:
            data = _read(file.fileno())
    except OSError:
        return None
    for variable in data.split(b"\0"):
        if variable.startswith(_PREFIX):
            return variable[len(_PREFIX) :].decode("ascii", "replace")
    return None


def _read(descriptor: int) -> bytes:
    parts, left = [], MAX_ENVIRON_BYTES
    while left > 0:
        part = os.read(descriptor, min(65536, left))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


class Digests:
    """``WARLOCK_DIGEST`` by process; read once a process. For one thread."""

    def __init__(self, proc: str = "/proc") -> None:
        """proc: where /proc is."""
        self._proc = proc
        self._known: dict[int, tuple[int, str]] = {}

    def of(self, pid: int) -> Optional[str]:
        """Give the digest that *pid* was started with; see :func:`digest_of`."""
        if pid <= 0:
            return None
        began = start_ticks(pid, self._proc)
        known = self._known.get(pid)
        if known is not None and began and known[0] == began:
            return known[1]
        digest = digest_of(pid, self._proc)
        # The process may have ended and its number been given away between the two reads.
        if digest is not None and began and start_ticks(pid, self._proc) == began:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[pid] = (began, digest)
        return digest
