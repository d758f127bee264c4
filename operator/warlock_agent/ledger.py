"""
The host's durable record on disk: read, written whole and atomically, and the lock of a pass.

``ledger.json`` is ``{"sha256": "<hex>", "ledger": {...}}``; the digest is of the bytes of the
inner object. The copy before the last write stays beside it as ``ledger.previous.json``. A record
that is there and can't be read is never an empty one: an empty ledger would make every instance a
stranger. Called by :mod:`observe`, :mod:`apply` and :mod:`serve`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from typing import Optional

from . import names
from .files import read_regular
from .model import Ledger
from .wire import WireError, from_plain, to_plain

CURRENT = "ledger.json"
PREVIOUS = "ledger.previous.json"
LOCK = "lock"
OPERATIONS = "operations"
DIRECTORY_MODE = 0o700
POLL_SECONDS = 0.02
MAX_BYTES = 256 * 1024 * 1024
"""Of a ledger: what is larger was not written by us."""

_HEAD = b'{"sha256":"'
_MIDDLE = b'","ledger":'
_TAIL = b"}\n"

Signature = tuple[int, int, int, int]


class LedgerUnreadable(Exception):
    """Neither the record nor the copy before it can be read. The text says what to do."""


class HostBusy(Exception):
    """Another process changes this host. The text names it."""


def encode(ledger: Ledger) -> bytes:
    """Write *ledger* as the bytes of its file."""
    body = json.dumps(to_plain(ledger), separators=(",", ":"), sort_keys=True).encode("ascii")
    digest = hashlib.sha256(body).hexdigest().encode("ascii")
    return _HEAD + digest + _MIDDLE + body + _TAIL


def decode(data: bytes) -> Ledger:
    """
    Read the bytes of a ledger's file.

    Raises:
        ValueError: cut short, changed, or not a ledger.
    """
    start = len(_HEAD) + 64
    digest, body = data[len(_HEAD) : start], data[start + len(_MIDDLE) : -len(_TAIL)]
    framed = _HEAD + digest + _MIDDLE + body + _TAIL
    if framed != data or hashlib.sha256(body).hexdigest().encode("ascii") != digest:
        raise ValueError("its checksum does not fit its content")
    try:
        ledger = from_plain(Ledger, json.loads(body), "ledger")
    except (WireError, RecursionError) as error:
        raise ValueError(str(error)) from error
    assert isinstance(ledger, Ledger)
    return ledger


class LedgerFile:
    """The ledger of one host. Reads are cached by the file's signature; one thread each."""

    def __init__(self, root: str = "") -> None:
        """root: put before every path; a directory of a test."""
        self.directory = root + names.LEDGER_DIR
        self._path = f"{self.directory}/{CURRENT}"
        self._previous = f"{self.directory}/{PREVIOUS}"
        self._signature: Optional[Signature] = None
        self._ledger = Ledger()
        self._damaged = False

    def read(self) -> Ledger:
        """
        Give the record; an empty one where none was ever written.

        Raises:
            LedgerUnreadable: it is there, and neither it nor the copy before it is whole.
        """
        signature = _signature(self._path)
        if signature is None or signature != self._signature:
            self._damaged = False
            self._ledger = self._read_files()
            self._signature = signature
        return self._ledger

    def write(self, ledger: Ledger) -> bool:
        """Replace the record, durably; False where it says so already. Caller holds the lock."""
        if self.read() == ledger and self._signature is not None and not self._damaged:
            return False
        os.makedirs(self.directory, DIRECTORY_MODE, exist_ok=True)
        temporary = f"{self._path}.tmp"  # one name: we hold the lock
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode(ledger))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # of a descriptor, it would not say where the disk is full
            raise OSError(error.errno, error.strerror, temporary) from error
        self._keep_previous()
        os.rename(temporary, self._path)
        _sync_directory(self.directory)
        self._signature, self._ledger, self._damaged = _signature(self._path), ledger, False
        return True

    def _read_files(self) -> Ledger:
        try:
            current = _read(self._path)
            if current is not None:
                return current
        except (ValueError, OSError) as error:
            return self._fall_back(error)
        # Absent means new, unless there was one: a rename never leaves a gap between the two.
        if os.path.lexists(self._previous):
            return self._fall_back(FileNotFoundError("it is missing"))
        return Ledger()

    def _fall_back(self, error: Exception) -> Ledger:
        try:
            previous = _read(self._previous)
        except (ValueError, OSError) as second:
            raise self._unreadable(error, str(second)) from error
        if previous is None:
            raise self._unreadable(error, "it is missing") from error
        self._damaged = True
        with contextlib.suppress(OSError):
            os.write(2, f"{self._path}: {error}; the copy before it is used\n".encode())
        return previous

    def _unreadable(self, error: Exception, second: str) -> LedgerUnreadable:
        return LedgerUnreadable(
            f"{self._path}: {error}; {self._previous}: {second}. Nothing is changed on this host "
            "until one of the two is put back from a backup; or, where every instance may be "
            f"taken for a stranger's, until both are moved out of {self.directory} by hand"
        )

    def _keep_previous(self) -> None:
        """Keep the current file as the previous one, if it is whole: a broken one saves nobody."""
        with contextlib.suppress(ValueError, OSError):
            if _read(self._path) is None:
                return
            temporary = f"{self._previous}.tmp"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            os.link(self._path, temporary)
            os.rename(temporary, self._previous)


@contextlib.contextmanager
def locked(wait_seconds: float, root: str = "") -> Iterator[None]:
    """
    Hold the host's lock.

    Raises:
        HostBusy: somebody held it for all of *wait_seconds*; the text names its process.
    """
    directory = root + names.LEDGER_DIR
    os.makedirs(directory, DIRECTORY_MODE, exist_ok=True)
    descriptor = os.open(f"{directory}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _take(descriptor, wait_seconds)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def _take(descriptor: int, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise HostBusy(_holder(descriptor, wait_seconds)) from None
        time.sleep(POLL_SECONDS)


def _holder(descriptor: int, wait_seconds: float) -> str:
    pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
    return f"process {pid} has been changing this host for more than {wait_seconds:g} s"


def _read(path: str) -> Optional[Ledger]:
    """Read one file; None where there is none. Raises ValueError, OSError."""
    try:
        return decode(read_regular(path, MAX_BYTES))
    except FileNotFoundError:
        return None


def _signature(path: str) -> Optional[Signature]:
    try:
        found = os.lstat(path)  # a link is none of ours, and is refused when it is read
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
