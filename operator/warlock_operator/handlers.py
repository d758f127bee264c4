"""
kopf: watches the three kinds and hands every event to the fleet. Nothing else.

Only ``on.event`` is used: kopf then writes nothing, owns no finalizer and keeps no memory. A
handler that returned something would have it written into the status, so they return None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from warlock_operator.api.names import GROUP, PLURALS, VERSION, Kind
from warlock_operator.kube.credentials import Login
from warlock_operator.reconcile.fleet import Fleet

PAGE_SIZE = 500
"""Objects, as in the lists of our own."""
IDLE_SECONDS = 0.1
"""A task lives on for so long; events of one object that come together share one."""
BACKOFF_SECONDS = (1.0, 1.0, 2.0, 3.0, *[5.0] * 10)
"""
Between attempts at a list or a watch that is refused or fails: a minute in all, then kopf gives up
and the process ends. kopf's own grow to 21, and so long an edit would not be seen once it can be.
"""


def registry(fleet: Fleet, login: Callable[[], Awaitable[Login]]) -> kopf.OperatorRegistry:
    """Make the handlers that feed *fleet*, logged in as *login* says."""
    made = kopf.OperatorRegistry()
    for kind in Kind:
        _watch(made, kind, fleet)

    @kopf.on.login(registry=made)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        found = await login()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_file,
            insecure=found.insecure,
            scheme="Bearer" if found.token else None,
            token=found.token or None,
            certificate_path=found.certificate_file,
            private_key_path=found.key_file,
        )

    @kopf.on.startup(registry=made)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.scanning.disabled = True
        settings.peering.standalone = True
        settings.posting.enabled = False
        # A page after the other, and each let go at once: kopf's task of an object holds it whole
        # for as long as it waits for more, and ten thousand at a time are 300 MB.
        settings.watching.chunk_size = PAGE_SIZE
        settings.networking.error_backoffs = BACKOFF_SECONDS
        settings.queueing.idle_timeout = IDLE_SECONDS
        # Never ours: kopf takes the finalizer of that name off every object that it watches.
        settings.persistence.finalizer = f"{GROUP}/kopf-unused"

    return made


def _watch(made: kopf.OperatorRegistry, kind: Kind, fleet: Fleet) -> None:
    @kopf.on.event(GROUP, VERSION, PLURALS[kind], registry=made)
    async def seen(event: Any, **_: Any) -> None:
        raw = event["object"]
        if event["type"] == "DELETED":
            fleet.gone(kind, raw["metadata"]["uid"])
        else:
            fleet.put(kind, raw)


async def watch(
    fleet: Fleet,
    login: Callable[[], Awaitable[Login]],
    started: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    """
    Run kopf until *stop* is set or kopf gives up; raises what it gave up by.

    *started* is called once kopf has set itself up, its own signal handlers included.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry(fleet, login), clusterwide=True, stop_flag=stop, standalone=True
    )
    started()
    # Not kopf.run_tasks: when kopf gives up, that one goes on for five seconds and cancels then
    # every task of the loop, among them the one that would say why the process ends.
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
