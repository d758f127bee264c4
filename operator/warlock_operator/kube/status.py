"""
StatusWriter: brings every object's newest status to the apiserver, with few writes.

``publish`` costs nothing and never waits. One task (``run``) writes: what differs only, serially
per object, several objects at a time, in two lanes (see ``decisions``). It compares with what it
wrote itself, since a watch lags behind. A failed write is tried again with what is newest then.
Called by ``reconcile``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from warlock_operator import log as fields
from warlock_operator.errors import ApiUnavailable, ObjectGone, OperatorError
from warlock_operator.kube.decisions import Due, Lane, Status, due, within
from warlock_operator.kube.guarded import GuardedWrites
from warlock_operator.kube.lanes import Lanes, Turn
from warlock_operator.kube.refs import ObjectRef

log = logging.getLogger(__name__)

CurrentUid = Callable[[str, str, str], str | None]
"""(kind, namespace, name) to the uid of the object that the inventory has there."""


@dataclass
class Counters:
    """What happened so far, for metrics and tests."""

    writes: int = 0
    measurement_writes: int = 0  # of the writes, those with nothing but measurements
    coalesced: int = 0  # published, and overtaken by a newer one before it was written
    equal: int = 0  # published, and not worth a write
    dropped: int = 0  # the object was gone, or another had its name
    errors: int = 0  # attempts that failed; each is tried again


@dataclass
class _Entry:
    """One object: its status as written and as wanted."""

    ref: ObjectRef
    wanted: Status
    written: Status | None = None
    written_at: float = -math.inf
    version: int = 0  # the resourceVersion by then; 0: not known
    foreign: bool = False  # somebody else has written over it since
    mended_at: float = -math.inf  # when that was put right last
    overtaken: tuple[str, Callable[[], Status]] | None = None  # found while a write was under way
    plan: Due | None = None  # the write that waits, if one does
    writing: bool = False
    failures: int = 0
    not_before: float = -math.inf  # after a failure


class StatusWriter:
    """See the module. ``run`` must be running for anything to be written."""

    def __init__(
        self,
        api: GuardedWrites,
        current_uid: CurrentUid,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self._api = api
        self._settings = api.settings
        self._current_uid = current_uid
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._known: dict[str, Status] = {}  # primed, and nothing published yet
        self._lanes = Lanes(self._settings.status_measurements_per_second, clock)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight: set[asyncio.Task[None]] = set()

    def prime(self, ref: ObjectRef, status: Status | None) -> None:
        """
        Tell what status an object has that nothing was published for yet.

        So a restarted operator writes nothing where the status is right already. When it was
        written is not known: its measurements wait for their whole period, or every restart
        would be a write an object. Without effect on an object that this process has published
        a status of.
        """
        if ref.uid not in self._entries:
            self._known[ref.uid] = status or {}

    def publish(self, ref: ObjectRef, status: Mapping[str, Any]) -> None:
        """
        Make *status* what the object should show; the newest one wins.

        Args:
            status: JSON values, by their API names, None left out. Not changed afterwards.
        """
        entry = self._entries.get(ref.uid)
        if entry is None:
            known = self._known.pop(ref.uid, None)
            entry = self._entries[ref.uid] = _Entry(ref, status, written=known)
            if known:
                entry.written_at = self._clock()
        elif entry.plan is not None:
            self.counters.coalesced += 1
        entry.wanted = status
        self._schedule(entry)
        if entry.plan is None and not entry.writing:
            self.counters.equal += 1

    def measure(self, ref: ObjectRef, key: str, value: Any) -> None:
        """Let one measurement differ in what was published last, or found by :meth:`prime`."""
        entry = self._entries.get(ref.uid)
        if entry is None:
            if known := self._known.get(ref.uid):
                self.publish(ref, {**known, key: value})
        elif not self._as_written(entry, key, value):
            entry.wanted = {**entry.wanted, key: value}
            self._schedule(entry)

    def _as_written(self, entry: _Entry, key: str, value: Any) -> bool:
        """
        Whether nothing is worth a write, this measurement included.

        A fleet at rest asks it all the time; the whole of two statuses is ten times as dear.
        """
        if entry.plan is not None or entry.writing or entry.written is None:
            return False
        return within(entry.written.get(key), value, key, self._settings)

    def found(self, uid: str, version: str, status: Callable[[], Status]) -> None:
        """
        Tell how an object was found after a write of ours: what others wrote there is put right.

        An older version says nothing: watches lag behind.

        Args:
            version: the object's resourceVersion.
            status: gives its status; asked only where it counts.
        """
        entry = self._entries.get(uid)
        if entry is None or not version.isdigit() or int(version) <= entry.version:
            return
        if entry.writing:
            entry.overtaken = (version, status)  # looked at when our own version is known
            return
        entry.version = int(version)
        if entry.written is not None and status() != entry.written:
            entry.foreign = True
            self._schedule(entry)

    def forget(self, uid: str) -> None:
        """Drop what is known of an object that is gone; what waits for it is not written."""
        self._known.pop(uid, None)
        self._entries.pop(uid, None)
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                self._wake.clear()  # before the queues are read: what comes then is the next round
                wait_seconds = self._start_writes()
                self._note_idle()
                try:
                    async with asyncio.timeout(wait_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._in_flight:
                task.cancel()

    async def flush(self, timeout_seconds: float) -> bool:
        """
        Wait until no change of state waits or is being written; measurements may.

        Returns:
            False where *timeout_seconds* did not suffice.
        """
        self._wake.set()
        self._note_idle()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    # --- what is next ---------------------------------------------------------------------

    def _schedule(self, entry: _Entry) -> None:
        """Set the entry's plan by what differs now, and queue it where it is a new one."""
        if entry.writing:
            return  # decided again when that write is over
        now = self._clock()
        plan = due(entry.written, entry.wanted, now, entry.written_at, self._settings)
        if entry.foreign and (plan is None or plan.lane is Lane.MEASUREMENT):
            # Not at once each time: two operators by mistake would write without a pause.
            pause = self._settings.api_retry_cap_seconds
            plan = Due(max(now, entry.mended_at + pause), Lane.STATE)
        if plan is not None:
            plan = Due(max(plan.at, entry.not_before), plan.lane)
        if plan is not None and entry.plan is not None and entry.plan.lane is plan.lane:
            return  # it has its place in the queue already
        entry.plan = plan
        if plan is not None:
            self._lanes.add(entry.ref.uid, plan)
            self._idle.clear()
            self._wake.set()

    def _start_writes(self) -> float | None:
        """Start all writes that may start now; gives the seconds until the next may."""
        waits = [self._start_lane(lane) for lane in Lane]
        return min((wait for wait in waits if wait is not None), default=None)

    def _start_lane(self, lane: Lane) -> float | None:
        """Likewise for one lane. None: nothing waits, or a write must end first."""
        while (turn := self._lanes.first(lane, self._counts)) is not None:
            if len(self._in_flight) >= self._settings.status_writes_in_flight:
                return None  # the end of a write wakes us
            if (wait := self._lanes.wait_seconds(turn)) > 0:
                return wait
            self._start(self._entries[self._lanes.take(lane).uid], lane)
        return None

    def _counts(self, turn: Turn) -> bool:
        """Whether *turn* is still what its object waits for."""
        entry = self._entries.get(turn.uid)
        return entry is not None and entry.plan is turn.plan

    def _note_idle(self) -> None:
        if not self._in_flight and self._lanes.first(Lane.STATE, self._counts) is None:
            self._idle.set()

    # --- writing --------------------------------------------------------------------------

    def _start(self, entry: _Entry, lane: Lane) -> None:
        entry.plan = None
        ref = entry.ref
        if self._current_uid(ref.kind, ref.namespace, ref.name) != ref.uid:
            self._drop(entry)
            return
        self._lanes.spend(lane)
        entry.writing = True
        task = asyncio.create_task(self._write(entry, lane), name=f"status of {ref}")
        self._in_flight.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.counters.errors += 1
            log.error("status write broke", exc_info=error, extra={fields.TASK: task.get_name()})

    async def _write(self, entry: _Entry, lane: Lane) -> None:
        """One attempt, and what follows from its outcome."""
        sent = entry.wanted
        try:
            version = await self._api.apply_status(entry.ref, sent)
        except ObjectGone:
            self._drop(entry)
            return
        except OperatorError as error:
            self._failed(entry, error)
        else:
            entry.version = int(version) if version.isdigit() else entry.version
            self._written(entry, sent, lane)
        finally:
            entry.writing = False
        if self._entries.get(entry.ref.uid) is entry:
            if entry.overtaken is not None:
                found, entry.overtaken = entry.overtaken, None
                self.found(entry.ref.uid, *found)
            self._schedule(entry)

    def _written(self, entry: _Entry, sent: Status, lane: Lane) -> None:
        entry.written = sent
        entry.written_at = self._clock()
        if entry.foreign:
            entry.foreign, entry.mended_at = False, entry.written_at
        entry.failures = 0
        entry.not_before = -math.inf
        self.counters.writes += 1
        self.counters.measurement_writes += lane is Lane.MEASUREMENT

    def _failed(self, entry: _Entry, error: OperatorError) -> None:
        """Note when to try again: with backoff, and not before the apiserver wants us to."""
        initial, cap = (
            self._settings.api_retry_initial_seconds,
            self._settings.api_retry_cap_seconds,
        )
        wait_seconds = min(cap, initial * 2.0 ** min(entry.failures, 30))
        if isinstance(error, ApiUnavailable):
            wait_seconds = max(wait_seconds, error.retry_after_seconds or 0.0)
        entry.failures += 1
        entry.not_before = self._clock() + wait_seconds
        if _may_have_been_written(error):
            entry.written = None
        self.counters.errors += 1
        log.warning(
            "status not written",
            extra={
                fields.KIND: entry.ref.kind,
                fields.NAMESPACE: entry.ref.namespace,
                fields.NAME: entry.ref.name,
                fields.REASON: error.reason,
                fields.DETAIL: str(error),
                fields.SECONDS: wait_seconds,
            },
        )

    def _drop(self, entry: _Entry) -> None:
        self.counters.dropped += 1
        self._entries.pop(entry.ref.uid, None)


def _may_have_been_written(error: OperatorError) -> bool:
    """Whether the write may have happened all the same: its answer got lost or says nothing."""
    return isinstance(error, ApiUnavailable) and error.status_code != 429
