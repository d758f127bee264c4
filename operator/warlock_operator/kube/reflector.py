"""
A copy in memory of one kind's objects: list once, watch on, list again when that went wrong.

For what kopf does not watch for us: key Secrets (in our own namespace alone) and namespaces'
labels. What is kept of an object is a small value; only a changed value is told.

    watch ends silently      the next one, from the last resourceVersion seen
    410, in whatever form    list again, at once the first time
    any other failure        wait with backoff, then list again
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from warlock_operator import log as fields
from warlock_operator.errors import ApiExpired, ApiUnavailable, TransientError
from warlock_operator.kube.refs import Resource
from warlock_operator.kube.verbs import Json, Verbs

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class Reflector(Generic[Value]):
    """Values by object name, of one kind in one namespace (or of a cluster-scoped kind)."""

    def __init__(
        self,
        api: Verbs,
        resource: Resource,
        namespace: str | None,
        value_of: Callable[[Json], Value | None],
        changed: Callable[[str], None],
        *,
        selector: str = "",
    ) -> None:
        """
        Args:
            value_of: what to keep of an object; None: nothing, as if it were not there.
            changed: called with the name whenever a value comes, goes or differs.
            selector: a field selector, so that the apiserver sends less.
        """
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._value_of = value_of
        self._changed = changed
        self._selector = selector
        self._values: dict[str, Value] = {}
        self.synced = asyncio.Event()  # set once the first list is in, and for good

    @property
    def values(self) -> Mapping[str, Value]:
        """What is known by now, by object name."""
        return self._values

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        delays = self._delays()
        while True:
            version = ""
            try:
                version = await self._relist()
                delays = self._delays()
                await self._follow(version)
            except TransientError as error:
                wait_seconds = 0.0 if version and isinstance(error, ApiExpired) else next(delays)
                self._tell(error, wait_seconds)
                await asyncio.sleep(wait_seconds)

    async def _relist(self) -> str:
        """Make the copy what a list says; gives the resourceVersion to watch from."""
        items, version = await self._api.list_objects(
            self._resource, self._namespace, fields=self._selector
        )
        found = {item["metadata"]["name"]: item for item in items}
        for name in self._values.keys() - found.keys():
            self._forget(name)
        for item in found.values():
            self._take(item)
        self.synced.set()
        return version

    async def _follow(self, version: str) -> None:
        """Watch from *version* on, one watch after another. Ends only by raising."""
        while True:
            events = self._api.watch(
                self._resource, self._namespace, version, fields=self._selector
            )
            async with contextlib.aclosing(events):
                async for change, item in events:
                    version = item["metadata"]["resourceVersion"]
                    self._handle(change, item)

    def _handle(self, change: str, item: Json) -> None:
        if change == "DELETED":
            self._forget(item["metadata"]["name"])
        elif change in ("ADDED", "MODIFIED"):
            self._take(item)

    def _take(self, item: Json) -> None:
        name = item["metadata"]["name"]
        value = self._value_of(item)
        if value is None:
            self._forget(name)
        elif self._values.get(name) != value:
            self._values[name] = value
            self._changed(name)

    def _forget(self, name: str) -> None:
        if self._values.pop(name, None) is not None:
            self._changed(name)

    def _delays(self) -> Iterator[float]:
        return doubling(
            self._api.settings.api_retry_initial_seconds, self._api.settings.api_retry_cap_seconds
        )

    def _tell(self, error: TransientError, wait_seconds: float) -> None:
        usual = isinstance(error, ApiExpired | ApiUnavailable)
        log.log(
            logging.INFO if usual else logging.WARNING,
            "watch interrupted, listing again",
            extra={
                fields.KIND: self._resource.kind,
                fields.REASON: error.reason,
                fields.DETAIL: str(error),
                fields.SECONDS: wait_seconds,
            },
        )


def doubling(initial_seconds: float, cap_seconds: float) -> Iterator[float]:
    """*initial_seconds*, then twice as long each time, up to *cap_seconds*; without an end."""
    seconds = initial_seconds
    while True:
        yield min(seconds, cap_seconds)
        seconds = min(seconds * 2, cap_seconds)
