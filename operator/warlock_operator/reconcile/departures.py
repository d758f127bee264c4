"""
What goes: instances that were removed, what is let go by force, orphans, and the GameHost itself.

Takes finalizers off and tells the events; the decisions are :mod:`~..core.deletion`'s and
:mod:`~..core.orphans`'. Called by the worker of one host.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from warlock_agent.model import LedgerEntry
from warlock_operator import log as fields
from warlock_operator.api.names import Kind
from warlock_operator.core.deletion import forced, left_behind
from warlock_operator.core.desired import HostDecision, key_of
from warlock_operator.core.events import Told
from warlock_operator.core.inventory import HostItem, InstanceItem, host_address
from warlock_operator.core.orphans import OrphanDecision, token
from warlock_operator.reconcile.sight import Sight
from warlock_operator.reconcile.surroundings import Surroundings

log = logging.getLogger(__name__)


class Departures:
    """Of one host."""

    def __init__(self, host: HostItem, around: Surroundings, sight: Sight) -> None:
        self._name, self._uid = host.meta.name, host.uid
        self._around = around
        self._sight = sight
        self._told: set[Told] = set()

    async def release_removed(self, decision: HostDecision) -> None:
        """Let go of objects of which nothing is left on the host."""
        entries = self._sight.view.observed.ledger.by_key
        removed: list[InstanceItem] = []
        for verdict in decision.verdicts.values():
            item = verdict.item
            entry = entries.get(key_of(item))
            own = entry and (entry.namespace, entry.name) == (item.meta.namespace, item.meta.name)
            if verdict.removing and not own:
                shown = self._around.publisher.shown(item)
                where = f"its files stay at {shown.path}" if shown and shown.path else "no files"
                text = f"stopped and unregistered; {where} on GameHost {self._name}"
                self._around.publisher.tell(item, Told(False, "Removed", text, "Delete"))
                removed.append(item)
        await self._release(removed, decision)

    async def let_go(self, decision: HostDecision) -> bool:
        """Let the GameHost go when it is being deleted and nothing names it any more."""
        now = self._around.inventory.get(Kind.GAME_HOST, self._uid)
        await self._force_deletions(decision)
        if now is None or not now.meta.deleting:
            return False
        waits = now.meta.paused or bool(self._around.inventory.instances_on(now))
        if waits and not now.meta.force_delete:
            return False
        observed = self._sight.view.observed
        left = [e.path for e in observed.ledger.instances if not self._has_heir(e)]
        if left:
            machine = f"machine {observed.machine_id} at {host_address(now)}"
            text = f"left behind on {machine}: {', '.join(sorted(left))}"
            self._around.publisher.tell(now, Told(True, "LeftBehind", text, "Delete"))
            log.warning(
                "host let go with instances on it",
                extra={fields.HOST: self._name, fields.DETAIL: text},
            )
        await self._around.finalizers.release(now)
        return True

    def _has_heir(self, entry: LedgerEntry) -> bool:
        """Whether its GameInstance goes over to another GameHost of this machine's address."""
        item = self._around.inventory.get(Kind.GAME_INSTANCE, entry.uid)
        meant = self._around.inventory.hosts_meant(item.text("host")) if item else ()
        return bool(meant) and all(host.meta.name != self._name for host in meant)

    async def _force_deletions(self, decision: HostDecision) -> None:
        """Let instances go whose owner gave up on what the machine has of them."""
        publisher, view = self._around.publisher, self._sight.view
        host = self._around.inventory.get(Kind.GAME_HOST, self._uid)
        entries = view.observed.ledger.by_key
        forgone: list[InstanceItem] = []
        for verdict in decision.verdicts.values():
            item = verdict.item
            if host is None or not forced(verdict, view):
                continue
            entry, shown = entries.get(key_of(item)), publisher.shown(item)
            machine_id = getattr(publisher.shown(host), "machine_id", "")
            text = left_behind(item, host, entry, shown, machine_id)
            publisher.tell(item, Told(True, "LeftBehind", text, "Delete"))
            log.warning(
                "instance let go by force",
                extra={fields.INSTANCE: item.where, fields.HOST: self._name, fields.DETAIL: text},
            )
            forgone.append(item)
        await self._release(forgone, decision)

    async def _release(self, items: Sequence[InstanceItem], decision: HostDecision) -> None:
        errors = await self._around.finalizers.release_all(items)
        self._sight.unwritten(decision.verdicts.keys() - {item.uid for item in items}, errors)

    def tell_orphans(self, host: HostItem, before: OrphanDecision) -> None:
        """Tell what became of the orphans that were to be removed."""
        view = self._sight.view
        left = view.observed.ledger.by_key
        for entry in before.removing:
            if entry.key not in left:
                text = f"{token(entry)} is stopped and unregistered; its files stay at {entry.path}"
                self._tell_once(host, Told(False, "OrphanRemoved", text, "Remove"))
            elif failure := view.failures.get(entry.key):
                text = f"{token(entry)}: {failure.step} {failure.target}: {failure.message}"
                self._tell_once(host, Told(True, "OrphanNotRemoved", text, "Remove"))
        for asked, why in before.refused:
            self._tell_once(host, Told(True, "OrphanNotRemoved", f"{asked}: {why}", "Remove"))

    def _tell_once(self, host: HostItem, told: Told) -> None:
        """Post an event about the GameHost that would otherwise come with every pass."""
        if told not in self._told:
            self._told.add(told)
            self._around.publisher.tell(host, told)
