"""The whole operator against a real apiserver, with hosts in memory that run the real planner."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube.conftest import (  # noqa: F401  # fixtures of that suite, used here too
    FAST,
    admin,
    installed,
    kubectl,
    namespace,
    proxy,
    until,
    write_kubeconfig,
)
from tests.cluster.kube.proxy import Proxy
from tests.unit.core.worlds import GUID, Raw, game, host, instance
from warlock_operator import process
from warlock_operator.errors import Conflict, ObjectGone
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.refs import (
    GAME,
    GAME_HOST,
    GAME_INSTANCE,
    NAMESPACE,
    SECRET,
    Resource,
)
from warlock_operator.settings import Settings
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.transport.machine import Machine
from warlock_operator.web.server import Health

__all__ = ["GUID", "Cluster", "until"]


class Unsignalled(process.Ending):
    """For a thread, which can't have signals."""

    def on_signals(self) -> None:
        """Take none."""


class Running:
    """
    An operator in a thread of its own, started again when it ends.

    kopf cancels whatever else runs in its event loop when it ends, so that one is not the test's.
    """

    def __init__(self, settings: Settings, links: FixtureLinks, health: Health) -> None:
        self.loop = asyncio.new_event_loop()
        self._settings, self._links, self._health = settings, links, health
        self._stopping = False
        self.runs = 0
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; returns when it has let go of the Lease."""
        self._stopping = True
        self.loop.call_soon_threadsafe(self._cancel)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._stopping:
            self.runs += 1
            self._task = self.loop.create_task(self._once())
            with contextlib.suppress(Exception, asyncio.CancelledError):
                self.loop.run_until_complete(self._task)
        self.loop.close()

    async def _once(self) -> None:
        async with await KubeClient.connect(self._settings) as client:
            ending = Unsignalled()
            await process._work(self._settings, client, self._links, self._health, ending)


class Cluster:
    """What a test does to the cluster, and the operators that it runs there."""

    def __init__(self, api: KubeClient, front: Proxy, settings: Settings) -> None:
        """settings: the operator's; its requests go through *front*."""
        self.api = api
        self.proxy = front
        self.settings = settings
        self.links = FixtureLinks(settings)
        self.namespace = settings.namespace
        self._operators: list[Running] = []

    # --- objects ----------------------------------------------------------------------

    async def create(self, resource: Resource, raw: Raw) -> Raw:
        """Create an object of the test's own; drops what only the apiserver sets."""
        body = {**raw, "metadata": {"name": raw["metadata"]["name"]}}
        place = self.namespace if resource is GAME_INSTANCE else None
        return await self.api.create(resource, place, body)

    async def furnish(self, **spec: Any) -> None:
        """Make a Game that installs nothing, and host-a with a key."""
        await self.create(GAME, plain_game())
        await self.create(GAME_HOST, host(**{**KEY, **spec}))

    async def instance(self, name: str = "a", **spec: Any) -> Raw:
        """Make a GameInstance on host-a."""
        return await self.create(GAME_INSTANCE, instance(name, **spec))

    async def elsewhere(self) -> Cluster:
        """The same cluster, seen from a second namespace."""
        other = copy.copy(self)
        other.namespace = f"{self.namespace}-other"
        with contextlib.suppress(Conflict):
            await self.api.create(NAMESPACE, None, {"metadata": {"name": other.namespace}})
        return other

    async def gone(self, name: str = "a", resource: Resource = GAME_INSTANCE) -> None:
        """Wait until an object is no more."""

        async def absent() -> bool:
            try:
                await self.seen(name, resource)
            except ObjectGone:
                return True
            return False

        await until(absent, f"{name} is gone")

    async def seen(self, name: str = "a", resource: Resource = GAME_INSTANCE) -> Raw:
        """The object as it is now."""
        place = self.namespace if resource is GAME_INSTANCE else None
        return await self.api.get(resource, place, name)

    async def edit(self, resource: Resource, name: str, patch: Raw) -> None:
        """Edit an object as a person would."""
        place = self.namespace if resource is GAME_INSTANCE else None
        await self.api.merge(resource, place, name, patch)

    async def delete(self, resource: Resource, name: str) -> None:
        """Ask for its deletion."""
        place = self.namespace if resource is GAME_INSTANCE else None
        await self.api.request("DELETE", resource.path(place, name))

    async def wait_condition(
        self, type_: str, status: str, reason: str = "", name: str = "a",
        resource: Resource = GAME_INSTANCE,
    ) -> Raw:  # fmt: skip
        """Wait for a condition; gives it."""

        async def there() -> Raw | None:
            found = await self.seen(name, resource)
            for each in found.get("status", {}).get("conditions", ()):
                if (each["type"], each["status"]) == (type_, status):
                    return each if reason in ("", each["reason"]) else None
            return None

        found: Raw = await until(there, f"{name}: {type_}={status} {reason}")
        return found

    async def wait_ready(self, *names: str) -> None:
        """Wait until all are Ready."""
        for name in names or ("a",):
            await self.wait_condition("Ready", "True", name=name)

    # --- the host ---------------------------------------------------------------------

    @property
    def machine(self) -> Machine:
        """The machine at host-a's address."""
        return self.links.machine_at("198.18.1.1")

    def pids(self) -> dict[str, int]:
        """Main pids of what runs there, by unit."""
        return {u.unit: u.main_pid for u in self.machine.state.units if u.main_pid}

    # --- the operator -----------------------------------------------------------------

    async def start(self, *, wait: bool = True) -> Health:
        """Start an operator; waits until it has seen every object."""
        health = Health()
        health.waiting_for = "its start"
        self._operators.append(Running(self.settings, self.links, health))
        if wait:
            await until(lambda: not health.waiting_for, "the operator is ready")
        return health

    async def stop(self) -> None:
        """End every operator in good order; the machines stay as they are."""
        operators, self._operators = self._operators, []
        for each in operators:
            await asyncio.to_thread(each.stop)

    def runs(self) -> int:
        """How often an operator was started; more often than :meth:`start` was called: it ended."""
        return sum(each.runs for each in self._operators)

    def happen(self, what: Callable[[], None]) -> None:
        """Let something happen to a machine, where the operator's links are."""
        self._operators[0].loop.call_soon_threadsafe(what)

    def writes(self) -> list[tuple[str, str]]:
        """What the operators asked the apiserver to change, leases aside."""
        return [
            (method, path)
            for method, path in self.proxy.passed
            if method != "GET" and "/leases" not in path
        ]

    async def clean(self) -> None:
        """Remove every object of the three kinds, finalizers first."""
        for resource in (GAME_INSTANCE, GAME_HOST, GAME):
            for place, name in (await self.api.list_keys(resource)).values():
                patch = {"metadata": {"finalizers": None}}
                with contextlib.suppress(Exception):
                    await self.api.merge(resource, place or None, name, patch)
                with contextlib.suppress(Exception):
                    await self.api.request("DELETE", resource.path(place or None, name))
        with contextlib.suppress(ObjectGone):
            await self.api.request("DELETE", NAMESPACE.path(None, f"{self.namespace}-other"))


