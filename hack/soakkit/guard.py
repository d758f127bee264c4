"""
Watch the machines from outside, all along: what no weather may do to an instance.

It looks through a machine's own mounts and control groups and needs neither its network nor its
processes, so it sees as well while the machine is out of reach.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from labkit.cgroups import Group
from labkit.host import Host
from soakkit import harm
from soakkit.causes import Causes
from soakkit.objects import GUID, SAVE, SERVICE, Wish
from warlock_agent import ledger, names

_POLL_SECONDS = 0.25
_LEDGER = f"{names.LEDGER_DIR}/{ledger.CURRENT}"


class Guard:
    """One machine's watch; ``harm`` lists what it saw, each once, with its moment."""

    def __init__(self, lab: str, host: Host, wishes: Sequence[Wish], causes: Causes) -> None:
        self.harm: dict[str, float] = {}
        self.ended = {wish.slot: 0 for wish in wishes}
        self._host = host
        self._wishes = wishes
        self._causes = causes
        self._groups = Group(lab, f"host-{host.name}")
        self._slice: Path | None = None
        self._seen: dict[int, set[str]] = {wish.slot: set() for wish in wishes}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"guard {host.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    # --- looking ----------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            root = self._host.inside
            if root is None:
                continue
            seen = [what for wish in self._wishes for what in self._files(root, wish)]
            if (data := _read(root, _LEDGER)) is not None:
                seen += harm.in_ledger(data)
            processes = {wish.slot: self._processes(wish) for wish in self._wishes}
            # A machine that goes down between two reads reads as nothing, and that is no harm.
            if self._host.inside != root:
                continue
            for wish in self._wishes:
                seen += self._ends(wish, processes[wish.slot])
            for what in seen:
                self.harm.setdefault(f"{self._host.name}: {what}", time.monotonic())

    def _ends(self, wish: Wish, now: set[str]) -> list[str]:
        """Count the ends of main processes, and say which had no cause."""
        before, self._seen[wish.slot] = self._seen[wish.slot], now
        said: list[str] = []
        if len(now) > 1 and len(before & now) > 1:
            said.append(f"{wish.name} runs twice: {sorted(now)}")
        gone = before - now
        if not gone:
            return said
        self.ended[wish.slot] += len(gone)
        allowed = self._causes.allowed(wish.slot)
        if self.ended[wish.slot] > allowed:
            last = "; ".join(str(each) for _, each in self._causes.of(wish.slot)[-4:])
            said.append(
                f"{wish.name}: process {sorted(gone)} ended without a cause, "
                f"the {self.ended[wish.slot]}. of {allowed} (last: {last})"
            )
        return said

    def _files(self, root: Path, wish: Wish) -> list[str]:
        said: list[str] = []
        for path in harm.managed(GUID, SERVICE, wish.instance_id):
            data = _read(root, path)
            if data is not None and not harm.is_whole(path, data):
                said.append(f"{path} is half-written: {data!r}")
        save = f"{wish.path}/{SAVE}"
        if not _exists(root, save) and _exists(root, "/etc/machine-id"):
            said.append(f"{save} is gone")
        return said

    # --- the machine from outside -------------------------------------------------

    def _processes(self, wish: Wish) -> set[str]:
        unit = names.unit_name(SERVICE, wish.instance_id)
        if self._slice is None or not self._slice.exists():
            self._slice = self._find_slice()
        with contextlib.suppress(OSError):
            if self._slice is not None:
                return set((self._slice / unit / "cgroup.procs").read_text().split())
        return set()

    def _find_slice(self) -> Path | None:
        """Find the slice that systemd makes for a template; it goes with its last unit."""
        word = "system-" + SERVICE.replace("-", "\\x2d") + ".slice"
        with contextlib.suppress(OSError):  # groups vanish while we look
            return next(self._groups.folders[0].rglob(word), None)
        return None


def _read(root: Path, path: str) -> bytes | None:
    try:
        return (root / path.lstrip("/")).read_bytes()
    except OSError:
        return None


def _exists(root: Path, path: str) -> bool:
    return (root / path.lstrip("/")).exists()
