"""The rivals' own environment: Ansible and pyinfra, locked, beside what labs are made of."""

from __future__ import annotations

import hashlib
from pathlib import Path

from labkit import cachebuild, paths, progress

_LOCK = paths.REPOSITORY / "requirements" / "bench.txt"


def python(tell: progress.Callback) -> Path:
    """
    Return an interpreter that has them, installed where it is missing.

    Run them as modules: the scripts beside it know the place where they were installed, not this.
    """
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]
    title = "Ansible and pyinfra, in an environment of their own"
    return cachebuild.item(f"rivals-{digest}", title, _install, tell) / "venv/bin/python"


def _install(build: cachebuild.Build) -> None:
    build.run([paths.REPOSITORY / ".venv/bin/python", "-m", "venv", build.folder / "venv"])
    python = build.folder / "venv/bin/python"
    options = ("--disable-pip-version-check", "--require-hashes", "-r", _LOCK)
    build.run([python, "-m", "pip", "install", *options], on_line=build.step.update)
