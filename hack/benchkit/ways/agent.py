"""Ours: the agent at the end of the operator's own link, one frame there and one back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from benchkit.machines import Wishes
from labkit.errors import LabError
from labkit.host import Host
from warlock_agent.model import Authority, DesiredHost, ObservedUnit
from warlock_agent.wire import Report, UnitsChanged
from warlock_operator.errors import OperatorError
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink, LinkTarget, Pushed
from warlock_operator.transport.ssh import SshLinks

T = TypeVar("T")
RESTART_SECONDS = 20.0
AUTHORITY = Authority("bench-owner", 1, "bench-holder", "bench-host")


def target_of(host: Host) -> LinkTarget:
    """Say how the operator would reach a machine of the lab."""
    return LinkTarget(
        host.name,
        host.address,
        host.ssh_port,
        host_keys=(host.host_key,),
        private_key=host.client_key_path.read_bytes(),
    )


class Agent:
    """See the module. Its links live only between open and close: an open one hears signals."""

    name = "agent"
    title = "this operator's agent"
    slow = False

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._links: dict[str, HostLink] = {}
        self._wishes: dict[str, DesiredHost] = {}
        self._digests: dict[tuple[str, str], str] = {}
        self._running: set[tuple[str, str]] = set()
        self._news = asyncio.Event()
        self.reports: tuple[Report, ...] = ()

    def open(self, hosts: Sequence[Host]) -> None:
        """Connect and start an agent on each machine."""
        self._runner, self._news = asyncio.Runner(), asyncio.Event()
        factory = SshLinks(Settings())

        async def connect() -> None:
            for host in hosts:
                heard = partial(self._heard, host.name)
                link = factory.connect(target_of(host), heard, lambda error: None)
                await link.open()
                self._links[host.name] = link

        self._await(connect())

    def wish(self, wishes: Wishes) -> None:
        """Say it as the operator's desired_host does."""
        self._wishes = {name: wished.desired(name) for name, wished in wishes.items()}
        self._digests = {
            (name, server.unit): server.digest
            for name, wished in wishes.items()
            for server in wished.servers
        }

    def run(self) -> None:
        """Converge all machines at once; a restart is waited for, as the others do."""

        async def converge() -> list[Report]:
            reports = await asyncio.gather(
                *(self._links[name].converge(AUTHORITY, d) for name, d in self._wishes.items())
            )
            for name, report in zip(self._wishes, reports, strict=True):
                self._note(name, report.observed.units)
            await self._restarted()
            return reports

        self.reports = tuple(self._await(converge()))
        for report in self.reports:
            bad = [r for r in report.results if r.outcome != "Done"]
            if bad or report.refusals:
                raise LabError(f"the agent: {bad[:1]} {report.refusals[:1]}")

    def look(self) -> None:
        """Observe all machines at once."""

        async def observe() -> None:
            await asyncio.gather(*(link.observe() for link in self._links.values()))

        self._await(observe())

    def close(self) -> None:
        """Hang up; the agents end with their channels."""

        async def close() -> None:
            for link in self._links.values():
                await link.close()

        if self._runner is not None:
            self._await(close())
            self._runner.close()
        self._runner, self._links = None, {}

    def _heard(self, host: str, frame: Pushed) -> None:
        if isinstance(frame, UnitsChanged):
            self._note(host, frame.units)

    def _note(self, host: str, units: Iterable[ObservedUnit]) -> None:
        for unit in units:
            key = host, unit.unit
            active = unit.active_state == "active"
            # In its first moments a process shows no environment; only a new one is so young.
            new = unit.digest is None or unit.digest == self._digests.get(key)
            (self._running.add if active and new else self._running.discard)(key)
        self._news.set()

    async def _restarted(self) -> None:
        """Return when every unit runs with the environment that was wished."""
        async with asyncio.timeout(RESTART_SECONDS):
            while not self._digests.keys() <= self._running:
                self._news.clear()
                await self._news.wait()

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._runner is not None, "open comes first"
        try:
            return self._runner.run(work)
        except OperatorError as error:
            raise LabError(f"the agent: {error.reason}: {error}") from error
        except TimeoutError as error:
            raise LabError("the agent: not all units run as they were wished") from error
