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
from dataclasses import replace
from typing import TypeVar

from warlock_agent.model import DesiredHost, ObservedUnit
from warlock_agent.wire import Fault, OperationChanged, Sample, UnitsChanged
from warlock_operator import log as fields
from warlock_operator.api.names import Kind
from warlock_operator.core.backoff import Waits, backoff, pause_seconds
from warlock_operator.core.desired import HostDecision, desired_host
from warlock_operator.core.inventory import HostItem
from warlock_operator.errors import (
    ApiError,
    DuplicateHost,
    HostUnreachable,
    InternalError,
    InvalidObject,
    OperatorError,
    TransientError,
)
from warlock_operator.reconcile.departures import Departures
from warlock_operator.reconcile.reaching import authority_of, by_name, check_machine, target_of
from warlock_operator.reconcile.showing import Showing
from warlock_operator.reconcile.sight import Sight
from warlock_operator.reconcile.surroundings import Surroundings
from warlock_operator.transport.link import HostLink, LinkTarget, Pushed

log = logging.getLogger(__name__)

MENDED_ON_HOST = frozenset(("PathOccupied", "PortInUse", "UnitNameTaken"))
"""Refusals whose cause lies on the machine: no edit of ours tells that somebody has removed it."""

ROUNDS = 4
"""Passes in a row while the answer of one changes what is desired: claims freed, ports given."""

_GONE_SECONDS = 1.0
"""Until what is gone, or being deleted, is looked for again, if no watch tells of it sooner."""

_BUG = (
    "the operator failed at this host, which is a bug of it; its log has the traceback; it is "
    "tried again, and the others are served"
)

T = TypeVar("T")


class Overtaken(Exception):
    """An edit has made pointless what a pass was waiting for; the next pass reads it."""


