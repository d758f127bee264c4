"""
Events: what a person wants to see in ``kubectl describe``, without flooding anybody.

``event`` costs nothing and never waits. One task (``run``) writes. An equal event within
``event_window_seconds`` becomes one with a count (a series, events.k8s.io/v1); an object that
speaks too much is cut off (a token bucket each, as in client-go); a full queue drops. What could
not be written is counted and forgotten: Events are a courtesy, statuses are the truth.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from warlock_operator import log as fields
from warlock_operator.api import names
from warlock_operator.errors import ApiUnavailable, ObjectGone, OperatorError
from warlock_operator.kube.refs import BY_KIND, EVENT, ObjectRef
from warlock_operator.kube.verbs import Json, Verbs

log = logging.getLogger(__name__)

NORMAL = "Normal"
WARNING = "Warning"
CONTROLLER = f"{names.GROUP}/operator"  # reportingController: a qualified name
NOTE_BYTES = 1024  # the apiserver's limit on note, in bytes
NAME_LENGTH = 253 - 17  # of the object's name within the Event's
ATTEMPTS = 3  # of one write, where the apiserver is away; then the event is dropped
OBJECTS_REMEMBERED = 20_000  # buckets and series kept at most, oldest out first

EventKey = tuple[ObjectRef, str, str, str]  # what, type, reason, message


@dataclass
class Counters:
    """What happened so far, for metrics and tests."""

    written: int = 0  # Events created
    counted: int = 0  # repetitions that became a count
    dropped: int = 0  # cut off, queue full, or not to be written


@dataclass
class _Series:
    """An Event that exists, and how often it happened."""

    namespace: str
    name: str
    count: int
    last_at: float
    written_at: float


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class Recorder:
    """See the module. ``run`` must be running for anything to be written."""

    def __init__(
        self, api: Verbs, instance: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            instance: this process, as ``reportingInstance`` shows it.
        """
        self.counters = Counters()
        self._api = api
        self._settings = api.settings
        self._instance = instance[:128]
        self._clock = clock
        self._queue: asyncio.Queue[tuple[EventKey, str]] = asyncio.Queue(self._settings.event_queue)
        self._series: collections.OrderedDict[EventKey, _Series] = collections.OrderedDict()
        self._uncounted: dict[EventKey, _Series] = {}  # whose count is not written yet
        self._buckets: collections.OrderedDict[ObjectRef, _Bucket] = collections.OrderedDict()
        self._latest_nanoseconds = 0

    def event(self, ref: ObjectRef, kind: str, reason: str, message: str, action: str) -> None:
        """
        Say that something happened to the object; never waits, never fails.

        Args:
            kind: ``Normal`` or ``Warning``.
            reason: CamelCase; an error's ``reason`` where there is one.
            message: for a person; cut at 1 KiB. No secret.
            action: what was being done, CamelCase: ``Converge``, ``Install``, ``Start``.
        """
        key = (ref, kind, reason, _cut(message))
        try:
            self._queue.put_nowait((key, action))
        except asyncio.QueueFull:
            self.counters.dropped += 1

    async def run(self) -> None:
        """Write until cancelled; counts of series in their time."""
        while True:
            try:
                async with asyncio.timeout(self._next_count_seconds()):
                    key, action = await self._queue.get()
            except TimeoutError:
                await self._write_counts()
                continue
            await self._record(key, action)
            self._queue.task_done()

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is written that was said, counts too. False: not in that time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._queue.join()
                await self._write_counts(at_once=True)
        except TimeoutError:
            return False
        return True

    # --- one event ------------------------------------------------------------------------

    async def _record(self, key: EventKey, action: str) -> None:
        now = self._clock()
        series = self._series.get(key)
        if series is not None and now - series.last_at <= self._settings.event_window_seconds:
            series.count += 1
            series.last_at = now
            self._uncounted[key] = series
            self.counters.counted += 1
            if now - series.written_at >= self._settings.event_series_seconds:
                await self._write_count(key, series)
        elif self._allowed(key[0], now):
            await self._create(key, action, now)
        else:
            self.counters.dropped += 1

    async def _create(self, key: EventKey, action: str, now: float) -> None:
        ref, kind, reason, message = key
        body = event_body(ref, kind, reason, message, action, self._instance, self._moment())
        namespace = body["metadata"]["namespace"]
        if not await self._sent(lambda: self._api.create(EVENT, namespace, body)):
            return
        self.counters.written += 1
        self._series[key] = _Series(namespace, body["metadata"]["name"], 1, now, now)
        self._series.move_to_end(key)
        if len(self._series) > OBJECTS_REMEMBERED:
            self._series.popitem(last=False)

    def _moment(self) -> int:
        """Nanoseconds since 1970, later than any before: a clock may stand still, or go back."""
        self._latest_nanoseconds = max(time.time_ns(), self._latest_nanoseconds + 1)
        return self._latest_nanoseconds

    async def _sent(self, write: Callable[[], Awaitable[Json]]) -> bool:
        """Whether *write* succeeded, tried again a few times while the apiserver is away."""
        wait_seconds = self._settings.api_retry_initial_seconds
        for attempt in range(ATTEMPTS):
            try:
                await write()
                return True
            except ApiUnavailable as error:
                if attempt + 1 < ATTEMPTS:
                    await asyncio.sleep(max(wait_seconds, error.retry_after_seconds or 0.0))
                    wait_seconds = min(wait_seconds * 2, self._settings.api_retry_cap_seconds)
            except OperatorError as error:  # its namespace is going, or RBAC: no use in trying
                log.debug("event not written", extra={fields.REASON: error.reason})
                break
        self.counters.dropped += 1
        return False

    # --- counts ---------------------------------------------------------------------------

    def _next_count_seconds(self) -> float | None:
        if not self._uncounted:
            return None
        oldest = min(series.written_at for series in self._uncounted.values())
        return max(0.0, oldest + self._settings.event_series_seconds - self._clock())

    async def _write_counts(self, *, at_once: bool = False) -> None:
        now = self._clock()
        for key, series in list(self._uncounted.items()):
            if at_once or now - series.written_at >= self._settings.event_series_seconds:
                await self._write_count(key, series)

    async def _write_count(self, key: EventKey, series: _Series) -> None:
        self._uncounted.pop(key, None)
        series.written_at = self._clock()
        body = {"series": {"count": series.count, "lastObservedTime": _time(time.time_ns())}}
        try:
            await self._api.merge(EVENT, series.namespace, series.name, body)
        except ObjectGone:  # an Event lives for an hour; the next one is a new one
            self._series.pop(key, None)
        except ApiUnavailable:
            self._uncounted[key] = series  # once more, in its time
        except OperatorError:
            self.counters.dropped += 1

    # --- limits ---------------------------------------------------------------------------

    def _allowed(self, ref: ObjectRef, now: float) -> bool:
        """Take a token from the object's bucket; False where it is empty."""
        burst = float(self._settings.event_burst)
        bucket = self._buckets.setdefault(ref, _Bucket(burst, now))
        refilled = (now - bucket.filled_at) / self._settings.event_refill_seconds
        bucket.tokens = min(burst, bucket.tokens + refilled)
        bucket.filled_at = now
        self._buckets.move_to_end(ref)
        if len(self._buckets) > OBJECTS_REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True


