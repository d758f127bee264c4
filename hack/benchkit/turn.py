"""A turn on the machine: heavy work that keeps to the same lock waits while we measure."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

Turn = Callable[[], AbstractContextManager[object]]
"""Gives what is held around one measurement."""


def nobody_else() -> AbstractContextManager[object]:
    """Where nobody shares the machine there is nothing to hold."""
    return nullcontext()


def with_lock(file: Path) -> Turn:
    """Hold *file* as ``flock`` does, for one measurement at a time."""

    @contextmanager
    def held() -> Iterator[None]:
        with file.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    return held
