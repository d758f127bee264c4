"""
How exposed a unit is, as ``systemd-analyze security`` judges it. A thread of its own.

One judgement takes a tenth of a second and more of a processor, and does not depend on which
instance it is: it is made once for each drop-in that differs in more than names, and kept until the
next boot.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from typing import Optional

from . import names
from .board import Board
from .files import read_regular

FILE = "scores.json"
TIMEOUT_SECONDS = 30.0
_LAST_LINE = re.compile(r"Overall exposure level for \S+: (\d+)\.(\d)")
_OWN = (
    "User=",
    "Group=",
    "WorkingDirectory=",
    "EnvironmentFile=",
    "ExecStart=",
    "ReadWritePaths=",
    "BindPaths=",
    "KillSignal=",
    "TimeoutStopSec=",
)


def kind_of(drop_in: str) -> str:
    """Digest what of a drop-in counts: all but the lines that name the instance. Pure."""
    lines = (line for line in drop_in.splitlines() if not line.startswith(_OWN))
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()[:32]


def parse_score(text: str) -> Optional[int]:
    """Read the tenths from what systemd-analyze printed; None where it says none. Pure."""
    found = _LAST_LINE.search(text)
    return int(found.group(1)) * 10 + int(found.group(2)) if found else None


class Scores:
    """Scores by unit; :meth:`of` may be called from any thread."""

    def __init__(
        self,
        board: Board,
        stop: threading.Event,
        root: str = "",
    ) -> None:
        """Read what was judged since the boot. changed: called when a score has become known."""
        self._board = board
        self._stop = stop
        self.changed: Callable[[], None] = lambda: None
        self._root = root
        self._path = f"{root}{names.RUN_DIR}/{FILE}"
        self._by_kind: dict[str, int] = self._load()
        self._by_unit: dict[str, int] = {}
        self._kinds: dict[str, tuple[tuple[int, int], str]] = {}
        self._look = threading.Event()
        board.on_change(self._look.set)

    def of(self, unit: str) -> Optional[int]:
        """Give a unit's score in tenths; None while it is not known."""
        return self._by_unit.get(unit)

    def wake(self) -> None:
        """Have it look, or end if it should."""
        self._look.set()

    def run(self) -> None:
        """Judge what is on the board until stopped."""
        while not self._stop.is_set():
            self._look.wait()
            self._look.clear()
            with self._board.truth:
                units = sorted(self._board.slots)
            changed = {unit for unit in units if not self._stop.is_set() and self._judge(unit)}
            if changed and not self._stop.is_set():
                self.changed()

    def _judge(self, unit: str) -> bool:
        """See to a unit's score; True when it is another than before."""
        kind = self._kind(unit)
        before = self._by_unit.get(unit)
        if kind and kind not in self._by_kind:
            score = _analyze(unit)
            if score is not None:
                self._by_kind[kind] = score
                self._save()
        after = self._by_kind.get(kind)
        if after is not None:
            self._by_unit[unit] = after
        return after is not None and after != before

    def _kind(self, unit: str) -> str:
        service, _, instance = unit.rpartition(".service")[0].partition("@")
        path = self._root + names.drop_in_path(service, instance)
        try:
            there = os.stat(path)
            signature = there.st_ino, there.st_mtime_ns
            known = self._kinds.get(unit)
            if known is None or known[0] != signature:
                text = read_regular(path).decode("utf-8", "replace")
                known = self._kinds[unit] = (signature, kind_of(text))
            return known[1]
        except OSError:
            return ""

    def _load(self) -> dict[str, int]:
        try:
            plain = json.loads(read_regular(self._path))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(plain, dict):
            return {}
        return {kind: score for kind, score in plain.items() if isinstance(score, int)}

    def _save(self) -> None:
        # Losing it costs one more judgement.
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), 0o755, exist_ok=True)
            temporary = f"{self._path}.{os.getpid()}.tmp"
            with open(temporary, "w", encoding="ascii") as file:
                file.write(json.dumps(self._by_kind))
            os.rename(temporary, self._path)


def _analyze(unit: str) -> Optional[int]:
    import subprocess

    try:
        done = subprocess.run(
            ["systemd-analyze", "security", "--no-pager", unit],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_score(done.stdout.decode("utf-8", "replace"))
