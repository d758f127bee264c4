"""
The program of ``hack/kstatus``: what sigs.k8s.io/cli-utils makes of an object's status.

Flux, kpt and others wait for objects by that library; no description of it would do.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import cachebuild, gobuild, paths, progress
from labkit.errors import LabError

_SOURCE = paths.REPOSITORY / "hack" / "kstatus"
_FILES = ("go.mod", "go.sum", "main.go")
_LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Answer:
    """Of one object. status: InProgress, Current, Failed, Terminating, NotFound or Unknown."""

    status: str
    message: str


def program(tell: progress.Callback = progress.silent) -> Path:
    """Return the program, built where it is not in the cache; modules are pinned by go.sum."""
    name = f"kstatus-{gobuild.digest(_SOURCE, _FILES)}"
    folder = cachebuild.item(name, "kstatus from source", lambda build: _make(build, tell), tell)
    return folder / "kstatus"


def _make(build: cachebuild.Build, tell: progress.Callback) -> None:
    gobuild.programs(build, _SOURCE, {"kstatus": "."}, tell)


def compute(objects: Iterable[Mapping[str, Any]]) -> Iterator[Answer]:
    """
    Say what kstatus makes of each object, in their order.

    Raises:
        LabError: one of them is no object to it; with what it said.
    """
    told = "".join(f"{json.dumps(each)}\n" for each in objects)
    done = subprocess.run(
        [program()], input=told, capture_output=True, text=True, timeout=_LIMIT_SECONDS
    )
    if done.returncode != 0:
        raise LabError(done.stderr.strip())
    for line in done.stdout.splitlines():
        yield Answer(**json.loads(line))
