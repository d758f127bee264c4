"""
Owns the workers, one a GameHost, and says which of them has to look again.

Fed by the watches; a watch event says only that something may have changed. Nothing is converged
before the synced gate has opened.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from warlock_operator import log as fields
from warlock_operator.api.names import Kind
from warlock_operator.core import admit
from warlock_operator.core.backoff import backoff
from warlock_operator.core.desired import Verdict
from warlock_operator.core.events import Told
from warlock_operator.core.hoststatus import game_status
from warlock_operator.core.inventory import HostItem, InstanceItem, Item, host_address
from warlock_operator.core.status import homeless_status
from warlock_operator.errors import OperatorError
from warlock_operator.reconcile.predicate import matters
from warlock_operator.reconcile.sight import utc_now
from warlock_operator.reconcile.surroundings import Surroundings
from warlock_operator.reconcile.worker import HostWorker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HostSnapshot:
    """One host, for metrics. error: the reason why it is not served, or empty."""

    name: str
    reachable: bool
    error: str
    passes: int
    running: int


class Fleet:
    """All workers and their tasks."""

    def __init__(self, around: Surroundings, crashed: Callable[[BaseException], None]) -> None:
        """
        Args:
            crashed: called with what ended a worker that should have gone on; ends the process.
        """
        self._around = around
        self._inventory = around.inventory
        self._crashed = crashed
        self._open = False
        self._workers: dict[str, HostWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._releases: set[asyncio.Task[None]] = set()

    # --- the intake -----------------------------------------------------------------

    def put(self, kind: Kind, raw: Mapping[str, Any]) -> None:
        """Take an object as a watch, a list or a GET gives it."""
        uid = raw["metadata"].get("uid", "")
        before = self._inventory.get(kind, uid)
        if before is None:
            before = self._namesake(kind, raw)
        if before is not None and _older(raw, before):
            return
        if before is not None and before.uid != uid:
            self.gone(kind, before.uid)  # without our having heard of it
            before = None
        touched = self._hosts_of(before) if before is not None else set()
        item = self._inventory.put(kind, raw)
        self._around.publisher.seen(item)
        if matters(before, item):
            self._changed(item, touched, before)

    def _namesake(self, kind: Kind, raw: Mapping[str, Any]) -> Item[Any] | None:
        meta = raw["metadata"]
        uid = self._inventory.uid_of(kind, meta.get("namespace") or "", meta.get("name", ""))
        return self._inventory.get(kind, uid) if uid is not None else None

    def gone(self, kind: Kind, uid: str) -> None:
        """Take that an object is no more."""
        item = self._inventory.get(kind, uid)
        if item is None:
            return
        touched = self._hosts_of(item)
        self._inventory.remove(kind, uid)
        self._around.publisher.forget(kind, uid)
        self._changed(item, touched)
        if kind is Kind.GAME_HOST:  # the machine may be known under another address as well
            self._enqueue(name for name, w in self._workers.items() if w.duplicate)

    def labels_changed(self, labels: Mapping[str, Mapping[str, str]], namespace: str) -> None:
        """Take namespaces' labels; *namespace* is the one that differs."""
        self._inventory.set_labels(labels)
        for item in self._inventory.instances():
            if item.meta.namespace == namespace:
                self._enqueue(self._hosts_of(item))

    def secret_changed(self, name: str) -> None:
        """Wake every host whose key comes from that Secret."""
        self._enqueue(w.name for w in self._workers.values() if w.secret_name == name)

    def _changed(self, item: Item[Any], touched: set[str], before: Item[Any] | None = None) -> None:
        self._enqueue(touched | self._hosts_of(item))
        if not self._open:
            return
        if item.kind is Kind.GAME:
            self._publish_games(item.text("guid"))
        elif item.kind is Kind.GAME_INSTANCE:
            self._settle_homeless(item)
        else:
            names = {item.meta.name, *map(host_address, (item, before or item))}
            for instance in self._inventory.instances():
                if instance.text("host") in names:
                    self._settle_homeless(instance)

    def _hosts_of(self, item: Item[Any]) -> set[str]:
        """Names of the hosts whose desired state an object is part of."""
        if item.kind is Kind.GAME:
            return set(self._inventory.hosts_of_guid(item.text("guid")))
        if item.kind is Kind.GAME_INSTANCE:
            return {h.meta.name for h in self._inventory.hosts_meant(item.text("host"))}
        # One whose name is another's address is meant by it from now on, or was until now.
        rivals = (
            *self._inventory.hosts_at(host_address(item)),
            *self._inventory.hosts_at(item.meta.name),
        )
        return {item.meta.name, *(rival.meta.name for rival in rivals)}

    # --- the workers ----------------------------------------------------------------

    def start(self) -> None:
        """Begin to converge: the gate is open."""
        self._open = True
        for game in self._inventory.games():
            self._publish_games(game.text("guid"))
        for instance in self._inventory.instances():
            self._settle_homeless(instance)
        self._enqueue(host.meta.name for host in self._inventory.hosts())

    def _enqueue(self, names: Iterable[str]) -> None:
        if not self._open:
            return
        for name in set(names):
            item = self._inventory.host(name)
            if name not in self._workers and item is not None:
                self._employ(item)
            if name in self._workers:
                self._workers[name].enqueue()

    def _employ(self, item: HostItem) -> None:
        name = item.meta.name
        worker = self._workers[name] = HostWorker(item, self._around, self._dismiss)
        task = asyncio.create_task(worker.run(), name=f"host {name}")
        self._tasks[name] = task
        task.add_done_callback(self._ended)

    def _dismiss(self, name: str) -> None:
        self._workers.pop(name, None)
        self._tasks.pop(name, None)
        # A GameHost of that name may have come while the worker was going.
        self._enqueue([name])

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a worker ended", extra={fields.TASK: task.get_name()}, exc_info=error)
            self._crashed(error)

    async def stop(self) -> None:
        """End all workers; what they did stays on the hosts."""
        tasks = [*self._tasks.values(), *self._releases]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def snapshot(self) -> list[HostSnapshot]:
        """What metrics and probes show of every host."""
        return [
            HostSnapshot(
                name,
                worker.sight.view.reachable,
                worker.sight.view.error.reason if worker.sight.view.error else "",
                worker.passes,
                sum(unit.active_state == "active" for unit in worker.sight.view.units.values()),
            )
            for name, worker in sorted(self._workers.items())
        ]

    # --- what no worker serves --------------------------------------------------------

    def _publish_games(self, guid: str) -> None:
        games = self._inventory.games_of(guid)
        for game in games:
            shown = self._around.publisher.shown(game)
            self._around.publisher.publish(game, game_status(game, games[0], shown, utc_now()))

    def _settle_homeless(self, item: InstanceItem) -> None:
        """Show why an instance has no host; one that has is its worker's."""
        try:
            admit.host_of(self._inventory, item)
        except OperatorError as error:
            hosts: tuple[HostItem, ...] = self._inventory.hosts_meant(item.text("host"))
            if hosts:
                return  # an ambiguous one is kept, and shown, by the hosts that it may mean
            verdict = Verdict(item, error=error, removing=item.meta.deleting)
            shown = self._around.publisher.shown(item)
            self._around.publisher.publish(item, homeless_status(verdict, shown, utc_now()))
            if item.meta.deleting and item.held and item.meta.force_delete:
                self._let_go(item)

    def _let_go(self, item: InstanceItem) -> None:
        name = f"release of {item.uid}"
        if any(task.get_name() == name for task in self._releases):
            return
        text = f"let go by force; what GameHost {item.text('host')} had of it stays there"
        self._around.publisher.tell(item, Told(True, "LeftBehind", text, "Delete"))
        task = asyncio.create_task(self._release(item), name=name)
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def _release(self, item: InstanceItem) -> None:
        """Until the apiserver has taken it: no worker would try again."""
        settings = self._around.settings
        for wait_seconds in backoff(
            settings.backoff_initial_seconds, settings.backoff_cap_seconds, random.random
        ):
            try:
                await self._around.finalizers.release(item)
            except OperatorError as error:
                extra = {fields.INSTANCE: item.where, fields.DETAIL: str(error)}
                log.warning("instance not let go", extra=extra)
                await asyncio.sleep(wait_seconds)
            else:
                return


def _older(raw: Mapping[str, Any], known: Item[Any]) -> bool:
    """Whether *raw* was read before *known*: a GET can overtake a watch."""
    mine, theirs = raw["metadata"].get("resourceVersion", ""), known.meta.resource_version
    return mine.isdigit() and theirs.isdigit() and int(mine) < int(theirs)
