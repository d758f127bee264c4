"""
Does a watch event matter: is there anything in it that a decision reads? Pure.

Our own writes (status, finalizer) come back as events, and must not wake anybody.
"""

from __future__ import annotations

from typing import Any

from warlock_operator.api.names import GROUP, Kind
from warlock_operator.core.inventory import Item


def matters(before: Item[Any] | None, after: Item[Any]) -> bool:
    """Compare what decisions read: identity, generation, deletion and our annotations."""
    if before is None or before.uid != after.uid:
        return True
    return _read(before) != _read(after)


def _read(item: Item[Any]) -> tuple[object, ...]:
    annotations = {
        name: value for name, value in item.meta.annotations.items() if name.startswith(f"{GROUP}/")
    }
    # The spec stands in for the generation where the object was written past the apiserver.
    spec = None if item.error is None else item.raw.get("spec")
    foreign_finalizer_gone = item.meta.deleting and item.kind is not Kind.GAME and not item.held
    return (
        item.meta.generation,
        item.meta.deleting,
        annotations,
        item.error is None,
        spec,
        foreign_finalizer_gone,
    )
