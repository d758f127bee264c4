"""The Pythons of this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

_TELL = "import sys; print('%s %d %d' % ((sys.executable,) + tuple(sys.version_info)[:2]))"


@cache
def pythons() -> dict[tuple[int, int], str]:
    """One interpreter a version, by (major, minor): those in PATH, pyenv's, and this one."""
    names = [f"python{version}" for version in ("2.7", *(f"3.{minor}" for minor in range(4, 20)))]
    candidates = [where for where in map(shutil.which, names) if where is not None]
    candidates += map(str, Path.home().glob(".pyenv/versions/*/bin/python"))
    found: dict[tuple[int, int], str] = {}
    for candidate in [*candidates, sys.executable]:
        done = subprocess.run(
            [candidate, "-c", _TELL], capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode == 0:  # pyenv's shims are there for versions that are not chosen
            path, major, minor = done.stdout.split()
            found[int(major), int(minor)] = path
    return found


def supported() -> list[str]:
    """Those that the agent must run on."""
    return [path for version, path in sorted(pythons().items()) if version >= (3, 9)]


def too_old() -> list[str]:
    """Those that can be started as the loader is, and are older."""
    return [path for version, path in sorted(pythons().items()) if (3, 4) <= version < (3, 9)]
