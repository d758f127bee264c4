"""
What a unit's control group uses: CPU, memory and tasks, with units in the names.

Where the kernel has a controller, its file is read. Where it has none (containers, cgroup v1
without accounting), memory is the sum of PSS over the group's processes, CPU comes from cpu.stat,
which needs no controller, or the processes themselves. Called by observe and watch. Reads only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Optional

from .digits import number_of
from .model import UnitSample
from .units import valid_unit

_MAX_GROUPS = 200  # of a unit's own sub-groups; a process that is delegated to may make any number
_TICKS = os.sysconf("SC_CLK_TCK")

# counter: where it lies beneath the mount point, and what one of its units is in ours
#   v2            v1 or hybrid (controllers have trees of their own)
_MEMORY_FILES = (("", "memory.current"), ("memory", "memory.usage_in_bytes"))
_TASKS_FILES = (("", "pids.current"), ("pids", "pids.current"))
_CPU_STAT_DIRS = ("", "unified")
_CPU_NSEC_FILES = (("cpuacct", "cpuacct.usage"), ("cpu,cpuacct", "cpuacct.usage"))
_PROCESS_TREES = ("", "unified", "systemd")


def unit_of_cgroup(text: str) -> str:
    """
    Say which unit a process belongs to, from its ``/proc/PID/cgroup``; empty for none.

    It is the first component that is no slice: what lies deeper is the unit's own business.
    """
    return unit_of_control_group(control_group_of(text))


def control_group_of(text: str) -> str:
    """
    Give the path that systemd manages: v2's, or that of its own v1 hierarchy.

    In hybrid mode both are the same. A container may see v1 hierarchies of the machine around it
    that its own systemd knows nothing of, and then only v2's path says something.
    """
    named = unified = ""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "name=systemd":
            named = path
        elif number == "0" and not controllers:
            unified = path
    return unified if unified.strip("/") else named or unified


def unit_of_control_group(path: str) -> str:
    """Give the unit of a control group's path; empty for none."""
    for component in path.split("/"):
        name = component[1:] if component.startswith("_") else component  # systemd escapes so
        if name and not name.endswith(".slice"):
            return name if valid_unit(name) else ""
    return ""


class Cgroups:
    """The control groups beneath *root*, and their processes beneath *proc*."""

    def __init__(self, root: str = "/sys/fs/cgroup", proc: str = "/proc") -> None:
        """Touch nothing yet."""
        self._root = root
        self._proc = proc

    def sample(self, unit: str, control_group: str) -> UnitSample:
        """
        Read a unit's counters; all zero and no memory source where the group is gone.

        control_group: as systemd's property ControlGroup gives it, ``/system.slice/a.service``.
        """
        pids = self.processes(control_group)
        stats = [stat for stat in map(self._process_stat, pids) if stat is not None]
        memory_bytes, source = self._memory(control_group, pids)
        tasks = self._first(_TASKS_FILES, control_group)
        return UnitSample(
            unit=unit,
            cpu_usec=self._cpu_usec(control_group, stats),
            memory_bytes=memory_bytes,
            memory_source=source,
            tasks=sum(threads for _, threads in stats) if tasks is None else tasks,
        )

    def processes(self, control_group: str) -> list[int]:
        """Give the pids of a group and of the groups beneath it, sorted; none where it is gone."""
        for tree in _PROCESS_TREES:
            top = self._path(tree, control_group)
            if os.path.exists(os.path.join(top, "cgroup.procs")):
                return sorted({pid for group in _groups(top) for pid in _pids(group)})
        return []

    def controllers(self) -> tuple[str, ...]:
        """Give the controllers that units can use here, of either version, sorted."""
        text = _read(os.path.join(self._root, "cgroup.controllers"))
        if text is not None:
            return tuple(sorted(text.split()))
        try:
            mounted = os.listdir(self._root)
        except OSError:
            return ()
        names = {part for name in mounted for part in name.split(",")}
        return tuple(sorted(names - {"systemd", "unified"}))

    def _memory(self, control_group: str, pids: list[int]) -> tuple[int, str]:
        counted = self._first(_MEMORY_FILES, control_group)
        if counted is not None:
            return counted, "Cgroup"
        shares = [share for share in map(self._pss_bytes, pids) if share is not None]
        return (sum(shares), "ProcessPSS") if shares else (0, "")

    def _cpu_usec(self, control_group: str, stats: list[tuple[int, int]]) -> int:
        for tree in _CPU_STAT_DIRS:
            text = _read(os.path.join(self._path(tree, control_group), "cpu.stat"))
            usage = fields_of(text or "").get("usage_usec")
            if usage is not None:
                return usage
        nanoseconds = self._first(_CPU_NSEC_FILES, control_group)
        if nanoseconds is not None:
            return nanoseconds // 1000
        return sum(usec for usec, _ in stats)

    def _first(self, files: tuple[tuple[str, str], ...], control_group: str) -> Optional[int]:
        """Give the number in the first of *files* that is there."""
        for tree, name in files:
            text = _read(os.path.join(self._path(tree, control_group), name))
            number = None if text is None else number_of(text.strip())
            if number is not None:
                return number
        return None

    def _path(self, tree: str, control_group: str) -> str:
        return os.path.join(self._root, tree, control_group.strip("/"))

    def _process_stat(self, pid: int) -> Optional[tuple[int, int]]:
        """Give (CPU microseconds, threads) of a process; None if it has ended."""
        text = _read(f"{self._proc}/{pid}/stat")
        return None if text is None else parse_process_stat(text)

    def _pss_bytes(self, pid: int) -> Optional[int]:
        """Give a process's proportional share of memory; None if it has ended or can't be read."""
        text = _read(f"{self._proc}/{pid}/smaps_rollup")
        return None if text is None else parse_pss(text)


def parse_process_stat(text: str) -> Optional[tuple[int, int]]:
    """Read ``/proc/PID/stat``: (CPU microseconds, threads). The name in it may hold anything."""
    fields = text.rpartition(")")[2].split()
    try:
        ticks, threads = int(fields[11]) + int(fields[12]), int(fields[17])
    except (IndexError, ValueError):
        return None
    return ticks * 1_000_000 // _TICKS, threads


def parse_pss(text: str) -> Optional[int]:
    """Read the PSS of ``/proc/PID/smaps_rollup``, in bytes."""
    for line in text.splitlines():
        words = line.split()
        number = number_of(words[1]) if len(words) == 3 else None
        if number is not None and words[0] == "Pss:" and words[2] == "kB":
            return number * 1024
    return None


def fields_of(text: str) -> dict[str, int]:
    """Read lines of ``name number``."""
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        number = number_of(value.strip())
        if number is not None:
            fields[name] = number
    return fields


def _groups(top: str) -> Iterator[str]:
    """Walk a group and the groups beneath it."""
    for count, (directory, _, _) in enumerate(os.walk(top)):
        if count >= _MAX_GROUPS:
            return
        yield directory


def _pids(group: str) -> list[int]:
    text = _read(os.path.join(group, "cgroup.procs"))
    numbers = (number_of(word) for word in (text or "").split())
    return [pid for pid in numbers if pid is not None]


def _read(path: str) -> Optional[str]:
    """Read a small file of the kernel's; None if it is not there (any more) or not for us."""
    try:
        with open(path, "rb", buffering=0) as file:
            return (file.read(65536) or b"").decode("utf-8", "replace")
    except OSError:
        return None
