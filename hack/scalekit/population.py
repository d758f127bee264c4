"""Make the fleet's objects, fast, and look at all of them at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scalekit import objects
from scalekit.objects import Object
from warlock_operator.errors import Conflict
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.refs import GAME, GAME_HOST, GAME_INSTANCE, Resource
from warlock_operator.settings import Settings

_IN_FLIGHT = 48
Progress = Callable[[int, int], None]


def populate(
    kubeconfig: Path, hosts: Iterable[Object], instances: Iterable[Object], tell: Progress
) -> None:
    """Create what is not there yet; hosts first."""
    wanted: list[tuple[Resource, str | None, Object]] = [(GAME_HOST, None, one) for one in hosts]
    wanted += [(GAME_INSTANCE, objects.NAMESPACE, one) for one in instances]
    asyncio.run(_create(kubeconfig, wanted, tell))


def declare_game(kubeconfig: Path, game: Object) -> None:
    """Create the Game."""
    asyncio.run(_create(kubeconfig, [(GAME, None, game)], lambda done, whole: None))


def instances(kubeconfig: Path) -> list[Object]:
    """Every GameInstance as it is now."""

    async def ask() -> list[Object]:
        async with await KubeClient.connect(_settings(kubeconfig)) as client:
            found, _ = await client.list_objects(GAME_INSTANCE)
            return found

    return asyncio.run(ask())


def rest(found: list[Object]) -> tuple[int, int]:
    """How many are Ready for their newest generation, and how many of those show metrics."""
    ready = [one for one in found if _ready(one)]
    return len(ready), sum("cpuMillicores" in one["status"].get("metrics", {}) for one in ready)


def _ready(one: Object) -> bool:
    status: dict[str, Any] = one.get("status", {})
    newest = status.get("observedGeneration") == one["metadata"]["generation"]
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return newest and conditions.get("Ready") == "True"


async def _create(
    kubeconfig: Path, wanted: list[tuple[Resource, str | None, Object]], tell: Progress
) -> None:
    todo, done = iter(wanted), 0
    async with await KubeClient.connect(_settings(kubeconfig)) as client:

        async def work() -> None:
            nonlocal done
            for resource, namespace, body in todo:
                with contextlib.suppress(Conflict):
                    await client.create(resource, namespace, body)
                done += 1
                if not done % 100:
                    tell(done, len(wanted))

        await asyncio.gather(*(work() for _ in range(_IN_FLIGHT)))


def _settings(kubeconfig: Path) -> Settings:
    return Settings(kubeconfig=str(kubeconfig))
