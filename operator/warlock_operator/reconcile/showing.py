"""
What one host and its instances show: statuses and events, made of what was decided and heard.

Called by the worker whenever either is new. Nothing here waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta

from warlock_agent import names
from warlock_agent.model import ObservedUnit, StepResult
from warlock_operator import log as fields
from warlock_operator.api.names import Kind
from warlock_operator.api.v1alpha1.instancestatus import Metrics
from warlock_operator.core.desired import HostDecision, Verdict, instance_id_of, key_of
from warlock_operator.core.events import drift_events
from warlock_operator.core.hoststatus import host_status
from warlock_operator.core.inventory import HostItem
from warlock_operator.core.recovery import recovery_left
from warlock_operator.core.status import Measured, status_of
from warlock_operator.errors import AmbiguousHost, TerminalError
from warlock_operator.reconcile.counting import PlayerPoll
from warlock_operator.reconcile.sight import Sight, utc_now
from warlock_operator.reconcile.surroundings import Surroundings
from warlock_operator.transport.link import HostLink

log = logging.getLogger(__name__)


class Showing:
    """Of one host, and of the instances that mean it."""

    def __init__(self, uid: str, around: Surroundings, sight: Sight) -> None:
        """uid: of the GameHost; of another one of its name nothing here is true."""
        self._uid = uid
        self._around = around
        self._sight = sight
        self._decision: HostDecision | None = None
        self._players = PlayerPoll(around.queries, around.settings, self.instance)
        self._recovery_grace = timedelta(seconds=around.settings.recovery_grace_seconds)
        self._recoveries: dict[str, asyncio.TimerHandle] = {}

    def decided(self, decision: HostDecision) -> None:
        """Take what is to become of the host from now on; shows nothing yet."""
        self._decision = decision

    def close(self) -> None:
        """Show nothing any more by itself."""
        self._players.close()
        for timer in self._recoveries.values():
            timer.cancel()
        self._recoveries.clear()

    def everything(self, link: HostLink | None) -> None:
        """Show what is known of the host and of all its instances."""
        item = self._around.inventory.get(Kind.GAME_HOST, self._uid)
        if item is None or self._decision is None:
            return
        self._players.follow(self._decision, self._sight.view, item, link)
        for verdict in self._decision.verdicts.values():
            self._safely(item, verdict)
        self._safely(item)

    def units(self, changed: Iterable[ObservedUnit], link: HostLink | None) -> None:
        """
        Show what *changed* units say: their instances, and how many run on the host.

        A machine of a hundred that starts tells of them one by one; showing all each time would be
        ten thousand statuses.
        """
        item = self._around.inventory.get(Kind.GAME_HOST, self._uid)
        if item is None or self._decision is None:
            return
        self._players.follow(self._decision, self._sight.view, item, link)
        concerned = {names.instance_of(unit.unit) for unit in changed}
        for verdict in self._decision.verdicts.values():
            if instance_id_of(verdict.item) in concerned:
                self._safely(item, verdict)
        self._safely(item)

    def instance(self, uid: str) -> None:
        """Show one instance."""
        item = self._around.inventory.get(Kind.GAME_HOST, self._uid)
        verdict = self._decision.verdicts.get(uid) if self._decision else None
        if item is not None and verdict is not None:
            self._safely(item, verdict)

    def _safely(self, host: HostItem, verdict: Verdict | None = None) -> None:
        """Show an instance, or the host itself; a bug of ours at one keeps back no other."""
        try:
            if verdict is None:
                self._host(host)
            else:
                self._verdict(host, verdict)
        except Exception:
            where = verdict.item.where if verdict is not None else ""
            extra = {fields.HOST: host.meta.name, fields.INSTANCE: where}
            log.exception("a status can't be made", extra=extra)

    def _verdict(self, host: HostItem, verdict: Verdict) -> None:
        publisher = self._around.publisher
        if self._around.inventory.get(Kind.GAME_INSTANCE, verdict.item.uid) is None:
            self._look_again(verdict.item.uid, None)
            return  # gone since it was decided on; whoever forgot it would be reminded
        shown = publisher.shown(verdict.item)
        if self._still_holds(shown, verdict) or self._is_told(shown, verdict):
            return
        measured = Measured(
            self._players.of(verdict.item.uid, shown.players if shown else None),
            self._metrics(verdict) or (shown.metrics if shown else None),
        )
        address = host.object.spec.address if host.object else ""
        now, grace = utc_now(), self._recovery_grace
        status = status_of(verdict, self._sight.view, address, measured, shown, now, grace)
        publisher.publish(verdict.item, status)
        self._look_again(verdict.item.uid, recovery_left(status, now, grace))

    def _look_again(self, uid: str, left: timedelta | None) -> None:
        """See to it that what recovers is shown anew when its time is up, come what may."""
        timer = self._recoveries.pop(uid, None)
        if timer is not None:
            timer.cancel()
        if left:
            loop = asyncio.get_running_loop()
            self._recoveries[uid] = loop.call_later(left.total_seconds(), self.instance, uid)

    def measured(self) -> None:
        """
        Show new numbers, and nothing else: no decision reads them.

        A thousand hosts sample all the time, and a whole status costs ten times as much.
        """
        decision = self._decision
        for verdict in decision.verdicts.values() if decision is not None else ():
            metrics = self._metrics(verdict)
            if metrics is not None and not self._around.publisher.measured(verdict.item, metrics):
                self.instance(verdict.item.uid)

    def _metrics(self, verdict: Verdict) -> Metrics | None:
        """What the main unit uses; None before its first sample."""
        if verdict.instance is None or verdict.game is None:
            return None
        main = verdict.game.spec.services[0].name
        return self._sight.metrics.get(names.unit_name(main, verdict.instance.instance_id))

    def _still_holds(self, shown: object, verdict: Verdict) -> bool:
        """
        Whether a status of an earlier process counts until the host has answered.

        A restart of the operator is no news about the machines: overwriting what stands there
        with "not visited yet" would be a lie of its own, and a write an instance.
        """
        view = self._sight.view
        generation = getattr(shown, "observed_generation", 0)
        return (
            not view.visited
            and not view.out_of_sight
            and not isinstance(view.error, TerminalError)
            and bool(getattr(shown, "conditions", ()))
            and generation == verdict.item.meta.generation
            and not verdict.item.meta.deleting
        )

    def _is_told(self, shown: object, verdict: Verdict) -> bool:
        """
        Whether an instance of several hosts' address is shown by another of them.

        The one that has it knows whether it runs; one that has not would say that nobody does.
        """
        error, view = verdict.error, self._sight.view
        if not isinstance(error, AmbiguousHost) or verdict.item.meta.deleting:
            return False
        known = {entry.uid for entry in view.observed.ledger.instances} if view.visited else set()
        return (
            verdict.item.uid not in known
            and getattr(shown, "observed_generation", 0) == verdict.item.meta.generation
            and any(
                condition.reason == error.reason and str(error) in condition.message
                for condition in getattr(shown, "conditions", ())
            )
        )

    def _host(self, item: HostItem) -> None:
        assert self._decision is not None
        publisher = self._around.publisher
        shown = publisher.shown(item)
        view = self._sight.view
        settled = bool(getattr(shown, "conditions", ()))
        if not view.visited and view.error is None and settled:
            return
        orphans = self._decision.orphans.known
        desired = len(self._decision.verdicts)
        publisher.publish(item, host_status(item, view, desired, orphans, shown, utc_now()))

    def drift(self, results: tuple[StepResult, ...]) -> None:
        """Tell what people had changed on the machine, and was put back."""
        assert self._decision is not None
        items = {key_of(v.item): v.item for v in self._decision.verdicts.values()}
        for key, told in drift_events(results, self._sight.view.observed.ledger):
            if key in items:
                self._around.publisher.tell(items[key], told)
