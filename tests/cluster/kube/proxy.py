"""A small HTTP proxy in front of the apiserver that refuses, swallows or delays what it is told."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from aiohttp import web

from warlock_operator.kube.credentials import Login

Headers = dict[str, str]
HOP_BY_HOP = {"transfer-encoding", "content-length", "connection", "host"}


@dataclass
class Fault:
    """
    What becomes of a request.

    Attributes:
        status: answer this instead, with *body*; 0: pass the request on.
        late_seconds: pass it on, and hold the answer back for so long.
        lose_answer: pass it on, but close the connection in place of the answer.
    """

    status: int = 0
    retry_after: str = ""
    body: str = '{"message": "injected"}'
    lose_answer: bool = False
    delay_seconds: float = 0.0
    late_seconds: float = 0.0


@dataclass
class Proxy:
    """
    Attributes:
        fault: decides by method and path; None: none.
        edit_list: changes the answer to a list of whole objects, given its path.
        seen: (method, path) of every request that came.
        at_once: by path, how many requests were under way at the same time at most.
        requests: likewise, with whether it asked to watch.
        passed: likewise, of those that reached the apiserver.
    """

    login: Login
    fault: Callable[[str, str], Fault | None] = lambda method, path: None
    edit_list: Callable[[str, dict[str, Any]], None] | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    passed: list[tuple[str, str]] = field(default_factory=list)
    at_once: Counter[str] = field(default_factory=Counter)
    requests: list[tuple[str, str, bool]] = field(default_factory=list)
    address: str = ""

    async def __aenter__(self) -> Self:
        self._open: Counter[str] = Counter()
        self._session = _session(self.login)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def log_in(self, login: Login) -> None:
        """Pass requests on as somebody else from now on."""
        await self._session.close()
        self.login = login
        self._session = _session(login)

    @property
    def watches(self) -> int:
        """How many of the requests seen asked to watch."""
        return sum(watch for _, _, watch in self.requests)

    async def drop_connections(self) -> None:
        """Cut everything that is open, streams in the middle."""
        for connection in list(self._runner.server.connections if self._runner.server else []):
            if connection.transport is not None:
                connection.transport.abort()

    def count(self, method: str, ending: str = "") -> int:
        """How many such requests reached the apiserver."""
        return sum(m == method and p.endswith(ending) for m, p in self.passed)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._open[request.path] += 1
        self.at_once[request.path] = max(self.at_once[request.path], self._open[request.path])
        try:
            return await self._answer(request)
        finally:
            self._open[request.path] -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = (request.method, request.path)
        self.seen.append(key)
        self.requests.append((*key, "watch" in request.query))
        fault = self.fault(*key) or Fault()
        await asyncio.sleep(fault.delay_seconds)
        if fault.status:
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            return web.Response(status=fault.status, headers=headers, text=fault.body)
        self.passed.append(key)
        return await self._pass_on(request, fault)

    async def _pass_on(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        if self.login.token:
            headers["Authorization"] = f"Bearer {self.login.token}"
        sent = self._session.request(
            request.method,
            self.login.server + request.path_qs,
            data=await request.read() or None,  # an empty body would get a type of its own
            headers=headers,
        )
        async with sent as answer:
            await asyncio.sleep(fault.late_seconds)
            if fault.lose_answer and request.transport is not None:
                await answer.read()
                request.transport.abort()
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
            if self.edit_list is not None and _lists_objects(request):
                return self._edited(self.edit_list, request.path, await answer.read(), kept)
            back = web.StreamResponse(status=answer.status, headers=kept)
            await back.prepare(request)
            async for chunk in answer.content.iter_any():
                await back.write(chunk)
            return back

    def _edited(
        self, edit: Callable[[str, dict[str, Any]], None], path: str, data: bytes, kept: Headers
    ) -> web.Response:
        packed = kept.pop("Content-Encoding", "") == "gzip"
        found = json.loads(gzip.decompress(data) if packed else data)
        edit(path, found)
        return web.Response(body=json.dumps(found).encode(), headers=kept)


def _lists_objects(request: web.Request) -> bool:
    """Whether it is answered with a list, and not with one of names alone."""
    names_alone = "PartialObjectMetadata" in request.headers.get("Accept", "")
    return request.method == "GET" and "watch" not in request.query and not names_alone


def _session(login: Login) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=_tls(login), limit=0)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False)


def _tls(login: Login) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=login.ca_file)
    if login.certificate_file:
        context.load_cert_chain(login.certificate_file, login.key_file)
    return context
