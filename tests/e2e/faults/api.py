"""Read objects from the API server often and cheaply: one open connection a thread."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

from labkit.cluster import Cluster
from tests.e2e.world import Object

_PREFIX = "/apis/warlock.dev/v1alpha1"
_LIMIT_SECONDS = 5.0


@dataclass
class Api:
    """The administrator's view of the three kinds."""

    port: int
    folder: Path
    _local: threading.local = field(default_factory=threading.local)

    @classmethod
    def of(cls, cluster: Cluster) -> Api:
        """Make one for the lab's own control plane."""
        return cls(int(cluster.server.rpartition(":")[2]), cluster.folder)

    def host(self, name: str) -> Object:
        """Give a GameHost; empty where it is gone, or the API server is away."""
        return self._get(f"{_PREFIX}/gamehosts/{name}")

    def instance(self, namespace: str, name: str) -> Object:
        """Give a GameInstance; likewise."""
        return self._get(f"{_PREFIX}/namespaces/{namespace}/gameinstances/{name}")

    def instances(self) -> list[Object]:
        """Give every GameInstance."""
        found: list[Object] = self._get(f"{_PREFIX}/gameinstances").get("items", [])
        return found

    def _get(self, path: str) -> Object:
        for _ in range(2):  # a connection that was kept open may have been closed meanwhile
            try:
                return self._ask(path)
            except (OSError, http.client.HTTPException):
                self._local.connection = None
        return {}

    def _ask(self, path: str) -> Object:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            context = ssl.create_default_context(cafile=self.folder / "ca.crt")
            context.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=_LIMIT_SECONDS, context=context
            )
            self._local.connection = connection
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        found: Object = json.loads(data) if answer.status == 200 else {}
        return found
