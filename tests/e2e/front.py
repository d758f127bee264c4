"""The HTTP proxy of ``tests/cluster`` in front of the API server, in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from tests.cluster.kube.proxy import Fault, Proxy
from warlock_operator.kube.credentials import Login

_START_SECONDS = 10.0
_KINDS = ("/gameinstances", "/gamehosts", "/games")


class Front:
    """
    refused, expired: how many calls were answered so, in place of the API server.

    asked: names of what is kept back and was asked for by name.
    """

    def __init__(self, kubeconfig: Path) -> None:
        """kubeconfig: the operator's own; calls are passed on as that account."""
        self._config: dict[str, Any] = json.loads(kubeconfig.read_text())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._proxy = Proxy(self._login(kubeconfig.with_name("ca.crt")))
        self._left = 0
        self.refused = 0
        self.expired = 0
        self.asked: list[str] = []

    def start(self) -> Self:
        """Listen; passes everything on at first."""
        self._thread.start()
        self._do(self._proxy.__aenter__())
        return self

    def stop(self) -> None:
        """End."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads here."""
        made = json.loads(json.dumps(self._config))
        made["clusters"][0]["cluster"] = {"server": self._proxy.address}
        file = folder / "kubeconfig.front"
        file.write_text(json.dumps(made))
        return file

    def refuse_a_third(self) -> Self:
        """Answer 429 or 500 to a third of all calls; not to every third, which may be one thing."""
        chance = random.Random(3)

        def fault(_method: str, _path: str) -> Fault | None:
            status = chance.choice((0, 0, 0, 0, 429, 500))
            self.refused += bool(status)
            return Fault(status=status) if status else None

        self._proxy.fault = fault
        return self

    def expire(self, count: int) -> None:
        """Answer 410 to so many lists and watches of our kinds, and cut what is open."""
        self._left = count

        def fault(method: str, path: str) -> Fault | None:
            if method != "GET" or not path.endswith(_KINDS) or not self._left:
                return None
            self._left -= 1
            self.expired += 1
            return Fault(status=410)

        self._proxy.fault = fault
        self.cut()

    def cut(self) -> None:
        """Cut every connection that is open."""
        self._do(self._proxy.drop_connections())

    def keep_back(self, names: Collection[str]) -> Self:
        """Leave these instances out of every list, and answer 503 where they are asked for."""

        def fault(method: str, path: str) -> Fault | None:
            name = path.rpartition("/gameinstances/")[2]
            if method != "GET" or name not in names:
                return None
            self.asked.append(name)
            return Fault(status=503)

        def edit(path: str, found: dict[str, Any]) -> None:
            if path.endswith("/gameinstances"):
                items = found["items"]
                found["items"] = [each for each in items if each["metadata"]["name"] not in names]

        self._proxy.fault, self._proxy.edit_list = fault, edit
        return self

    def heal(self) -> None:
        """Pass everything on."""
        self._proxy.fault, self._proxy.edit_list = (lambda _method, _path: None), None

    def _login(self, ca_file: Path) -> Login:
        cluster = self._config["clusters"][0]["cluster"]
        if "certificate-authority-data" in cluster:
            ca_file.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        else:
            ca_file = Path(cluster["certificate-authority"])
        token = self._config["users"][0]["user"]["token"]
        return Login(cluster["server"], str(ca_file), False, token, None, None)

    async def _end(self) -> None:
        """End the proxy, and requests that are under way with it."""
        await self._proxy.__aexit__()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)
