"""
Every version of every object, as the API server told it, while tests do something else.

A list, then one watch after another from where the last one ended: nothing between two of them is
missed. Where the API server was away for so long that it can't tell any more, it is listed anew
and the gap is counted.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from labkit.cluster import Cluster
from tests.health.states import Object

_PREFIX = "/apis/warlock.dev/v1alpha1"
_WATCH_SECONDS = 3
_LIMIT_SECONDS = 15.0
_AGAIN_SECONDS = 0.2


class _TooOldError(Exception):
    """The API server has forgotten what came after the version that we know."""


@dataclass
class Watch:
    """
    The versions of one kind, as lines of JSON in *file*; without managedFields.

    plural: the resource's name. tell: called with each version as it comes, by the watch's thread.
    """

    cluster: Cluster
    plural: str
    file: Path
    tell: Callable[[Object], None] = lambda found: None
    gaps: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the kind need not be there yet."""
        self._thread = threading.Thread(target=self._run, name=f"watch {self.plural}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ask it to end, and return at once."""
        self._over.set()

    def stop(self) -> None:
        """Return when it has ended."""
        self.end()
        if self._thread is not None:
            self._thread.join(_LIMIT_SECONDS + 5.0)

    def versions(self) -> Iterator[Object]:
        """Give what has come so far, in its order; a deleted object's last version is among it."""
        if self.file.exists():
            with self.file.open() as stream:
                yield from (json.loads(line) for line in stream if line.endswith("\n"))

    def _run(self) -> None:
        version = ""
        with self.file.open("a") as stream:
            while not self._over.is_set():
                try:
                    version = self._follow(version, stream) if version else self._list()
                except _TooOldError:
                    self.gaps, version = self.gaps + 1, ""
                except (OSError, http.client.HTTPException, json.JSONDecodeError):
                    self._over.wait(_AGAIN_SECONDS)

    def _list(self) -> str:
        """Say where a watch may begin. What is there already is another suite's."""
        answer = self._ask(f"{_PREFIX}/{self.plural}?limit=1&resourceVersion=0")
        return str(json.loads(answer.read())["metadata"]["resourceVersion"])

    def _follow(self, version: str, stream: TextIO) -> str:
        """Watch for a while; gives where the next one begins."""
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={_WATCH_SECONDS}"
        answer = self._ask(f"{_PREFIX}/{self.plural}?{query}&resourceVersion={version}")
        for line in answer:
            event = json.loads(line)
            found: Object = event["object"]
            if event["type"] == "ERROR":
                raise _TooOldError(found.get("message"))
            version = found["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                found["metadata"].pop("managedFields", None)
                stream.write(f"{json.dumps(found)}\n")
                stream.flush()  # it may be read at any time
                self.tell(found)
        return version

    def _ask(self, path: str) -> http.client.HTTPResponse:
        folder = self.cluster.folder
        context = ssl.create_default_context(cafile=folder / "ca.crt")
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        port = int(self.cluster.server.rpartition(":")[2])
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_LIMIT_SECONDS, context=context
        )
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        if answer.status == 410:
            raise _TooOldError
        if answer.status != 200:  # the kind is not there yet, or the API server is just starting
            raise ConnectionError(f"{answer.status} {answer.reason}")
        return answer
