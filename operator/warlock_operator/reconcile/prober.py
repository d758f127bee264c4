"""
Notices that hosts which do not answer are back, long before their back-off has passed.

One for the process, so that the probes of all hosts together keep to a budget. A probe is a bare
TCP connect, closed at once: cheap for both ends, and no login that sshd would count as failed.
"""

from __future__ import annotations

import asyncio
import random

from warlock_operator.core.backoff import probe_period_seconds
from warlock_operator.settings import Settings
from warlock_operator.transport.link import LinkFactory


class Prober:
    """Probes the hosts that somebody waits for, each one at a time."""

    def __init__(self, links: LinkFactory, settings: Settings) -> None:
        self.probes = 0
        self._links = links
        self._settings = settings
        self._away = 0

    async def back(self, address: str, port: int, *, away: bool = True) -> None:
        """
        Return once something takes a connection there again.

        away: nothing does now. Otherwise that has to be seen first: a host whose connections are
        cut while it answers all the time has not come back.
        """
        self._away += 1
        try:
            # Hosts that failed together are not probed together.
            wait_seconds = self._period_seconds() * (0.5 + random.random() / 2)  # noqa: S311
            while True:
                await asyncio.sleep(wait_seconds)
                answers = await self._answers(address, port)
                if answers and away:
                    return
                away = away or not answers
                wait_seconds = self._period_seconds()
        finally:
            self._away -= 1

    async def _answers(self, address: str, port: int) -> bool:
        self.probes += 1
        return await self._links.answers(address, port)

    def _period_seconds(self) -> float:
        settings = self._settings
        return probe_period_seconds(
            self._away, settings.probe_period_seconds, settings.probes_per_second
        )