KEY = {
    "ssh": {
        "keySecret": {"name": "host-key"},
        "hostKeyPolicy": "TrustOnFirstUse",
    }
}


def plain_game(name: str = "openarena") -> Raw:
    """The sample's Game, without packages and query."""
    made = game(name=name)
    made["spec"]["install"] = {"none": {}}
    made["spec"].pop("query", None)
    return made


@pytest.fixture
async def cluster(
    admin: KubeClient,  # noqa: F811
    namespace: str,  # noqa: F811
    proxy: Proxy,  # noqa: F811
    tmp_path: Path,
) -> AsyncIterator[Cluster]:
    """A namespace of its own for operator, Lease, key and instances; no operator runs yet."""
    path = write_kubeconfig(tmp_path / "operator", {"server": proxy.address}, {})
    settings = replace(
        FAST, kubeconfig=str(path), namespace=namespace, intake_quiet_seconds=0.1,
        watch_seconds=60.0, api_page_size=500, unknown_grace_seconds=0.5,
        backoff_initial_seconds=0.2, backoff_cap_seconds=0.5, crd_poll_seconds=0.2,
    )  # fmt: skip
    secret = {
        "metadata": {"name": "host-key"},
        "type": "kubernetes.io/ssh-auth",
        "stringData": {"ssh-privatekey": uuid.uuid4().hex},
    }
    await admin.create(SECRET, namespace, secret)
    made = Cluster(admin, proxy, settings)
    await made.clean()
    yield made
    await made.stop()
    await made.clean()
