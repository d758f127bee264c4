"""
Who leads: a Lease, and the fencing token that hosts compare.

The rules are client-go's. A holder is alive while *we see it renew*: its clock is never compared
with ours. A leader that could not renew for ``lease_renew_seconds`` counts itself out, which is
before anyone else may take over (``lease_duration_seconds`` after the last renewal they saw).

The fencing token is the resourceVersion of the update by which this process became leader:
greater for each later leader, whatever became of leases and names in between. A process that
slept through its end can't do harm: hosts refuse its token.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import random
import socket
import time
import uuid
from collections.abc import Callable

from warlock_operator import log as fields
from warlock_operator.errors import Conflict, ObjectGone, TransientError
from warlock_operator.kube.refs import LEASE
from warlock_operator.kube.verbs import Json, Verbs

log = logging.getLogger(__name__)
JITTER = 0.2  # of the retry period: two candidates don't ask in step


def new_identity() -> str:
    """A holder identity that no other process has had: host name and a random part."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def boot_clock() -> float:
    """Seconds since the machine was started, those in which it was suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """
    This process's claim to lead: ``acquire``, then ``hold`` until it ends, then ``release``.

    Attributes:
        identity: of this process.
        token: the fencing token; 0 before ``acquire`` returned.
        transitions: how often the Lease has changed hands.
    """

    def __init__(
        self,
        api: Verbs,
        identity: str | None = None,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        """
        Args:
            clock: seconds of this machine that never jump back, and do not stand still.
        """
        self.identity = identity or new_identity()
        self.token = 0
        self.transitions = 0
        self._api = api
        self._settings = api.settings
        self._clock = clock
        self._lease: Json = {}  # as last seen or written
        self._seen_at = 0.0  # when another holder's record was last seen to differ
        self._renewed_at = float("-inf")

    @property
    def held(self) -> bool:
        """Whether this process leads, as far as it can know: renewed within the deadline."""
        return bool(self.token) and self._left() > 0

    async def acquire(self) -> int:
        """Wait until this process leads, however long that takes; gives the fencing token."""
        told: str | None = None
        while not await self._attempt():
            if (holder := self._holder()) != told:
                told = holder
                log.info("another leads, waiting", extra={fields.HOLDER: holder})
            await asyncio.sleep(self._retry_seconds())
        self.token = int(self._lease["metadata"]["resourceVersion"])
        log.info("leading", extra={fields.HOLDER: self.identity, fields.TOKEN: self.token})
        return self.token

    async def hold(self, lost: Callable[[str], None]) -> None:
        """
        Renew until the Lease is lost, then call *lost* with the reason, once, and return.

        *lost* ends the process: what it still holds in hand must not reach a host.
        """
        reason = ""
        while not reason:
            await asyncio.sleep(min(self._retry_seconds(), max(0.0, self._left())))
            reason = await self._renewal()
        self.token = 0
        log.error("leadership lost", extra={fields.HOLDER: self.identity, fields.DETAIL: reason})
        lost(reason)

    async def release(self) -> None:
        """Let another lead at once, where this process does; best effort, and bounded in time."""
        if not self.held:
            return
        self.token = 0
        with contextlib.suppress(TransientError, TimeoutError):
            async with asyncio.timeout(self._settings.lease_retry_seconds):
                await self._write(holder="", duration_seconds=1)

    async def _attempt(self) -> bool:
        """One try to become the holder. False where another lives, was quicker, or on errors."""
        started = self._clock()
        try:
            async with asyncio.timeout(self._settings.lease_renew_seconds):
                await self._look()
                if self._taken():
                    return False
                await self._write(holder=self.identity)
        except (TransientError, TimeoutError) as error:
            _tell("not leading: the Lease can't be had", error)
            return False
        self._renewed_at = started  # before the request: others may count from then on
        return True

    async def _renewal(self, *, again: bool = True) -> str:
        """
        One renewal. Gives the reason where leadership is over; empty while it is not.

        again: write once more where somebody else's edit, or a write of ours whose answer came
        too late, was in the way: there may be no time for another round.
        """
        started = self._clock()
        try:
            async with asyncio.timeout(self._try_seconds()):
                await self._write(holder=self.identity)
        except (Conflict, ObjectGone):
            reason = await self._after_conflict()
            return reason or (await self._renewal(again=False) if again else "")
        except (TransientError, TimeoutError) as error:
            _tell("Lease not renewed", error)
            left = self._left()
            return "" if left > 0 else f"not renewed in time: {error or 'no answer'}"
        self._renewed_at = started
        return ""

    async def _after_conflict(self) -> str:
        """Somebody wrote the Lease: another holder ends us, an edit of its labels does not."""
        try:
            async with asyncio.timeout(self._try_seconds()):
                self._lease = await self._read()
        except ObjectGone:
            return "the Lease was deleted"
        except (TransientError, TimeoutError) as error:
            return "" if self._left() > 0 else f"not renewed in time: {error or 'no answer'}"
        holder = self._holder()
        return "" if holder == self.identity else f"{holder or 'nobody'} holds the Lease now"

    async def _look(self) -> None:
        """Read the Lease, made where there is none; note when a change was first seen."""
        try:
            lease = await self._read()
        except ObjectGone:
            lease = await self._api.create(LEASE, self._settings.namespace, self._empty())
        if lease["spec"] != self._lease.get("spec"):
            self._seen_at = self._clock()
        self._lease = lease

    def _taken(self) -> bool:
        """Whether another holds the Lease and was seen to renew within its duration."""
        if self._holder() in ("", self.identity):
            return False
        recorded = float(self._lease["spec"].get("leaseDurationSeconds") or 0)
        duration = max(recorded, self._settings.lease_duration_seconds)
        return self._clock() < self._seen_at + duration

    async def _write(self, holder: str, duration_seconds: int | None = None) -> None:
        """Replace the Lease that we saw last. Raises Conflict where it is another by now."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = self._lease["spec"]
        spec = dict(before) | {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration_seconds or self._whole_duration(),
            "renewTime": now,
        }
        if holder and before.get("holderIdentity") != holder:
            spec |= {
                "acquireTime": now,
                "leaseTransitions": int(before.get("leaseTransitions") or 0) + 1,
            }
        self._lease = await self._api.replace(
            LEASE,
            self._settings.namespace,
            self._settings.lease_name,
            {**self._lease, "spec": spec},
        )
        self.transitions = int(self._lease["spec"].get("leaseTransitions") or 0)

    async def _read(self) -> Json:
        return await self._api.get(LEASE, self._settings.namespace, self._settings.lease_name)

    def _empty(self) -> Json:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {
                "name": self._settings.lease_name,
                "namespace": self._settings.namespace,
            },
            "spec": {"leaseDurationSeconds": self._whole_duration(), "leaseTransitions": 0},
        }

    def _holder(self) -> str:
        return str(self._lease.get("spec", {}).get("holderIdentity") or "")

    def _left(self) -> float:
        """Seconds until this process must count itself out."""
        return self._renewed_at + self._settings.lease_renew_seconds - self._clock()

    def _try_seconds(self) -> float:
        """How long one try may take: a connection that has died leaves time for another."""
        return max(0.0, min(self._left(), self._settings.lease_renew_seconds / 3))

    def _whole_duration(self) -> int:
        """The API knows whole seconds only, and none below 1; rounded up, never early."""
        return max(1, -int(-self._settings.lease_duration_seconds // 1))

    def _retry_seconds(self) -> float:
        return self._settings.lease_retry_seconds * (1 + JITTER * random.random())  # noqa: S311


def _tell(message: str, error: Exception) -> None:
    reason = error.reason if isinstance(error, TransientError) else type(error).__name__
    log.warning(message, extra={fields.REASON: reason, fields.DETAIL: str(error)})
