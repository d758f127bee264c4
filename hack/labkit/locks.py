"""Locks between processes: one lab, one cache item, one allocation at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from labkit import paths
from labkit.errors import LabError

# The longest thing done under a lock is the first build of the control plane.
_LIMIT_SECONDS = 3600.0
_POLL_SECONDS = 0.1


@contextmanager
def held(name: str, limit_seconds: float = _LIMIT_SECONDS) -> Iterator[None]:
    """
    Hold the lock *name*; the kernel frees it when the process ends, however it ends.

    Raises:
        LabError: somebody else held it for longer than *limit_seconds*.
    """
    path = paths.runtime() / f"{name}.lock"
    deadline = time.monotonic() + limit_seconds
    while True:
        descriptor = _opened(str(path))
        if descriptor is not None and _locked(descriptor, str(path)):
            break
        if descriptor is not None:
            os.close(descriptor)
        if time.monotonic() > deadline:
            raise LabError(f"{path} was held by another process for {limit_seconds:.0f} s")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # other locks are held
            paths.runtime().rmdir()


def _opened(path: str) -> int | None:
    """Open the lock's file; None where another process just removed the folder."""
    paths.runtime().mkdir(parents=True, exist_ok=True)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None


def _locked(descriptor: int, path: str) -> bool:
    """Take the lock without waiting; False where it is held, or its file was just unlinked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        return os.stat(path).st_ino == os.fstat(descriptor).st_ino  # noqa: PTH116
    except FileNotFoundError:
        return False
