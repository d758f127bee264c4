"""What a run has measured, with where and when: one JSON file, from which tables are made again."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchkit.measure import Sample
from labkit import paths


@dataclass
class Results:
    """A run's samples; ``about`` says what machine, which code, and how busy it was."""

    about: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def find(self, scene: str, phase: str, way: str) -> Sample | None:
        """Give one sample, None where it was not measured."""
        wanted = (scene, phase, way)
        return next((s for s in self.samples if (s.scene, s.phase, s.way) == wanted), None)

    def merge(self, newer: list[Sample]) -> None:
        """Take samples in; those of the same name give way, and their place with it."""
        found = {(s.scene, s.phase, s.way): s for s in [*self.samples, *newer]}
        self.samples = list(found.values())


def read(file: Path) -> Results:
    """Read a run's file."""
    found = json.loads(file.read_text())
    samples = [Sample(**{**each, "seconds": tuple(each["seconds"])}) for each in found["samples"]]
    return Results(found["about"], samples)


def write(results: Results, file: Path) -> None:
    """Write a run's file; a line a sample, so that a change can be read."""
    lines = [json.dumps(_rounded(sample)) for sample in results.samples]
    body = ",\n  ".join(lines)
    file.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps(results.about, indent=1)
    file.write_text(f'{{"about": {about},\n "samples": [\n  {body}\n ]}}\n')


def add(fresh: Results, file: Path) -> Results:
    """
    Take a run's samples into a file; what was not measured now stays.

    Gives all of it as the file has it, rounded, so that tables made now and later say the same.
    """
    known = read(file) if file.exists() else Results()
    known.about = fresh.about
    known.merge(fresh.samples)
    write(known, file)
    return read(file)


def load() -> float:
    """Give how many processes have been running, or waiting to, in the last minute."""
    return round(os.getloadavg()[0], 1)


def about() -> dict[str, Any]:
    """Say what this machine is, which code lies here, and how busy the machine is already."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": load(),
    }


def _rounded(sample: Sample) -> dict[str, Any]:
    return {**asdict(sample), "seconds": [round(second, 6) for second in sample.seconds]}


def _commit() -> str:
    """Give the commit, with a mark where the operator's code differs from it."""
    asked = ["git", "-C", str(paths.REPOSITORY)]
    try:
        head = subprocess.run(
            [*asked, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run([*asked, "diff", "--quiet", "HEAD", "--", "operator"], check=False)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}{' with changes' if changed.returncode else ''}"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
