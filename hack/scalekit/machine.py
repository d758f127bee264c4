"""Which machine, when, and what code: what a figure is worth nothing without."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

from labkit import paths
from labkit.commands import attempt


def described() -> dict[str, object]:
    """Give date, machine and commit. load_average: of five minutes, others' work included."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[1],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _commit() -> str:
    git = ("git", "-C", paths.REPOSITORY)
    done = attempt(*git, "rev-parse", "--short", "HEAD")
    dirty = attempt(*git, "status", "--porcelain", "--untracked-files=no").stdout.strip()
    return f"{done.stdout.strip() or 'unknown'}{' and changes' if dirty else ''}"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
