"""
The one writer of one host: decides, converges, publishes; then waits until something is new.

Any number of wake-ups make one pass. A pass reads everything anew, so a lost wake-up costs time
and never truth. Errors that the world may heal are tried again with back-off; an edit, a signal
from the host or a changed Secret wakes the worker from any wait (:mod:`~..core.backoff`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TypeVar

from warlock_agent import names
from warlock_agent.model import Authority, DesiredHost, ObservedUnit, StepResult
from warlock_agent.wire import Fault, OperationChanged, Sample, UnitsChanged
from warlock_operator import log as fields
from warlock_operator.api.names import Annotation, Kind
from warlock_operator.api.v1alpha1.instancestatus import Metrics
from warlock_operator.core.backoff import Waits, backoff, pause_seconds
from warlock_operator.core.deletion import forced, left_behind
from warlock_operator.core.desired import HostDecision, Verdict, desired_host, key_of
from warlock_operator.core.events import Told, drift_events
from warlock_operator.core.hoststatus import host_status
from warlock_operator.core.inventory import HostItem, Inventory, host_address
from warlock_operator.core.orphans import OrphanDecision, token
from warlock_operator.core.status import Measured, status_of
from warlock_operator.errors import (
    ApiError,
    HostReplaced,
    HostUnreachable,
    InvalidObject,
    KeySecretMissing,
    OperatorError,
    TerminalError,
    TransientError,
)
from warlock_operator.kube.secrets import KeySecrets
from warlock_operator.reconcile.counting import PlayerPoll
from warlock_operator.reconcile.finalizers import Finalizers
from warlock_operator.reconcile.prober import Prober
from warlock_operator.reconcile.publisher import Publisher
from warlock_operator.reconcile.sight import Sight, utc_now
from warlock_operator.reconcile.turns import Turns
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink, LinkFactory, LinkTarget, Pushed
from warlock_operator.transport.players import PlayerQueries

log = logging.getLogger(__name__)

MENDED_ON_HOST = frozenset(("PathOccupied", "PortInUse", "UnitNameTaken"))
"""Refusals whose cause lies on the machine: no edit of ours tells that somebody has removed it."""

ROUNDS = 4
"""Passes in a row while the answer of one changes what is desired: claims freed, ports given."""

T = TypeVar("T")


class Overtaken(Exception):
    """An edit has made pointless what a pass was waiting for; the next pass reads it."""


@dataclass(frozen=True)
class Leader:
    """In whose name this process writes. See :class:`~warlock_agent.model.Authority`."""

    owner: str
    token: int
    holder: str


@dataclass(frozen=True)
class Surroundings:
    """What all workers share."""

    settings: Settings
    inventory: Inventory
    links: LinkFactory
    prober: Prober
    secrets: KeySecrets
    finalizers: Finalizers
    publisher: Publisher
    queries: PlayerQueries
    leader: Leader
    turns: Turns


class HostWorker:
    """See the module. ``run`` is its task; the other methods never wait."""

    def __init__(self, name: str, around: Surroundings, gone: Callable[[str], None]) -> None:
        """
        Args:
            name: of the GameHost.
            gone: called with it when the GameHost is no more and the task ends.
        """
        self.name = name
        self.sight = Sight()
        self.passes = 0
        self._around = around
        self._gone = gone
        self._dirty = asyncio.Event()
        self._edited = asyncio.Event()
        self._probing: asyncio.Task[None] | None = None
        self._link: HostLink | None = None
        self._linked_by: LinkTarget | None = None
        self._attempted_at = float("-inf")
        self._lost_at: float | None = _now()
        settings = around.settings
        self._waits = Waits(
            lambda: backoff(
                settings.backoff_initial_seconds, settings.backoff_cap_seconds, random.random
            )
        )
        self._passing = False
        self._failure: OperatorError | None = None
        self._decision: HostDecision | None = None
        self._told: set[Told] = set()
        self._players = PlayerPoll(around.queries, around.settings, self._publish_instance)

    def enqueue(self) -> None:
        """Look again: somebody has changed or asked for something, so earlier failures are past."""
        self._waits.renew()
        self._edited.set()
        self._dirty.set()

    @property
    def secret_name(self) -> str:
        """Name of the Secret that the host's key comes from; empty while it is not known."""
        item = self._around.inventory.host(self.name)
        return item.object.spec.ssh.key_secret.name if item and item.object else ""

    async def run(self) -> None:
        """Converge the host until it is gone or the task is cancelled."""
        try:
            while (item := self._around.inventory.host(self.name)) is not None:
                self._dirty.clear()  # before we read: what changes meanwhile is the next pass
                self._edited.clear()
                try:
                    self._passing = True
                    wait_seconds = await self._pass(item)
                    if self._troubled() or self._link is None:
                        wait_seconds = min(wait_seconds, self._waits.failed(_now()))
                    else:
                        self._waits.well(_now())
                except OperatorError as error:
                    wait_seconds = self._failed(item, error)
                except Overtaken:
                    continue
                finally:
                    self._passing = False
                self._publish()
                await self._wait(wait_seconds)
                self._stop_probing()
        finally:
            self._stop_probing()
            await self._hang_up()
        self._gone(self.name)

    def _troubled(self) -> bool:
        """Whether the last pass left something undone that the world may heal."""
        view = self.sight.view
        return bool(view.failures) or any(
            refusal.reason in MENDED_ON_HOST for refusal in view.refusals.values()
        )

    # --- one pass -----------------------------------------------------------------

    async def _pass(self, item: HostItem) -> float:
        """Make the host as desired; gives the seconds until it has to be looked at again."""
        self.passes += 1
        around = self._around
        await around.turns.mine()
        self._decide(item)
        self._publish()
        if await self._let_go(item):
            return around.settings.resync_seconds
        if item.object is None:
            raise item.error or InvalidObject("the GameHost can't be read")
        await around.finalizers.hold(item)
        await self._hold_instances()
        link = await self._connected(item)
        next_pass_seconds = 0
        for _ in range(ROUNDS):
            wanted_gone = self._decide(item).orphans
            desired = await self._hold_instances()
            report = await link.converge(self._authority(item), desired)
            self.sight.reported(report)
            await around.turns.mine()
            self._tell_drift(report.results)
            self._tell_orphans(item, wanted_gone)
            next_pass_seconds = report.next_pass_seconds
            await self._release_removed()
            if self._decide(item).desired == desired:
                break
        await self._let_go(item)
        resync = around.settings.resync_seconds
        return min(resync, next_pass_seconds) if next_pass_seconds else resync

    def _decide(self, item: HostItem) -> HostDecision:
        observed = self.sight.view.observed
        now = self._around.inventory.host(self.name) or item
        self._decision = desired_host(
            self._around.inventory, now, observed.ledger, observed.sockets
        )
        return self._decision

    def _authority(self, item: HostItem) -> Authority:
        leader = self._around.leader
        ledger = self.sight.view.observed.ledger
        machine_id = self.sight.view.observed.machine_id
        return Authority(
            owner=leader.owner,
            token=leader.token,
            holder=leader.holder,
            host_uid=item.uid,
            machine_id=machine_id,
            take_over=item.meta.annotation(Annotation.TAKE_OVER),
            replaces="" if self._is_machine(ledger.host_uid, machine_id) else ledger.host_uid,
        )

    def _is_machine(self, host_uid: str, machine_id: str) -> bool:
        """Say whether there is a GameHost of that uid, and it is not known for another machine."""
        item = self._around.inventory.get(Kind.GAME_HOST, host_uid)
        if item is None:
            return False
        shown = self._around.publisher.shown(item)
        return not shown or shown.machine_id in ("", machine_id)

    async def _hold_instances(self) -> DesiredHost:
        """
        Put our finalizer on what is about to be sent.

        Returns:
            What may be sent: an instance that can't be held is not in it.
        """
        assert self._decision is not None
        desired = self._decision.desired
        free: set[str] = set()
        for verdict in tuple(self._decision.verdicts.values()):
            if verdict.instance is not None and not await self._around.finalizers.hold(
                verdict.item
            ):
                self._dirty.set()
                free.add(verdict.item.uid)
        return replace(desired, converge=tuple(i for i in desired.converge if i.uid not in free))

    async def _release_removed(self) -> None:
        """Let go of objects of which nothing is left on the host."""
        assert self._decision is not None
        entries = {e.key: e for e in self.sight.view.observed.ledger.instances}
        for verdict in self._decision.verdicts.values():
            item = verdict.item
            entry = entries.get(key_of(item))
            own = entry and (entry.namespace, entry.name) == (item.meta.namespace, item.meta.name)
            if verdict.removing and not own:
                shown = self._around.publisher.shown(item)
                where = f"its files stay at {shown.path}" if shown and shown.path else "no files"
                text = f"stopped and unregistered; {where} on GameHost {self.name}"
                self._around.publisher.tell(item, Told(False, "Removed", text, "Delete"))
                await self._around.finalizers.release(item)

    async def _let_go(self, item: HostItem) -> bool:
        """Let the GameHost go when it is being deleted and nothing names it any more."""
        now = self._around.inventory.host(self.name)
        await self._force_deletions()
        if now is None or not now.meta.deleting:
            return False
        if self._around.inventory.instances_on(now) and not now.meta.force_delete:
            return False
        observed = self.sight.view.observed
        left = [entry.path for entry in observed.ledger.instances]
        if left:
            machine = f"machine {observed.machine_id} at {host_address(now)}"
            text = f"left behind on {machine}: {', '.join(sorted(left))}"
            self._around.publisher.tell(now, Told(True, "LeftBehind", text, "Delete"))
            log.warning(
                "host let go with instances on it",
                extra={fields.HOST: self.name, fields.DETAIL: text},
            )
        await self._around.finalizers.release(now)
        return True

    async def _force_deletions(self) -> None:
        """Let instances go whose owner gave up on what the machine has of them."""
        assert self._decision is not None
        publisher, view = self._around.publisher, self.sight.view
        host = self._around.inventory.host(self.name)
        entries = {entry.key: entry for entry in view.observed.ledger.instances}
        for verdict in self._decision.verdicts.values():
            item = verdict.item
            if host is None or not forced(verdict, view):
                continue
            entry, shown = entries.get(key_of(item)), publisher.shown(item)
            machine_id = getattr(publisher.shown(host), "machine_id", "")
            text = left_behind(item, host, entry, shown, machine_id)
            publisher.tell(item, Told(True, "LeftBehind", text, "Delete"))
            log.warning(
                "instance let go by force",
                extra={fields.INSTANCE: item.where, fields.HOST: self.name, fields.DETAIL: text},
            )
            await self._around.finalizers.release(item)

    def _tell_drift(self, results: tuple[StepResult, ...]) -> None:
        assert self._decision is not None
        items = {key_of(v.item): v.item for v in self._decision.verdicts.values()}
        for key, told in drift_events(results):
            if key in items:
                self._around.publisher.tell(items[key], told)

    def _tell_orphans(self, host: HostItem, before: OrphanDecision) -> None:
        """Tell what became of the orphans that were to be removed."""
        view = self.sight.view
        left = {entry.key for entry in view.observed.ledger.instances}
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

    # --- the connection -------------------------------------------------------------

    async def _connected(self, item: HostItem) -> HostLink:
        target = self._target(item)
        if self._link is not None and self._linked_by == target:
            return self._link
        await self._hang_up()
        await asyncio.sleep(pause_seconds(self._attempted_at, _now()))
        self._attempted_at = _now()
        link = self._around.links.connect(target, self._pushed, self._lost)
        try:
            hello = await self._heeding_edits(item, target, link.open())
            self._check_machine(item, hello.observed.machine_id)
        except BaseException:
            await link.close()
            raise
        self._link, self._linked_by, self._lost_at = link, target, None
        self.sight.greeted(hello, link.host_keys)
        log.info("host connected", extra={fields.HOST: self.name, fields.DIGEST: hello.digest})
        return link

    async def _heeding_edits(
        self, item: HostItem, target: LinkTarget, work: Coroutine[None, None, T]
    ) -> T:
        """
        Wait for a host that may not answer for long, and see to what people do meanwhile.

        Raises:
            Overtaken: the host is to be reached otherwise, or is gone.
        """
        working = asyncio.ensure_future(work)
        try:
            while not working.done():
                edited = asyncio.ensure_future(self._edited.wait())
                await asyncio.wait((working, edited), return_when=asyncio.FIRST_COMPLETED)
                edited.cancel()
                if self._edited.is_set() and not working.done():
                    self._edited.clear()
                    await self._take_edit(item, target)
            return working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _take_edit(self, item: HostItem, target: LinkTarget) -> None:
        """Do what needs no host; raises Overtaken where the one that is waited for is not meant."""
        now = self._around.inventory.host(self.name)
        if now is None or now.uid != item.uid:
            raise Overtaken
        self._decide(now)
        self._publish()
        if await self._let_go(now) or now.object is None or self._target(now) != target:
            raise Overtaken

    def _target(self, item: HostItem) -> LinkTarget:
        assert item.object is not None
        spec = item.object.spec
        key = self._around.secrets.get(spec.ssh.key_secret.name)
        if key is None:
            raise KeySecretMissing(
                f"there is no Secret {spec.ssh.key_secret.name} of type kubernetes.io/ssh-auth "
                f"with ssh-privatekey in namespace {self._around.settings.namespace}; create it"
            )
        shown = self._around.publisher.shown(item)
        recorded = tuple(shown.host_keys) if shown is not None else ()
        first_use = str(spec.ssh.host_key_policy) == "TrustOnFirstUse"
        return LinkTarget(
            host=self.name,
            address=spec.address,
            port=spec.ssh.port,
            user=spec.ssh.user,
            become="Sudo" if str(spec.ssh.become) == "Sudo" else "None",
            host_keys=spec.ssh.host_keys or (recorded if first_use else ()),
            trust_first_use=first_use,
            private_key=key.private_key,
            passphrase=key.passphrase,
            machine_ids=self._machines(item),
        )

    def _check_machine(self, item: HostItem, machine_id: str) -> None:
        """
        Refuse another machine than the one that this GameHost is known to be.

        A link over SSH has done so before it wrote a byte; another one may not.
        """
        known = self._machines(item)
        if known and machine_id not in known:
            raise HostReplaced.by(machine_id, known)

    def _machines(self, item: HostItem) -> tuple[str, ...]:
        """Which machines the host may be; empty: it was never seen."""
        shown = self._around.publisher.shown(item)
        pinned = shown.machine_id if shown is not None else ""
        accepted = item.meta.annotation(Annotation.ACCEPT_HOST)
        # Somebody's text: only what can be a machine-id goes into a command line.
        known = [pinned, accepted] if accepted.isascii() and accepted.isalnum() else [pinned]
        return tuple(dict.fromkeys(known)) if pinned else ()

    def _pushed(self, frame: Pushed) -> None:
        """Take what the host says unasked: show it at once, and act where it is needed."""
        if isinstance(frame, UnitsChanged):
            before = self.sight.units_changed(frame)
            changed = list(zip(before, frame.units, strict=True))
            if any(_needs_pass(old, new) for old, new in changed):
                self._dirty.set()
        elif isinstance(frame, OperationChanged):
            self.sight.operation_changed(frame)
            if frame.operation.state != "Running":
                self._dirty.set()
        elif isinstance(frame, Sample):
            self.sight.sampled(frame)
            self._publish_measured()
            return
        elif isinstance(frame, Fault):
            log.warning(
                "agent complains",
                extra={
                    fields.HOST: self.name,
                    fields.REASON: frame.reason,
                    fields.DETAIL: frame.message,
                },
            )
            return
        self._publish()

    def _lost(self, error: OperatorError) -> None:
        log.warning(
            "host lost",
            extra={fields.HOST: self.name, fields.REASON: error.reason, fields.DETAIL: str(error)},
        )
        self._link = None
        self._out_of_reach(error)
        self._publish()
        if self._passing or error is self._failure:
            return  # the pass finds out by itself, and says how long to wait
        at_once = self._waits.steady(_now())
        wait_seconds = self._waits.failed(_now())
        loop = asyncio.get_running_loop()
        loop.call_later(0.0 if at_once else wait_seconds, self._dirty.set)

    def _failed(self, item: HostItem, error: OperatorError) -> float:
        """Note a pass that came to nothing; gives the seconds to wait."""
        self._failure = error
        log.warning(
            "host not converged",
            extra={fields.HOST: self.name, fields.REASON: error.reason, fields.DETAIL: str(error)},
        )
        if self._link is not None:
            self.sight.failed(error)
        elif not isinstance(error, ApiError):
            self._out_of_reach(error)
        elif self.sight.view.error is None:  # why the host is away is more worth knowing
            self.sight.failed(error)
        if isinstance(error, HostUnreachable) and error.silent:
            self._probing = asyncio.create_task(self._probe(item))
        if isinstance(error, TransientError):
            return self._waits.failed(_now())
        return self._around.settings.resync_seconds

    async def _probe(self, item: HostItem) -> None:
        """Try again as soon as the host takes a connection."""
        assert item.object is not None
        spec = item.object.spec
        await self._around.prober.back(spec.address, spec.ssh.port)
        log.info("host answers again", extra={fields.HOST: self.name})
        self._waits.renew()
        self._dirty.set()

    def _stop_probing(self) -> None:
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()

    def _out_of_reach(self, error: OperatorError) -> None:
        if self._lost_at is None:
            self._lost_at = _now()
        self.sight.lost(error)

    async def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    # --- waiting --------------------------------------------------------------------

    async def _wait(self, wait_seconds: float) -> None:
        """Wait for news, for so long at most; the end of the grace is news too."""
        deadline = _now() + wait_seconds
        while (left := deadline - _now()) > 0:
            grace_left = self._grace_left()
            if grace_left is not None and grace_left <= 0:
                self.sight.went_out_of_sight()
                self._publish()
                grace_left = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if grace_left is None else min(left, grace_left)):
                    await self._dirty.wait()
                    await asyncio.sleep(self._around.settings.coalesce_seconds)
                    return

    def _grace_left(self) -> float | None:
        """Seconds until what depends on the host is unknown; None: it is in sight, or told."""
        if self._lost_at is None or self.sight.view.out_of_sight:
            return None
        return self._lost_at + self._around.settings.unknown_grace_seconds - _now()

    # --- statuses -------------------------------------------------------------------

    def _publish(self) -> None:
        """Show what is known of the host and of all its instances."""
        item = self._around.inventory.host(self.name)
        if item is None or self._decision is None:
            return
        self._players.follow(self._decision, self.sight.view, item, self._link)
        for verdict in self._decision.verdicts.values():
            self._publish_verdict(item, verdict)
        self._publish_host(item)

    def _publish_instance(self, uid: str) -> None:
        item = self._around.inventory.host(self.name)
        verdict = self._decision.verdicts.get(uid) if self._decision else None
        if item is not None and verdict is not None:
            self._publish_verdict(item, verdict)

    def _publish_verdict(self, host: HostItem, verdict: Verdict) -> None:
        publisher = self._around.publisher
        shown = publisher.shown(verdict.item)
        if self._still_holds(shown, verdict):
            return
        measured = Measured(
            self._players.of(verdict.item.uid, shown.players if shown else None),
            self._metrics(verdict) or (shown.metrics if shown else None),
        )
        address = host.object.spec.address if host.object else ""
        publisher.publish(
            verdict.item,
            status_of(verdict, self.sight.view, address, measured, shown, utc_now()),
        )

    def _publish_measured(self) -> None:
        """
        Show new numbers, and nothing else: no decision reads them.

        A thousand hosts sample all the time, and a whole status costs ten times as much.
        """
        decision = self._decision
        for verdict in decision.verdicts.values() if decision is not None else ():
            metrics = self._metrics(verdict)
            if metrics is not None and not self._around.publisher.measured(verdict.item, metrics):
                self._publish_instance(verdict.item.uid)

    def _metrics(self, verdict: Verdict) -> Metrics | None:
        """What the main unit uses; None before its first sample."""
        if verdict.instance is None or verdict.game is None:
            return None
        main = verdict.game.spec.services[0].name
        return self.sight.metrics.get(names.unit_name(main, verdict.instance.instance_id))

    def _still_holds(self, shown: object, verdict: Verdict) -> bool:
        """
        Whether a status of an earlier process counts until the host has answered.

        A restart of the operator is no news about the machines: overwriting what stands there
        with "not visited yet" would be a lie of its own, and a write an instance.
        """
        view = self.sight.view
        generation = getattr(shown, "observed_generation", 0)
        return (
            not view.visited
            and not view.out_of_sight
            and not isinstance(view.error, TerminalError)
            and bool(getattr(shown, "conditions", ()))
            and generation == verdict.item.meta.generation
            and not verdict.item.meta.deleting
        )

    def _publish_host(self, item: HostItem) -> None:
        assert self._decision is not None
        publisher = self._around.publisher
        shown = publisher.shown(item)
        view = self.sight.view
        settled = bool(getattr(shown, "conditions", ()))
        if not view.visited and view.error is None and settled:
            return
        orphans = self._decision.orphans.known
        desired = len(self._decision.verdicts)
        publisher.publish(item, host_status(item, view, desired, orphans, shown, utc_now()))


def _now() -> float:
    """The clock that the event loop's own waits go by."""
    return asyncio.get_running_loop().time()


def _needs_pass(before: ObservedUnit, after: ObservedUnit) -> bool:
    """A unit that rests in another state than before, or runs another process, needs a decision."""
    if after.active_state in ("inactive", "failed"):
        return before.active_state != after.active_state
    return after.active_state == "active" and before.main_pid != after.main_pid
