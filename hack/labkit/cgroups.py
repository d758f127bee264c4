"""
Control groups of the lab: what starts everything, finds it again and ends it.

Nothing of the lab is ever looked up by process name: a process is ours if it is in one of
our cgroups. Two trees are known:

| machine                              | version 2 tree         | also                      |
| ------------------------------------ | ---------------------- | ------------------------- |
| pure version 2 (Debian 11 and later) | /sys/fs/cgroup         | -                         |
| hybrid                               | /sys/fs/cgroup/unified | /sys/fs/cgroup/systemd    |

On a hybrid machine a systemd in a container would share its named tree with its neighbours,
so each group exists in both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from labkit.commands import clean_environment
from labkit.errors import CannotCarry, LabError

TOP = "warlock-lab"
_CONTROLLERS = ("cpu", "io", "memory", "pids")
_POLL_SECONDS = 0.02
_END_SECONDS = 10.0

# The launcher enters the groups first and forks then: when it has ended, the daemon is
# inside, in a session of its own, and no longer our child.
_LAUNCH = (
    'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 70; shift; done; shift;'
    'exec setsid --fork "$@"'
)


@cache
def trees() -> tuple[Path, ...]:
    """Return the mount points to make groups in, the version 2 one first."""
    unified: list[Path] = []
    named: list[Path] = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified.append(Path(where))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named.append(Path(where))
    if not unified:
        raise CannotCarry("no cgroup version 2 tree is mounted: boot with systemd's defaults")
    return (unified[0], *named[:1])


class Group:
    """One cgroup below the lab's own, in every tree; it need not exist yet."""

    def __init__(self, *names: str) -> None:
        self._relative = Path(TOP, *names)

    @property
    def folders(self) -> list[Path]:
        """The group's folder in each tree."""
        return [tree / self._relative for tree in trees()]

    def create(self) -> None:
        """Make the group and hand it what controllers the machine gives."""
        for folder in self.folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CannotCarry(f"no cgroup can be made at {folder}: {error.strerror}") from error
        _delegate(trees()[0], self._relative)

    def spawn(
        self, argv: Sequence[str | Path], log: Path, env: dict[str, str] | None = None
    ) -> None:
        """Start a daemon in the group, which outlives us; raises LabError where it can't."""
        self.create()
        words = ["sh", "-c", _LAUNCH, "sh", *map(str, self.folders), "--", *map(str, argv)]
        with log.open("ab") as output:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=env or clean_environment(),
                check=False,
            )
        if done.returncode != 0:
            raise LabError(f"{argv[0]} could not be started: see {log}")

    def processes(self) -> list[int]:
        """Return the process ids in the group and below it."""
        found: list[int] = []
        # os.walk and not rglob: groups vanish while we look, and that must not matter.
        for folder, _, _ in os.walk(self.folders[0]):
            try:
                found += [int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()]
            except OSError:  # gone meanwhile, or of a threaded group
                continue
        return found

    def alive(self) -> bool:
        """Whether any process is in the group or below it."""
        try:
            return "populated 1" in (self.folders[0] / "cgroup.events").read_text()
        except OSError:
            return False

    def terminate(self, limit_seconds: float = _END_SECONDS) -> None:
        """Ask the group's processes to end, and kill what is left after *limit_seconds*."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
        self._wait_until_empty(limit_seconds)
        self.kill()

    def kill(self) -> None:
        """End all processes at once, as a power cut would, and remove the group."""
        switch = self.folders[0] / "cgroup.kill"
        if switch.exists():
            switch.write_text("1")
            if not self._wait_until_empty(_END_SECONDS):
                raise LabError(f"processes in {self.folders[0]} do not end: {self.processes()}")
        self.remove()

    def remove(self) -> None:
        """Remove the empty group and what is below it; absent is fine."""
        for folder in self.folders:
            for path, _, _ in os.walk(folder, topdown=False):
                _remove_group(Path(path))

    def _wait_until_empty(self, limit_seconds: float) -> bool:
        deadline = time.monotonic() + limit_seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _remove_group(folder: Path) -> None:
    """Remove one cgroup, gone is fine; version 1 may need a moment after the last process."""
    for _ in range(50):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_POLL_SECONDS)
        else:
            return


def _delegate(tree: Path, relative: Path) -> None:
    """Turn on, down to the parent of *relative*, what controllers the machine offers."""
    level = tree
    for part in ("", *relative.parts[:-1]):
        level = level / part
        for controller in _CONTROLLERS:
            try:
                (level / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError:  # not offered here: the tree is hybrid, or a container's
                continue