class HostWorker:
    """See the module. ``run`` is its task; the other methods never wait."""

    def __init__(self, item: HostItem, around: Surroundings, gone: Callable[[str], None]) -> None:
        """
        Args:
            item: the GameHost; one of its name that is made after it is another one's.
            gone: called with its name when the GameHost is no more and the task ends.
        """
        self.name = item.meta.name
        self._uid = item.uid
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
        self._showing = Showing(item.uid, around, self.sight)
        self._departures = Departures(item, around, self.sight)

    def enqueue(self) -> None:
        """Look again: somebody has changed or asked for something, so earlier failures are past."""
        self._waits.renew()
        self._edited.set()
        self._dirty.set()

    @property
    def secret_name(self) -> str:
        """Name of the Secret that the host's key comes from; empty while it is not known."""
        item = self._item
        return item.object.spec.ssh.key_secret.name if item and item.object else ""

    @property
    def _item(self) -> HostItem | None:
        """The GameHost as it is now; None when it is no more."""
        return self._around.inventory.get(Kind.GAME_HOST, self._uid)

    @property
    def duplicate(self) -> bool:
        """Whether another GameHost has the machine."""
        return isinstance(self.sight.view.error, DuplicateHost)

    async def run(self) -> None:
        """Converge the host until it is gone or the task is cancelled."""
        try:
            while (item := self._item) is not None:
                self._dirty.clear()  # before we read: what changes meanwhile is the next pass
                self._edited.clear()
                try:
                    wait_seconds = await self._try(item)
                except Overtaken:
                    continue
                except Exception:  # a bug, which must not keep the operator from all other hosts
                    log.exception("a pass ended in a bug", extra={fields.HOST: self.name})
                    await self._hang_up()
                    wait_seconds = self._failed(item, InternalError(_BUG))
                self._show()
                await self._wait(wait_seconds)
                self._stop_probing()
        finally:
            self._stop_probing()
            self._showing.close()
            await self._hang_up()
        self._gone(self.name)

    async def _try(self, item: HostItem) -> float:
        """Make a pass; gives the seconds to wait, whatever comes of it."""
        self._passing = True
        try:
            wait_seconds = await self._pass(item)
        except OperatorError as error:
            return self._failed(item, error)
        finally:
            self._passing = False
        if self._troubled() or self._link is None:
            return min(wait_seconds, self._waits.failed(_now()))
        self._waits.well(_now())
        return wait_seconds

    def _troubled(self) -> bool:
        """Whether the last pass left something undone that the world may heal."""
        view = self.sight.view
        return bool(view.failures or view.unwritten) or any(
            refusal.reason in MENDED_ON_HOST for refusal in view.refusals.values()
        )

    # --- one pass -----------------------------------------------------------------

    async def _pass(self, item: HostItem) -> float:
        """Make the host as desired; gives the seconds until it has to be looked at again."""
        self.passes += 1
        around = self._around
        await around.turns.mine()
        decision = self._decide(item)
        self._show()
        if await self._departures.let_go(decision):
            return around.settings.resync_seconds
        if item.object is None:
            raise item.error or InvalidObject("the GameHost can't be read")
        await around.finalizers.hold(item)
        await self._hold_instances(decision)
        link = await self._connected(item)
        decision = self._decide(item)
        for _ in range(ROUNDS):
            desired, asked = decision.desired, await self._hold_instances(decision)
            authority = authority_of(item, self.sight.view.observed, around)
            self.sight.passing(True)
            try:
                report = await link.converge(authority, asked)
            finally:
                self.sight.passing(False)
            self.sight.reported(report)
            if self._link is link:
                self._lost_at = None
            await around.turns.mine()
            self._showing.drift(report.results)
            self._departures.tell_orphans(item, decision.orphans)
            await self._departures.release_removed(decision)
            decision = self._decide(item)
            if decision.desired == desired:
                break
        await self._departures.let_go(decision)
        resync = around.settings.resync_seconds
        return min(resync, report.next_pass_seconds) if report.next_pass_seconds else resync

    def _decide(self, item: HostItem) -> HostDecision:
        observed = self.sight.view.observed
        now = self._item or item
        decision = desired_host(self._around.inventory, now, observed.ledger, observed.sockets)
        self._showing.decided(decision)
        return decision

    def _show(self) -> None:
        self._showing.everything(self._link)

    async def _hold_instances(self, decision: HostDecision) -> DesiredHost:
        """
        Put our finalizer on what is about to be sent.

        Returns:
            What may be sent: an instance that can't be held is not in it.
        """
        desired = decision.desired
        wanted = [v.item for v in decision.verdicts.values() if v.instance is not None]
        free = await self._around.finalizers.hold_all(wanted)
        errors = {uid: error for uid, error in free.items() if error is not None}
        going = [uid for uid, verdict in decision.verdicts.items() if verdict.removing]
        self.sight.unwritten(going, errors)
        if len(errors) < len(free):  # the watch will say so; if not, not without a pause
            asyncio.get_running_loop().call_later(_GONE_SECONDS, self._dirty.set)
        return replace(desired, converge=tuple(i for i in desired.converge if i.uid not in free))

    # --- the connection -------------------------------------------------------------

    async def _connected(self, item: HostItem) -> HostLink:
        target = target_of(item, self._around)
        if self._link is not None and self._linked_by == target:
            return self._link
        await self._hang_up()
        await asyncio.sleep(pause_seconds(self._attempted_at, _now()))
        self._attempted_at = _now()
        lost: list[OperatorError] = []

        def on_lost(error: OperatorError) -> None:
            lost.append(error)
            self._lost(error)

        link = self._around.links.connect(target, self._pushed, on_lost)
        try:
            hello = await self._heeding_edits(item, target, link.open())
            if lost:  # between its hello and our turn: a dead link would be held for good
                raise lost[0]
            check_machine(item, hello.observed.machine_id, self._around)
        except BaseException:
            await link.close()
            raise
        self._link, self._linked_by = link, target
        if self.sight.view.visited:  # else what stands in the statuses is an earlier process'
            self._lost_at = None
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
        now = self._item
        if now is None:
            raise Overtaken
        decision = self._decide(now)
        self._show()
        if (
            await self._departures.let_go(decision)
            or now.object is None
            or target_of(now, self._around) != target
        ):
            raise Overtaken

    def _pushed(self, frame: Pushed) -> None:
        """Take what the host says unasked: show it at once, and act where it is needed."""
        if isinstance(frame, UnitsChanged):
            before = self.sight.units_changed(frame)
            if any(map(_needs_pass, before, frame.units)):
                self._dirty.set()
            self._showing.units(frame.units, self._link)
        elif isinstance(frame, OperationChanged):
            self.sight.operation_changed(frame)
            if frame.operation.state != "Running":
                self._dirty.set()
            self._show()
        elif isinstance(frame, Sample):
            self.sight.sampled(frame)
            self._showing.measured()
        elif isinstance(frame, Fault):
            log.warning(
                "agent complains",
                extra={
                    fields.HOST: self.name,
                    fields.REASON: frame.reason,
                    fields.DETAIL: frame.message,
                },
            )

    def _lost(self, error: OperatorError) -> None:
        log.warning(
            "host lost",
            extra={fields.HOST: self.name, fields.REASON: error.reason, fields.DETAIL: str(error)},
        )
        self._link = None
        self._out_of_reach(error)
        self._show()
        if self._passing or error is self._failure:
            return  # the pass finds out by itself, and says how long to wait
        at_once = self._waits.steady(_now())
        wait_seconds = self._waits.failed(_now())
        loop = asyncio.get_running_loop()
        loop.call_later(0.0 if at_once else wait_seconds, self._dirty.set)
        item = self._item
        if not at_once and item is not None and item.object is not None:
            self._start_probing(item, away=False)  # it may go for longer, and be back before that

    def _failed(self, item: HostItem, error: OperatorError) -> float:
        """Note a pass that came to nothing; gives the seconds to wait."""
        self._failure = error
        if isinstance(error, DuplicateHost):
            error = by_name(error, self.sight.view.observed, self._around)
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
            self._start_probing(item, away=True)
        if isinstance(error, TransientError):
            return self._waits.failed(_now())
        return self._around.settings.resync_seconds

    def _start_probing(self, item: HostItem, *, away: bool) -> None:
        self._stop_probing()
        self._probing = asyncio.create_task(self._probe(item, away=away))

    async def _probe(self, item: HostItem, *, away: bool) -> None:
        """Try again as soon as the host takes a connection again."""
        assert item.object is not None
        spec = item.object.spec
        await self._around.prober.back(spec.address, spec.ssh.port, away=away)
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
                self._show()
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


def _now() -> float:
    """The clock that the event loop's own waits go by."""
    return asyncio.get_running_loop().time()


def _needs_pass(before: ObservedUnit, after: ObservedUnit) -> bool:
    """
    A unit that rests in another state than before, or runs another process, needs a decision.

    One that has only just got to active, too: it was still activating when it was decided on last,
    and may not be meant to run.
    """
    if after.active_state in ("inactive", "failed"):
        return before.active_state != after.active_state
    known = (before.active_state, before.main_pid)
    return after.active_state == "active" and known != ("active", after.main_pid)
