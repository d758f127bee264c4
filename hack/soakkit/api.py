"""The API server as people use it: what fails is tried again until it works. Threads share it."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from typing import Any

from labkit.cluster import Cluster
from labkit.errors import LabError

Object = dict[str, Any]
PREFIX = "/apis/warlock.dev/v1alpha1"
GONE = 404
CONFLICT = 409
_ANSWER_SECONDS = 10.0
_AGAIN_SECONDS = 0.3
PATIENCE_SECONDS = 180.0


class Api:
    """An administrator's calls; one connection a thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._port = int(cluster.server.rpartition(":")[2])
        self._context = ssl.create_default_context(cafile=cluster.folder / "ca.crt")
        self._context.load_cert_chain(cluster.folder / "admin.crt", cluster.folder / "admin.key")
        self._local = threading.local()

    def get(self, path: str) -> Object:
        """Give an object or a list; empty where it is gone."""
        status, found = self._patiently("GET", path, None, {GONE})
        return {} if status == GONE else found

    def patch(self, path: str, patch: Object) -> None:
        """Merge *patch* into an object."""
        self._patiently("PATCH", path, patch, set())

    def delete(self, path: str) -> None:
        """Ask for an object's deletion."""
        self._patiently("DELETE", path, None, {GONE})

    def create(self, path: str, made: Object) -> None:
        """Make an object; one of that name that is being deleted is waited for."""
        name = made["metadata"]["name"]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._patiently("POST", path, made, {CONFLICT})[0] == CONFLICT:
            there = self.get(f"{path}/{name}")
            if there and "deletionTimestamp" not in there["metadata"]:
                return  # an answer of before was lost
            if time.monotonic() > deadline:
                raise LabError(f"{name} is not gone after {PATIENCE_SECONDS:.0f} s")
            time.sleep(_AGAIN_SECONDS)

    def _patiently(
        self, verb: str, path: str, body: Object | None, allowed: set[int]
    ) -> tuple[int, Object]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                status, found = self._ask(verb, path, body)
            except (OSError, http.client.HTTPException) as error:
                self._local.connection = None
                status, found = 0, {"message": repr(error)}
            if 200 <= status < 300 or status in allowed:
                return status, found
            # 0 and 5xx: it is away, or only just back.
            passes = status == 0 or status >= 500 or status == 429
            if not passes or time.monotonic() > deadline:
                raise LabError(f"{verb} {path}: {status} {found.get('message', '')}")
            time.sleep(_AGAIN_SECONDS)

    def _ask(self, verb: str, path: str, body: Object | None) -> tuple[int, Object]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=_ANSWER_SECONDS, context=self._context
            )
            self._local.connection = connection
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        data = json.dumps(body) if body is not None else None
        connection.request(verb, path, data, {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read()
        found: Object = json.loads(text) if text[:1] == b"{" else {"message": text.decode()}
        return answer.status, found
