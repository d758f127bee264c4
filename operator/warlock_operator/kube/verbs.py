"""
The API's verbs over one method that sends a request: get, list, watch, create, replace, merge.

Objects are plain dictionaries. Nothing is retried here: whoever asks knows whether waiting makes
sense, and for how long ``ApiUnavailable.retry_after_seconds`` asks. ``client.KubeClient`` sends.
"""

from __future__ import annotations

import abc
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from warlock_operator.errors import ApiExpired
from warlock_operator.kube import answers
from warlock_operator.kube.refs import NAMESPACE, Resource
from warlock_operator.settings import Settings

Json = dict[str, Any]
WatchEvent = tuple[str, Json]

FIELD_MANAGER = "warlock-operator"
LIST_ATTEMPTS = 3  # a page's "continue" may expire; a big list under load needs a second try
NAMES_ONLY = "json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Verbs(abc.ABC):
    """What can be asked of the apiserver, whatever carries the request."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write: one that slept through its end must not write over another's."""

    @abc.abstractmethod
    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Json | Sequence[Json] | None = None,
        media: str = "json",
        accept: str = "json",
    ) -> Json:
        """
        Send one request, and give its answer within ``api_request_timeout_seconds``.

        Args:
            media: of *body*, after ``application/``.
            accept: likewise, of the answer.
        """

    @abc.abstractmethod
    def lines(
        self, path: str, query: Mapping[str, str], timeout_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a streamed answer as they come, for *timeout_seconds* at most."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        """The object. Raises ObjectGone where there is none."""
        return await self.request("GET", resource.path(namespace, name))

    async def list_objects(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        fields: str = "",
        names_only: bool = False,
    ) -> tuple[list[Json], str]:
        """
        All objects, fetched in pages, and the resourceVersion to watch from.

        Args:
            namespace: None: of the whole cluster.
            fields: a field selector.
            names_only: metadata alone, so that 10,000 objects stay small.
        """
        for _ in range(LIST_ATTEMPTS - 1):
            with contextlib.suppress(ApiExpired):  # the pages got too old: from the start again
                return await self._list_pages(resource, namespace, fields, names_only)
        return await self._list_pages(resource, namespace, fields, names_only)

    async def list_keys(self, resource: Resource) -> dict[str, tuple[str, str]]:
        """(namespace, name) by uid of every object; the namespace is empty for cluster scope."""
        items, _ = await self.list_objects(resource, names_only=True)
        found = [item["metadata"] for item in items]
        return {meta["uid"]: (meta.get("namespace", ""), meta["name"]) for meta in found}

    async def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, fields: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """
        (type, object) of every change after *resource_version*, until the apiserver ends it.

        BOOKMARK comes through, since its resourceVersion is where to go on. A silent end is
        normal; a connection that outlives its end is dead and raises ApiUnavailable.

        Raises:
            ApiExpired: *resource_version* is too old: list again.
        """
        seconds = max(1, round(self.settings.watch_seconds))
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        query |= {"fieldSelector": fields} if fields else {}
        limit = seconds + self.settings.watch_grace_seconds
        async with contextlib.aclosing(self.lines(resource.path(namespace), query, limit)) as lines:
            async for line in lines:
                yield _watch_event(line, resource)

    async def create(self, resource: Resource, namespace: str | None, body: Json) -> Json:
        """Create the object. Raises Conflict where its name is taken."""
        return await self._write("POST", resource.path(namespace), body)

    async def replace(
        self, resource: Resource, namespace: str | None, name: str, body: Json
    ) -> Json:
        """Put *body* in the object's place; Conflict where its resourceVersion is not present."""
        return await self._write("PUT", resource.path(namespace, name), body)

    async def merge(self, resource: Resource, namespace: str | None, name: str, body: Json) -> Json:
        """Change what *body* names (a JSON merge patch), and nothing else."""
        return await self._write("PATCH", resource.path(namespace, name), body, "merge-patch+json")

    async def owner_id(self) -> str:
        """The uid of ``kube-system``: which cluster this is, for as long as it lives."""
        found = await self.get(NAMESPACE, None, "kube-system")
        return str(found["metadata"]["uid"])

    async def _write(
        self, method: str, path: str, body: Json | Sequence[Json], media: str = "json"
    ) -> Json:
        query = {"fieldManager": FIELD_MANAGER}
        return await self.request(method, path, query, body=body, media=media)

    async def _list_pages(
        self, resource: Resource, namespace: str | None, fields: str, names_only: bool
    ) -> tuple[list[Json], str]:
        query = {"limit": str(self.settings.api_page_size)}
        query |= {"fieldSelector": fields} if fields else {}
        items: list[Json] = []
        while True:
            accept = NAMES_ONLY if names_only else "json"
            page = await self.request("GET", resource.path(namespace), query, accept=accept)
            items += page.get("items") or []
            if not page["metadata"].get("continue"):
                return items, str(page["metadata"]["resourceVersion"])
            query["continue"] = page["metadata"]["continue"]


def _watch_event(line: bytes, resource: Resource) -> WatchEvent:
    """One line of a watch. Raises what an ERROR event means."""
    event = json.loads(line)
    if event["type"] == "ERROR":
        raise answers.watch_error(event["object"], f"watch {resource.plural}")
    return event["type"], event["object"]
