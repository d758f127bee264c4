"""
Items of the cache: each is built once, whole or not at all.

An item is built in a folder of another name and renamed when it is complete. The builder
holds the item's lock and runs its tools in the item's own cgroup; so whoever takes the lock
next knows that what is left of an interrupted build is a leftover, and ends and removes it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from labkit import locks, mounts, paths, progress
from labkit.cgroups import Group
from labkit.commands import clean_environment
from labkit.errors import LabError

_ENTER = (
    'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 70; shift; done; shift; exec "$@"'
)
_KEPT_LINES = 12


class Build:
    """A build that runs: where to write, and how to run tools so that they end with us."""

    def __init__(self, folder: Path, group: Group, step: progress.Step) -> None:
        self.folder = folder
        self.step = step
        self._group = group

    def run(
        self,
        argv: Sequence[str | Path],
        on_line: Callable[[str], None] = lambda line: None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """
        Run a tool to its end, telling its lines (both streams) as they come.

        Raises:
            LabError: it failed; with its last words.
        """
        self._group.create()
        words = ["sh", "-c", _ENTER, "sh", *map(str, self._group.folders), "--", *map(str, argv)]
        tail: list[str] = []
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd or "/",
            env={**clean_environment(), **(env or {})},
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line.rstrip())
                tail = [*tail[1 - _KEPT_LINES :], line.rstrip()]
        if process.returncode != 0:
            raise LabError(f"{self.step.title}: failed ({process.returncode}): {_reason(tail)}")


def _reason(tail: list[str]) -> str:
    """Return what a tool said of its failure: apt's and mmdebstrap's errors begin with E:."""
    errors = [line for line in tail if line.startswith(("E: ", "ERROR"))]
    return " / ".join((errors or tail[-4:])[:3])[:500]


def item(name: str, title: str, make: Callable[[Build], None], tell: progress.Callback) -> Path:
    """
    Return the folder of the cache item *name*, built by *make* if it is not there.

    Args:
        make: fills ``Build.folder``; whatever it raises leaves no item behind.
    """
    done = paths.cache() / name
    if done.exists():
        return done
    with progress.step(title, tell) as step:
        step.update("waiting for another build of the same" if _building(name) else "")
        with locks.held(f"cache-{name}"):
            if not done.exists():
                _built(name, done, make, step)
        step.detail = ""
    return done


def _built(name: str, done: Path, make: Callable[[Build], None], step: progress.Step) -> None:
    group = Group("build", name)
    rough = done.with_name(f".{name}.unfinished")
    group.kill()
    _removed(rough)
    rough.mkdir(parents=True)
    try:
        make(Build(rough, group, step))
        rough.replace(done)
    finally:
        group.kill()
        _removed(rough)


def _removed(folder: Path) -> None:
    """Remove a rough folder; builders mount in namespaces, but never delete through a mount."""
    mounts.unmount_below(folder)
    if folder.exists():
        shutil.rmtree(folder)


def _building(name: str) -> bool:
    return (paths.runtime() / f"cache-{name}.lock").exists()
