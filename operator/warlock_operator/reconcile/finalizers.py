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
from warlock_operator.errors import ObjectGone, OperatorError
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

    async def hold_all(self, items: Iterable[Item[Any]]) -> dict[str, OperatorError | None]:
        """
        Hold many at the same time, as far as the client lets us.

        Returns:
            Those that are not held, by uid: the apiserver's error, which is of one object and
            keeps back no other, or None for one that is gone or going.
        """
        free = [item for item in items if not item.held]
        held = await _all([self.hold(item) for item in free])
        return {
            item.uid: None if is_held is False else is_held
            for item, is_held in zip(free, held, strict=True)
            if is_held is not True
        }

    async def release_all(self, items: Iterable[Item[Any]]) -> dict[str, OperatorError]:
        """Release likewise; gives the errors of those that are held still, by uid."""
        held = [item for item in items if item.held]
        released = await _all([self.release(item) for item in held])
        return {
            item.uid: error for item, error in zip(held, released, strict=True) if error is not None
        }

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


async def _all(work: Iterable[Awaitable[T]]) -> list[T | OperatorError]:
    """Wait for all, also where one fails: what was begun is not left half told."""
    done = await asyncio.gather(*work, return_exceptions=True)
    made: list[T | OperatorError] = []
    for each in done:
        if isinstance(each, BaseException) and not isinstance(each, OperatorError):
            raise each
        made.append(each)
    return made
