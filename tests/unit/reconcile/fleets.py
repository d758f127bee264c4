"""A fleet over machines in memory, in virtual time, without an apiserver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.core.worlds import Raw, game, host
from tests.unit.reconcile import virtual
from warlock_operator.api.names import Kind
from warlock_operator.core.inventory import Inventory
from warlock_operator.kube.recorder import Recorder
from warlock_operator.kube.secrets import KeySecret, KeySecrets
from warlock_operator.kube.status import StatusWriter
from warlock_operator.reconcile.finalizers import Finalizers
from warlock_operator.reconcile.fleet import Fleet
from warlock_operator.reconcile.prober import Prober
from warlock_operator.reconcile.publisher import Publisher
from warlock_operator.reconcile.surroundings import Leader, Surroundings
from warlock_operator.reconcile.turns import Turns
from warlock_operator.settings import Settings
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.transport.link import HostLink, LinkTarget, OnFrame, OnLost
from warlock_operator.transport.machine import Machine
from warlock_operator.transport.players import PlayerQueries

SETTINGS = Settings(transport="fixture")


class Counted(FixtureLinks):
    """Notes when each address was tried."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.attempts: dict[str, list[float]] = {}

    def connect(self, target: LinkTarget, on_frame: OnFrame, on_lost: OnLost) -> HostLink:
        now = asyncio.get_running_loop().time()
        self.attempts.setdefault(target.address, []).append(now)
        return super().connect(target, on_frame, on_lost)


@dataclass
class World:
    """A fleet without an apiserver: nothing of what is tested here has to be written there."""

    links: Counted = field(default_factory=lambda: Counted(SETTINGS))
    inventory: Inventory = field(default_factory=Inventory)
    versions: int = 1

    def __post_init__(self) -> None:
        nobody: Any = SimpleNamespace(settings=SETTINGS)
        self.secrets = KeySecrets(nobody, lambda name: self.fleet.secret_changed(name))
        self.keys: dict[str, KeySecret] = self.secrets._reflector.values  # type: ignore[assignment]
        self.keys["host-a-ssh"] = KeySecret("host-a-ssh", "uid", b"key", None)
        self.prober = Prober(self.links, SETTINGS)
        self.writer = StatusWriter(nobody, self.inventory.uid_of)
        self.around = Surroundings(
            settings=SETTINGS,
            inventory=self.inventory,
            links=self.links,
            prober=self.prober,
            secrets=self.secrets,
            finalizers=Finalizers(nobody, self.inventory),
            publisher=Publisher(self.writer, Recorder(nobody, "test")),
            queries=PlayerQueries(SETTINGS),
            leader=Leader("owner", 1, "holder"),
            turns=Turns(),
        )
        self.fleet = Fleet(self.around, lambda error: pytest.fail(f"a worker ended: {error}"))

    def put(self, kind: Kind, raw: Raw, **meta: Any) -> None:
        """Bring an object, or its next version, as a watch would."""
        self.versions += 1
        raw["metadata"].update(meta, resourceVersion=str(self.versions))
        self.fleet.put(kind, raw)

    def machine(self, raw: Raw) -> Machine:
        """The machine of a GameHost."""
        return self.links.machine_at(raw["spec"]["address"])

    def attempts(self, raw: Raw) -> list[float]:
        """When it was tried."""
        return self.links.attempts.get(raw["spec"]["address"], [])


def scenario(test: Callable[[World, Raw], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time, with a Game and one GameHost that nobody reaches."""

    async def play() -> None:
        world, one = World(), named_host("host-a", "198.18.1.1")
        world.put(Kind.GAME, game())
        world.put(Kind.GAME_HOST, one)
        world.machine(one).faults.unreachable = True
        world.fleet.start()
        try:
            await test(world, one)
        finally:
            await world.fleet.stop()

    def run() -> None:
        virtual.run(play())

    run.__doc__ = test.__doc__
    return run


def named_host(name: str, address: str) -> Raw:
    made = host(name, address)
    made["spec"]["ssh"] = {"keySecret": {"name": "host-a-ssh"}, "hostKeyPolicy": "TrustOnFirstUse"}
    return made
