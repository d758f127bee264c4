"""What operator and agents hold, every few seconds: memory, open files, tasks, connections."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Self

from labkit.errors import LabError
from scalekit import proc
from soakkit.slopes import Point
from soakkit.world import World

EVERY_SECONDS = 2.0
_SSH_PORT = 22
_ESTABLISHED = "01"
COUNTS = ("operator open files", "operator threads", "operator tasks", "SSH connections", "agents")


class Meter:
    """Looks in a thread of its own; :attr:`series` has what it saw, by what was looked at."""

    def __init__(self, world: World) -> None:
        self.series: defaultdict[str, list[Point]] = defaultdict(list)
        self._world = world
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def now(self) -> dict[str, float]:
        """Look once; gives what there is to see, by the names of the series."""
        found = self._operator()
        agents = [self._world.agents(host) for host in self._world.hosts]
        found["agents"] = float(sum(map(len, agents)))
        found["SSH connections"] = float(self._connections())
        return {name: value for name, value in found.items() if value is not None}

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            try:
                whose = self._world.operator.pid
                self._note(whose, self.now())
            except (LabError, OSError, ValueError):  # it is between two runs, or ends just now
                pass
            for host in self._world.hosts:
                for pid in self._world.agents(host):
                    self._agent(host.name, pid)

    def _note(self, pid: int, found: dict[str, float]) -> None:
        now = time.monotonic()
        age = now - proc.started_at(pid)
        for name, value in found.items():
            self.series[name].append(Point(now - self._began, pid, age, value))

    def _agent(self, host: str, pid: int) -> None:
        try:
            found = {f"agent on {host}, MB": _megabytes(pid)}
            found[f"agent on {host}, open files"] = float(open_files(pid))
            self._note(pid, found)
        except (OSError, ValueError):  # it ends just now
            return

    def _operator(self) -> dict[str, float]:
        pid = self._world.operator.pid
        found = {
            "operator, MB": _megabytes(pid),
            "operator open files": float(open_files(pid)),
            "operator threads": float(len(list(Path(f"/proc/{pid}/task").iterdir()))),
        }
        tasks = self._metric("warlock_tasks")
        return found if tasks is None else {**found, "operator tasks": tasks}

    def _metric(self, name: str) -> float | None:
        """Give a gauge of the operator's own page; None while nobody answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self._world.operator.web_port}/metrics"
        try:
            with opener.open(url, timeout=2.0) as answer:
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, OSError):
            return None
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), None)

    def _connections(self) -> int:
        """Count the open connections from here to the machines' sshd."""
        wanted = {f"{_hex(host.address)}:{_SSH_PORT:04X}" for host in self._world.hosts}
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(words[2] in wanted and words[3] == _ESTABLISHED for words in lines)


def open_files(pid: int) -> int:
    """How many files the process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _megabytes(pid: int) -> float:
    return proc.rss_bytes(pid) / 2**20


def _hex(address: str) -> str:
    """Write an IPv4 address as the kernel's table does on a little-endian machine."""
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
