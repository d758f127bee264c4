"""
Ask a game who plays. The only importer of opengsq; a question that fails is an answer, None.

A game is asked directly, from here to its host's address; where nothing comes, through the host,
for a port behind a firewall. What worked for a port is tried first the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
from collections.abc import Coroutine
from typing import Any

from warlock_operator.errors import OperatorError
from warlock_operator.log import ADDRESS, DETAIL
from warlock_operator.settings import Settings
from warlock_operator.transport import relay
from warlock_operator.transport.link import HostLink
from warlock_operator.transport.lookup import Lookups
from warlock_operator.transport.queries import QUERIES, Players, Query
from warlock_operator.transport.relay import LOOPBACK, Through

log = logging.getLogger(__name__)

NO_PROTOCOL = "None"
_NAMES_SHARE = 0.5
"""Of a query's time, on top of it, for the question after names."""
_HOST_SHARE = 0.5
"""Of a query's time, for each step through the host: some ask for a challenge first."""
_REMEMBERED = 50_000
"""Ports; then all are forgotten, which costs one direct try each."""


class PlayerQueries:
    """Asks games, so many at a time; remembers which of them are asked through their host."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = asyncio.Semaphore(settings.queries_in_flight)
        self._lookups = Lookups()
        self._by_host: set[tuple[str, int]] = set()

    async def query(
        self, protocol: str, address: str, port: int, link: HostLink | None = None
    ) -> Players | None:
        """
        Say who plays on a port.

        Args:
            protocol: a name of the Game's query protocols; ``None`` is never asked.
            address: of the host.
            port: that answers queries.
            link: to the host, if there is one to ask through.

        Returns:
            None where that can't be known: no answer in time, one that makes no sense, or no
            protocol. Never raises but CancelledError.
        """
        how = QUERIES.get(protocol)
        if how is None:
            return None
        async with self._turn:
            return await self._ask(protocol, how, address, port, link)

    async def _ask(
        self, protocol: str, how: Query, address: str, port: int, link: HostLink | None
    ) -> Players | None:
        limit = self._settings.query_timeout_seconds
        place = (address, port)
        ways: list[Through | None] = [None]
        if link is not None:
            ways.append(_through(link, how, port, limit))
        if place in self._by_host:
            ways.reverse()
        for through in ways:
            where = await self._number(address, limit) if through is None else address
            found = await ask(protocol, where, port, through, limit) if where else None
            if found is not None:
                self._remember(place, through is not None)
                return self._bounded(found)
        return None

    async def _number(self, address: str, limit_seconds: float) -> str:
        """Give the address to ask at, as a number; empty where its name says none in time."""
        with contextlib.suppress(OSError, UnicodeError):
            async with asyncio.timeout(limit_seconds):
                return (await self._lookups.places(address))[0][1]
        return ""

    def _remember(self, place: tuple[str, int], by_host: bool) -> None:
        if not by_host:
            self._by_host.discard(place)
            return
        if len(self._by_host) >= _REMEMBERED:
            self._by_host.clear()
        self._by_host.add(place)

    def _bounded(self, found: Players) -> Players:
        return Players(found.online, found.max, found.names[: self._settings.player_names])


def _through(link: HostLink, how: Query, port: int, limit_seconds: float) -> Through:
    async def ask_host(payload: bytes) -> tuple[bytes, ...]:
        wait = limit_seconds * _HOST_SHARE
        return await link.exchange(how.transport, port, payload, wait, how.answers)

    return ask_host


async def ask(
    protocol: str, address: str, port: int, through: Through | None, limit_seconds: float
) -> Players | None:
    """Ask one way: through the host, or directly where *through* is None; None: unknown."""
    how = QUERIES[protocol]
    opened = relay.udp if how.transport == "UDP" else relay.tcp
    try:
        whole_seconds = limit_seconds * (1 + _NAMES_SHARE * bool(how.ask_names))
        async with asyncio.timeout(whole_seconds), opened(address, port, through) as open_relay:
            return await _players(protocol, how, open_relay, limit_seconds)
    except (TimeoutError, OSError, OperatorError, relay.Unanswered) as error:
        why: BaseException = error
    # opengsq meets a game's bytes unprepared: IndexError, struct.error, UnicodeDecodeError, re's
    # None, and its own. All of them say that the answer is none; each is logged.
    except Exception as error:
        why = error
    extra = {ADDRESS: f"{address}:{port}", DETAIL: f"{type(why).__name__}: {why}"[:200]}
    log.debug("players unknown", extra=extra)
    return None


async def _players(
    protocol: str, how: Query, open_relay: relay.Relay, limit_seconds: float
) -> Players:
    game = _client(protocol, how, open_relay.port, limit_seconds)
    numbers = await _race(getattr(game, how.ask)(), open_relay)
    people = None
    if how.ask_names:
        # Not every server tells its names; the numbers are right without them.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(limit_seconds * _NAMES_SHARE):
                people = await _race(getattr(game, how.ask_names)(), open_relay)
    return how.read(numbers, people)


async def _race(asking: Coroutine[Any, Any, Any], open_relay: relay.Relay) -> Any:
    """Wait for the answer, or for the relay to know that none comes."""
    question = asyncio.ensure_future(asking)
    failure = asyncio.ensure_future(open_relay.failed())
    try:
        await asyncio.wait((question, failure), return_when=asyncio.FIRST_COMPLETED)
        if not question.done():
            await failure
        return await question
    finally:
        for task in (question, failure):
            task.cancel()
        await asyncio.gather(question, failure, return_exceptions=True)


def _client(protocol: str, how: Query, port: int, limit_seconds: float) -> Any:
    """Make opengsq's client of the relay's port, also where its class insists on a port."""
    cls = getattr(importlib.import_module(f"opengsq.protocols.{how.module}"), protocol)
    default = inspect.signature(cls).parameters["port"].default
    made = cls(LOOPBACK, port if default is inspect.Parameter.empty else default, limit_seconds)
    made._port = port
    for attribute in how.own_ports:
        setattr(made, attribute, 0)
    return made
