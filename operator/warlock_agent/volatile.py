"""
What is worth remembering until the next boot: back-off, and that systemd has yet to re-read files.

Lies under /run, so a reboot forgets it, which is right: the boot clock starts anew, and systemd
reads its unit files. Losing it costs an earlier retry and one more reload. Called by
:mod:`observe` and :mod:`apply`, under the host's lock.
"""

from __future__ import annotations

import contextlib
import json
import os

from . import names
from .files import read_regular
from .model import Retry
from .wire import WireError, from_plain, to_plain

RETRIES = "volatile.json"
RELOAD_PENDING = "reload-pending"


class Volatile:
    """The memory of one boot."""

    def __init__(self, root: str = "") -> None:
        """root: put before every path; a directory of a test."""
        self._directory = root + names.RUN_DIR
        self._retries = f"{self._directory}/{RETRIES}"
        self._pending = f"{self._directory}/{RELOAD_PENDING}"

    def retries(self) -> tuple[Retry, ...]:
        """Give the back-offs, sorted by name; none where the file is missing or broken."""
        try:
            plain = json.loads(read_regular(self._retries))
            if type(plain) is not list:
                return ()
            return tuple(from_plain(Retry, item, "retry") for item in plain)
        except (OSError, ValueError, RecursionError, WireError):
            return ()

    def write_retries(self, retries: tuple[Retry, ...]) -> None:
        """Replace the back-offs; atomic, not durable (it need not outlive a crash of the host)."""
        self._make_directory()
        temporary = f"{self._retries}.tmp"  # one name: we hold the lock
        text = json.dumps(to_plain(tuple(sorted(retries, key=lambda retry: retry.name))))
        with open(temporary, "w", encoding="ascii") as file:
            file.write(text)
        os.rename(temporary, self._retries)

    @property
    def reload_pending(self) -> bool:
        """Whether unit files were (or may have been) written that systemd has not read."""
        return os.path.lexists(self._pending)

    def set_reload_pending(self) -> None:
        """Note it. Before the first unit file of a pass is written, or a kill would hide it."""
        self._make_directory()
        with open(self._pending, "w", encoding="ascii"):
            pass

    def clear_reload_pending(self) -> None:
        """Note that systemd has read them; only after the reload has succeeded."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._pending)

    def _make_directory(self) -> None:
        os.makedirs(self._directory, 0o755, exist_ok=True)
