"""
What the operator was told last, and what is to be watched: shared by the threads of one agent.

:attr:`Board.truth` is held from reading units to having sent them. Without it, a thread that read
earlier could send later, and the operator would take the older state for the newer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Optional

from . import names, recall
from .model import Ledger, ObservedHost, ObservedUnit
from .unit import Slots


class Board:
    """Take :attr:`truth` around every use."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.truth = threading.Lock()
        self.told: dict[str, ObservedUnit] = {}
        self._said: Optional[ObservedHost] = None
        self.slots: dict[str, Slots] = {}
        self.installing = False
        self._callbacks: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have *callback* called when the operator was told of a whole host; it must not wait."""
        self._callbacks.append(callback)

    def shortened(self, observed: ObservedHost, remembers: bool) -> ObservedHost:
        """Give what to send; remembers: whether the operator knows what it was told last."""
        return recall.shortened(observed, self._said if remembers else None)

    def host_told(self, observed: ObservedHost) -> None:
        """Note that the operator has been sent all of *observed*, or that it is as before."""
        self._said = recall.as_said(observed)
        self.told = {unit.unit: unit for unit in observed.units}
        self.slots = slots_of(observed.ledger)
        self.installing = any(o.state == "Running" for o in observed.operations)
        for callback in self._callbacks:
            callback()

    def units_told(self, units: Iterable[ObservedUnit]) -> None:
        """Note that the operator has been sent *units*."""
        self.told.update((unit.unit, unit) for unit in units)

    def news(self, units: Iterable[ObservedUnit]) -> tuple[ObservedUnit, ...]:
        """Give those of *units* that the operator does not know as they are."""
        return tuple(unit for unit in units if self.told.get(unit.unit) != unit)


def slots_of(ledger: Ledger) -> dict[str, Slots]:
    """Give every unit of ours with what it should have bound; only main services bind."""
    made: dict[str, Slots] = {}
    for entry in ledger.instances:
        for at, service in enumerate(entry.services):
            bound = tuple((p.protocol, p.number) for p in entry.ports) if at == 0 else ()
            made[names.unit_name(service, entry.instance_id)] = bound
    return made
