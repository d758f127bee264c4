"""What a process has used, from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time of the process, user and system, its ended children left out."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


def started_at(pid: int) -> float:
    """When the process began, of the monotonic clock, to a hundredth of a second."""
    since_boot = int(_stat(pid)[19]) / _TICKS
    return since_boot - (time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic())


def rss_bytes(pid: int) -> int:
    """Memory that is resident now."""
    return _status(pid, "VmRSS")


def peak_rss_bytes(pid: int) -> int:
    """The most that ever was."""
    return _status(pid, "VmHWM")


def _stat(pid: int) -> list[str]:
    """The fields of ``stat`` behind the name, which may have blanks in it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/status has no {key}")
