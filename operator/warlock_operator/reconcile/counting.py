"""
Counts players: asks each running instance of one host every now and then.

A query that fails makes the count unknown and nothing else: it says nothing about the process.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from warlock_operator import log as fields
from warlock_operator.api.v1alpha1.instancestatus import Players
from warlock_operator.core.desired import HostDecision, Verdict
from warlock_operator.core.inventory import HostItem
from warlock_operator.core.view import HostView
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink
from warlock_operator.transport.players import PlayerQueries

log = logging.getLogger(__name__)

FIRST_SECONDS = 1.0
"""After a start, until the first answer: a player count is what people look for."""


Question = tuple[str, str, int, int]
"""Protocol, address, port and main pid."""


class PlayerPoll:
    """One task an instance that runs and whose Game says how it is asked."""

    def __init__(
        self, queries: PlayerQueries, settings: Settings, changed: Callable[[str], None]
    ) -> None:
        """
        Args:
            changed: called with an instance's uid when its count differs.
        """
        self._queries = queries
        self._settings = settings
        self._changed = changed
        self._tasks: dict[str, tuple[Question, asyncio.Task[None]]] = {}
        self._counts: dict[str, Players | None] = {}
        self._link: HostLink | None = None

    def of(self, uid: str, shown: Players | None) -> Players | None:
        """
        What was counted last; None while it is not known.

        Until a process that we found running has been asked once, what is *shown* stays: that the
        operator has started anew is no news about players.
        """
        return self._counts.get(uid, shown if uid in self._tasks else None)

    def follow(
        self, decision: HostDecision, view: HostView, host: HostItem, link: HostLink | None
    ) -> None:
        """Ask exactly the instances that run now."""
        self._link = link
        wanted = {
            uid: question
            for uid, verdict in decision.verdicts.items()
            if link is not None and (question := question_of(verdict, view, host)) is not None
        }
        for uid in [uid for uid, (asked, _) in self._tasks.items() if wanted.get(uid) != asked]:
            self._tasks.pop(uid)[1].cancel()
            self._counts.pop(uid, None)
        for uid, question in wanted.items():
            if uid not in self._tasks:
                task = asyncio.create_task(self._poll(uid, question), name=f"players of {uid}")
                self._tasks[uid] = (question, task)

    def close(self) -> None:
        """Ask nobody any more."""
        for _, task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._counts.clear()

    async def _poll(self, uid: str, question: Question) -> None:
        while True:
            try:
                count = await self._count(question)
            except Exception:  # or the last count would stand for good
                log.exception("players can't be counted", extra={fields.TASK: f"players of {uid}"})
                count = None
            if uid not in self._counts or count != self._counts[uid]:
                self._counts[uid] = count
                self._changed(uid)
            every = self._settings.query_seconds
            await asyncio.sleep(
                every * random.uniform(0.9, 1.1)  # noqa: S311  # spreads load, guards nothing
                if count is not None
                else min(FIRST_SECONDS, every)
            )

    async def _count(self, question: Question) -> Players | None:
        protocol, address, port, _ = question
        found = await self._queries.query(protocol, address, port, self._link)
        if found is None:
            return None
        return Players(online=found.online, max=found.max or 0, names=found.names)


def question_of(
    verdict: Verdict, view: HostView, host: HostItem
) -> tuple[str, str, int, int] | None:
    """
    Give what to ask; None: nothing. A new process is a new question.

    Asked is a port that the unit itself has bound, or a stranger's players would be counted.
    """
    instance, game = verdict.instance, verdict.game
    if instance is None or game is None or game.spec.query is None or host.object is None:
        return None
    query = game.spec.query
    slot = next(((p.protocol, p.number) for p in instance.ports if p.name == query.port), None)
    unit = view.units.get(f"{game.spec.services[0].name}@{instance.instance_id}.service")
    if str(query.protocol) == "None" or slot is None or unit is None:
        return None
    if unit.active_state != "active" or slot not in unit.ports or not view.reachable:
        return None
    return str(query.protocol), host.object.spec.address, slot[1], unit.main_pid
