"""
What is known of one instance: its verdict, its host's view and what was said last, joined. Pure.

Everything that a status says is said of this value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from warlock_agent import names
from warlock_agent.model import DesiredInstance, LedgerEntry, ObservedUnit, Operation
from warlock_operator.api.names import ConditionStatus, Reason, Why
from warlock_operator.api.v1alpha1 import Game
from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus
from warlock_operator.core.desired import Verdict, key_of
from warlock_operator.core.inventory import InstanceItem
from warlock_operator.core.running import Running, running_of
from warlock_operator.core.view import HostView

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
Fact = tuple[ConditionStatus, Why, str]
"""Status, reason and message of a condition."""


@dataclass(frozen=True)
class Known:
    """
    One instance, as far as it is known.

    previous: what was published last; transition times and history come from it.
    entry: what the machine's ledger has of it. instance: what is asked for; where nothing is, or
    the host refused to change it, what the ledger says was. units: in the services' order.
    running: what the units say; None where it was never registered.
    """

    verdict: Verdict
    view: HostView
    previous: GameInstanceStatus
    entry: LedgerEntry | None
    instance: DesiredInstance | None
    units: Sequence[ObservedUnit]
    running: Running | None

    @property
    def item(self) -> InstanceItem:
        """The object in the cluster."""
        return self.verdict.item

    @property
    def generation(self) -> int:
        """Of the spec that the verdict is about."""
        return self.item.meta.generation

    @property
    def seen(self) -> bool:
        """Whether the host has been looked at, and is not out of sight."""
        return self.view.visited and not self.view.out_of_sight

    @property
    def has_ports(self) -> bool:
        """
        Whether its ports are more than a thought.

        Before the host was looked at, a stranger may have them; once a status says them they
        count as given.
        """
        return self.view.visited or self.entry is not None or bool(self.previous.ports)

    @property
    def is_new(self) -> bool:
        """Whether it has never been applied whole, and nothing of it has been started."""
        applied = self.entry is not None and bool(self.entry.generation)
        return not applied and all(unit.active_state == "inactive" for unit in self.units)

    @property
    def services(self) -> Sequence[str]:
        """The names of its services, the main one first."""
        return _services(self.verdict, self.entry)

    @property
    def last_seen(self) -> datetime | None:
        """When the host was last heard, while it is not; an earlier process may have noted it."""
        return None if self.seen else self.view.last_seen or self.previous.last_seen

    def unseen(self) -> Fact | None:
        """Say why nothing can be said of the machine; None where it can."""
        if not self.view.visited:
            return UNKNOWN, Reason.NOT_VISITED, "the host has not answered yet"
        if self.view.out_of_sight:
            return UNKNOWN, Reason.NOT_SEEN, "the host is out of sight"
        return None

    def operation_of(self, game: Game) -> Operation | None:
        """Give the installation of *game* that is under way on the host, or was last."""
        packages = game.spec.install.packages
        if packages is None:
            return None
        wanted = names.install_operation(game.spec.guid, packages.apt, packages.mask)
        return self.view.operations.get(wanted)


def known_of(verdict: Verdict, view: HostView, previous: GameInstanceStatus) -> Known:
    """Join what is known of the instance that *verdict* is about."""
    entry = _entry(verdict.item, view)
    # What the host refused to change is as its ledger says, ports and address included.
    refused = key_of(verdict.item) in view.refusals and entry is not None
    instance = None if refused else verdict.instance
    if instance is None and entry is not None:
        instance = _from_ledger(entry, verdict.item)
    units = _units(_services(verdict, entry), instance, view)
    registered = instance is not None and entry is not None and units
    running = running_of(instance, units) if instance is not None and registered else None
    return Known(verdict, view, previous, entry, instance, units, running)


def _entry(item: InstanceItem, view: HostView) -> LedgerEntry | None:
    """Find what the ledger has of it; an entry of its key may be another object's."""
    entry = view.observed.ledger.by_key.get(key_of(item))
    where = (item.meta.namespace, item.meta.name)
    return entry if entry and (entry.namespace, entry.name) == where else None


def _from_ledger(entry: LedgerEntry, item: InstanceItem) -> DesiredInstance:
    """What runs on the host for a GameInstance that is not converged just now."""
    return DesiredInstance(
        entry.guid,
        entry.instance_id,
        entry.namespace,
        entry.name,
        entry.uid,
        entry.generation,
        entry.path,
        ports=entry.ports,
        running=item.text("state", "Running") != "Stopped",
    )


def _services(verdict: Verdict, entry: LedgerEntry | None) -> Sequence[str]:
    if verdict.instance is not None and verdict.game is not None:
        return [service.name for service in verdict.game.spec.services]
    return entry.services if entry else ()


def _units(
    services: Sequence[str], instance: DesiredInstance | None, view: HostView
) -> Sequence[ObservedUnit]:
    if instance is None:
        return ()
    wanted = [names.unit_name(service, instance.instance_id) for service in services]
    return [view.units.get(unit, ObservedUnit(unit)) for unit in wanted]
