"""
Watch a machine from outside, all along: what no fault may do to those that it does not concern.

It looks through the host's own mounts and control groups and needs neither its network nor its
processes, so it sees as well while a host is out of reach.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Self

from labkit.cgroups import Group
from soakkit.harm import in_ledger, is_whole, managed
from tests.e2e.faults.stage import ARENA, NEIGHBOUR, SAVE, Stage
from tests.e2e.world import GUID, SERVICE
from warlock_agent import ledger, names

POLL_SECONDS = 0.2
_LEDGER = f"{names.LEDGER_DIR}/{ledger.CURRENT}"


class Guard:
    """One stage's watch; ``harm`` lists what it saw, each once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._group = Group(stage.lab.name, f"host-{stage.name}")
        self._unit = stage.units[0]
        self._procs: Path | None = None
        self._processes: set[str] = set()
        self._files: dict[str, bytes] = {}
        self._saves: list[str] = []
        self._harm: dict[str, None] = {}
        self._away = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.look_anew()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def harm(self) -> list[str]:
        """What was seen since it was last asked."""
        found, self._harm = list(self._harm), {}
        return found

    def look_away(self) -> None:
        """Let processes end, until :meth:`look_anew`: the machine goes down."""
        self._away.set()

    def look_anew(self) -> None:
        """Take how things are now for how they must stay."""
        self._procs = self._find_procs()
        self._processes = self._read_processes()
        assert self._processes, f"{self._unit} does not run"
        root = self._inside()
        assert root is not None
        self._files = {path: _read(root, path) or b"" for path in _managed("default")}
        self._saves = [
            f"{self._stage.get(name)['status']['path']}/{SAVE}" for name in (NEIGHBOUR, ARENA)
        ]
        self._away.clear()

    # --- looking ----------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            root = self._inside()
            if root is None:
                continue
            # A host that goes down between two reads reads as nothing, and that is no harm.
            seen = [*self._neighbour(root), *self._whole(root), *self._ports(root)]
            seen += [f"{path} is gone" for path in self._saves if _lost(root, path)]
            if self._inside() == root and not self._away.is_set():
                self._harm.update(dict.fromkeys(seen))

    def _neighbour(self, root: Path) -> list[str]:
        harm: list[str] = []
        now = self._read_processes()
        if now != self._processes:
            harm.append(f"the neighbour's processes were {self._processes}, are {now}")
        for path, before in self._files.items():
            if _read(root, path) not in (before, None):
                harm.append(f"the neighbour's {path} was changed")
        return harm

    def _whole(self, root: Path) -> list[str]:
        harm: list[str] = []
        for path in _managed(self._stage.arena_id):
            data = _read(root, path)
            if data is not None and not is_whole(path, data):
                harm.append(f"{path} is half-written: {data!r}")
        return harm

    def _ports(self, root: Path) -> list[str]:
        """Check the ledger: it can be read whole, and gives no port twice."""
        data = _read(root, _LEDGER)
        return [] if data is None else in_ledger(data)

    # --- the machine from outside -------------------------------------------------

    def _inside(self) -> Path | None:
        return self._stage.machine.host.inside

    def _find_procs(self) -> Path | None:
        for folder in self._group.folders:
            for found in folder.rglob(self._unit):
                return found / "cgroup.procs"
        return None

    def _read_processes(self) -> set[str]:
        with contextlib.suppress(OSError):
            if self._procs is not None:
                return set(self._procs.read_text().split())
        return set()


def _managed(instance_id: str) -> tuple[str, ...]:
    return managed(GUID, SERVICE, instance_id)


def _read(root: Path, path: str) -> bytes | None:
    try:
        return (root / path.lstrip("/")).read_bytes()
    except OSError:
        return None


def _lost(root: Path, path: str) -> bool:
    """Whether a file is not there, and its host is."""
    return not (root / path.lstrip("/")).exists() and (root / "etc/machine-id").exists()
