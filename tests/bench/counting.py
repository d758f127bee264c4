"""What is counted: frames, processes, reloads. Numbers of things, never times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchkit import workload
from labkit.host import Host
from warlock_agent.model import ObservedUnit
from warlock_agent.wire import UnitsChanged
from warlock_operator.transport.link import Pushed

LIMIT_SECONDS = 60.0


class Heard:
    """Takes what a link says unasked, and lets a test await it."""

    def __init__(self) -> None:
        self.changes = 0
        self.units: dict[str, ObservedUnit] = {}
        self._news = asyncio.Event()

    def __call__(self, frame: Pushed) -> None:
        if isinstance(frame, UnitsChanged):
            self.changes += 1
            self.units.update((unit.unit, unit) for unit in frame.units)
            self._news.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Return once *fact* is true of what was heard."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while not fact():
                self._news.clear()
                await self._news.wait()

    async def until_scored(self, count: int) -> None:
        """Return once all of so many units run and have a score: nothing more will be said."""
        units = workload.wish(count).units

        def settled() -> bool:
            known = [self.units.get(unit) for unit in units]
            return all(u and u.digest and u.security_score_tenths is not None for u in known)

        await self.until(settled)


def processes_begun(host: Host) -> int:
    """Give the number of the machine's next process: what two calls differ by was begun between."""
    return int(host.run(["sh", "-c", "echo $$"]).stdout)


def reloads(host: Host) -> int:
    """How often systemd has re-read its files, as its journal says."""
    argv = ["journalctl", "-q", "-o", "cat", "_PID=1", "--grep", "^Reloading"]
    return len(host.run(argv, check=False).stdout.splitlines())


def main_pids(host: Host, count: int) -> list[str]:
    """Give the main processes of so many servers."""
    argv = ["systemctl", "show", "-P", "MainPID", *workload.wish(count).units]
    return host.run(argv).stdout.split()
