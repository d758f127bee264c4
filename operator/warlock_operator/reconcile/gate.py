"""
The synced gate: no host is converged before every object that exists has been seen.

A watch gives no sign that its first list is complete, and half a list would look like a host
whose other instances were forgotten. So the names are listed once by ourselves, and each must
turn up in the intake, or be gone when asked for. The same comparison, made again every few
minutes, heals a watch that went deaf.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from warlock_operator import log as fields
from warlock_operator.api.names import Kind
from warlock_operator.core.inventory import Inventory
from warlock_operator.errors import ObjectGone, TransientError
from warlock_operator.kube.refs import BY_KIND
from warlock_operator.kube.verbs import Verbs
from warlock_operator.settings import Settings

log = logging.getLogger(__name__)

FEW = 16
"""Objects asked for one by one before the watch is waited for again; then twice as many."""

Found = Callable[[Kind, dict[str, Any]], None]
Gone = Callable[[Kind, str], None]


class Gate:
    """Compares the intake with lists of names."""

    def __init__(
        self, api: Verbs, inventory: Inventory, settings: Settings, found: Found, gone: Gone
    ) -> None:
        """
        Args:
            found: takes an object that the watch has not brought.
            gone: takes kind and uid of one that the watch has not said to be gone.
        """
        self._api = api
        self._inventory = inventory
        self._settings = settings
        self._found = found
        self._gone = gone
        self.synced = asyncio.Event()

    async def run(self, caught_up: Callable[[], Awaitable[None]]) -> None:
        """
        Open the gate once the intake is complete, then compare every now and then.

        Args:
            caught_up: waits for what else must be complete, such as namespaces' labels.
        """
        await caught_up()
        await self._retried(patient=True)
        self.synced.set()
        log.info(
            "every object has been seen",
            extra={fields.COUNT: sum(len(self._inventory.uids(kind)) for kind in Kind)},
        )
        while True:
            await asyncio.sleep(self._settings.list_resync_seconds)
            await self._retried(patient=False)

    async def _retried(self, *, patient: bool) -> None:
        """Compare until it succeeds; *patient*: give the watch time to bring what is missing."""
        wait_seconds = self._settings.api_retry_initial_seconds
        while True:
            try:
                for kind in Kind:
                    await self._compare(kind, patient=patient)
            except TransientError as error:
                log.warning(
                    "objects not compared",
                    extra={fields.REASON: error.reason, fields.DETAIL: str(error)},
                )
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(wait_seconds * 2, self._settings.api_retry_cap_seconds)
            else:
                return

    async def _compare(self, kind: Kind, *, patient: bool) -> None:
        known_before = self._inventory.uids(kind)
        listed = await self._api.list_keys(BY_KIND[kind])
        await self._complete(kind, listed, patient=patient)
        for uid in known_before & self._inventory.uids(kind) - frozenset(listed):
            item = self._inventory.get(kind, uid)
            if item is not None:
                await self._ask(kind, uid, item.meta.namespace, item.meta.name)

    async def _complete(
        self, kind: Kind, listed: dict[str, tuple[str, str]], *, patient: bool
    ) -> None:
        """
        Ask for what the intake lacks; *patient*: a few, and then see whether it goes on.

        A page of the watch's own list can take its time, and to take that for the end of it would
        be a request an object. Of a watch that is deaf more are asked for each time.
        """
        left, few = dict(listed), FEW if patient else len(listed)
        while left:
            if patient:
                await self._wait_for(kind, frozenset(left))
            for uid in left.keys() & self._inventory.uids(kind):
                del left[uid]
            for uid in tuple(left)[:few]:
                await self._ask(kind, uid, *left.pop(uid))
            few *= 2

    async def _wait_for(self, kind: Kind, uids: frozenset[str]) -> None:
        """Wait while the watch brings objects; what it leaves out is asked for one by one."""
        missing = len(uids - self._inventory.uids(kind))
        while missing:
            await asyncio.sleep(self._settings.intake_quiet_seconds)
            left = len(uids - self._inventory.uids(kind))
            if left == missing:
                return
            missing = left

    async def _ask(self, kind: Kind, uid: str, namespace: str, name: str) -> None:
        try:
            found = await self._api.get(BY_KIND[kind], namespace or None, name)
        except ObjectGone:
            self._gone(kind, uid)
            return
        if found["metadata"]["uid"] != uid:
            self._gone(kind, uid)
        self._found(kind, found)