def event_body(
    ref: ObjectRef,
    kind: str,
    reason: str,
    message: str,
    action: str,
    instance: str,
    at_nanoseconds: int,
) -> Json:
    """
    The Event. One about a cluster-scoped object lives in ``default``: the apiserver says so.

    Names sort as time goes. ``kubectl describe`` sorts by ``lastTimestamp`` alone, which
    events.k8s.io/v1 demands to be unset, so what it shows is the list as it got it: by name.

    Args:
        at_nanoseconds: since 1970; no two of one object are equal.
    """
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "name": f"{ref.name[:NAME_LENGTH]}.{at_nanoseconds:016x}",
            "namespace": ref.namespace or "default",
        },
        "regarding": {
            "apiVersion": BY_KIND[ref.kind].api_version,
            "kind": ref.kind,
            "namespace": ref.namespace,
            "name": ref.name,
            "uid": ref.uid,
        },
        "type": kind,
        "reason": reason[:128],
        "action": action[:128],
        "note": message,
        "eventTime": _time(at_nanoseconds),
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
    }


def _cut(message: str) -> str:
    """*message* within the apiserver's limit, which counts bytes."""
    data = message.encode("utf-8")
    if len(data) <= NOTE_BYTES:
        return message
    return data[: NOTE_BYTES - 3].decode("utf-8", "ignore") + "…"


def _time(nanoseconds: int) -> str:
    """As a MicroTime."""
    since = datetime.timedelta(microseconds=nanoseconds // 1000)
    moment = datetime.datetime.fromtimestamp(0, datetime.UTC) + since
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
