"""
Our finalizer: on before the first byte goes to a host, off after the last thing there is gone.

The inventory is told at once, since the watch that says the same comes later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from warlock_operator.api.names import FINALIZER
from warlock_operator.core.inventory import Inventory, Item
from warlock_operator.errors import ObjectGone
from warlock_operator.kube.guarded import GuardedWrites
from warlock_operator.reconcile.publisher import ref_of

T = TypeVar("T")


class Finalizers:
    """Puts our finalizer on objects and takes it off."""

    def __init__(self, api: GuardedWrites, inventory: Inventory) -> None:
        self._api = api
        self._inventory = inventory

    async def hold(self, item: Item[Any]) -> bool:
        """
        Put the finalizer on; a write only where it is not.

        Returns:
            False where the object is gone, or being deleted, so that it can't be held any more.
        """
        if item.held:
            return True
        if item.meta.deleting:
            return False
        try:
            await self._api.add_finalizer(ref_of(item), FINALIZER)
        except ObjectGone:
            return False
        self._note(item, (*item.meta.finalizers, FINALIZER))
        return True

    async def hold_all(self, items: Iterable[Item[Any]]) -> list[Item[Any]]:
        """
        Hold many at the same time, as far as the client lets us; gives those that can't be held.

        Raises:
            OperatorError: of the first that failed, when all are over.
        """
        free = [item for item in items if not item.held]
        held = await _all([self.hold(item) for item in free])
        return [item for item, is_held in zip(free, held, strict=True) if not is_held]

    async def release_all(self, items: Iterable[Item[Any]]) -> None:
        """Release likewise."""
        await _all([self.release(item) for item in items])

    async def release(self, item: Item[Any]) -> None:
        """Take the finalizer off; an object that is gone already is fine."""
        if not item.held:
            return
        try:
            await self._api.remove_finalizer(ref_of(item), FINALIZER)
        except ObjectGone:
            return
        self._note(item, tuple(f for f in item.meta.finalizers if f != FINALIZER))

    def _note(self, item: Item[Any], finalizers: tuple[str, ...]) -> None:
        now = self._inventory.get(item.kind, item.uid)
        if now is not None:
            meta = now.meta.model_copy(update={"finalizers": finalizers})
            self._inventory.amend(replace(now, meta=meta))


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for all, also where one fails: what was begun is not left half told."""
    done = await asyncio.gather(*work, return_exceptions=True)
    made: list[T] = []
    for each in done:
        if isinstance(each, BaseException):
            raise each
        made.append(each)
    return made
