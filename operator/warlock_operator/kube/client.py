"""
The connection to the apiserver: credentials, requests, errors. The only importer of ``kubernetes``.

What can be asked is in ``verbs`` and ``guarded``; this sends it. Every request has a limit in
time; every failure, of the network too, becomes an error of ours (see ``answers``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from pathlib import Path
from typing import Self

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from warlock_operator.errors import ApiRefused, ApiUnavailable
from warlock_operator.kube import answers, credentials
from warlock_operator.kube.guarded import GuardedWrites
from warlock_operator.kube.verbs import FIELD_MANAGER, Json
from warlock_operator.settings import Settings

TOKEN_REREAD_SECONDS = 60.0  # as client-go; a bound token is renewed minutes before its end
WATCHES = 16
"""Connections beside those of requests: a watch keeps its own for minutes."""


class KubeClient(GuardedWrites):
    """One pool of connections to one apiserver, as one account. ``connect`` makes it."""

    def __init__(self, api: ApiClient, settings: Settings) -> None:
        super().__init__(settings)
        self._api = api
        self._turn = asyncio.Semaphore(settings.api_connections)

    @classmethod
    async def connect(
        cls, settings: Settings, environ: Mapping[str, str] | None = None
    ) -> KubeClient:
        """
        Load the credentials that count (see ``credentials``); nothing is sent yet.

        Raises:
            ApiRefused: there are none, or they can't be read.
        """
        configuration = await _configuration(settings, os.environ if environ is None else environ)
        api = ApiClient(configuration)
        api.user_agent = FIELD_MANAGER
        return cls(api, settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; watches end."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def login(self) -> credentials.Login:
        """How another client reaches the same apiserver as the same account, as of now."""
        used = self._api.configuration
        token = await used.get_api_key_with_prefix("BearerToken") or ""
        return credentials.Login(
            server=used.host,
            ca_file=used.ssl_ca_cert,
            insecure=not used.verify_ssl,
            token=token.rpartition(" ")[2],
            certificate_file=used.cert_file,
            key_file=used.key_file,
        )

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
        """Send one request and give its answer; see ``verbs``."""
        headers = {"Accept": f"application/{accept}"}
        if body is not None:
            headers["Content-Type"] = f"application/{media}"
        limit = self.settings.api_request_timeout_seconds
        # Waiting for a free connection is not the apiserver's silence: with a thousand hosts to
        # begin with, the last in the queue would be given up before they were sent.
        async with self._turn:
            if body is not None and not self.may_write():
                raise ApiUnavailable(f"{method} {path}: not sent, since another may lead by now")
            async with self._sent(method, path, query, headers, body, limit) as answer:
                return dict(json.loads(await answer.read()))

    async def lines(
        self, path: str, query: Mapping[str, str], timeout_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a streamed answer as they come; see ``verbs``."""
        headers = {"Accept": "application/json"}
        async with self._sent("GET", path, query, headers, None, timeout_seconds) as answer:
            async for line in answer.content:
                yield line

    @contextlib.asynccontextmanager
    async def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        body: Json | Sequence[Json] | None,
        timeout_seconds: float,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """A good answer, its body still to be read, its connection given back at the end."""
        what = f"{method} {path}"
        with _translated(what):
            request = await self._api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            limit = aiohttp.ClientTimeout(total=timeout_seconds)
            sent = await self._api.call_api(*request, _request_timeout=limit)
            answer: aiohttp.ClientResponse = sent.response
            async with answer:  # one that is left unread is closed, not reused
                if answer.status >= 300:
                    message = answers.message_of(await answer.read())
                    wait = answers.retry_after(answer.headers)
                    raise answers.error_of(answer.status, message, what, wait)
                yield answer


@contextlib.contextmanager
def _translated(what: str) -> Generator[None, None, None]:
    """Errors of the network, and answers that are no JSON, become ApiUnavailable."""
    try:
        yield
    except TimeoutError as error:
        raise ApiUnavailable(f"{what}: no answer in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ApiUnavailable(f"{what}: {type(error).__name__}: {error}") from error


async def _configuration(settings: Settings, environ: Mapping[str, str]) -> Configuration:
    configuration = Configuration()
    configuration.connection_pool_maxsize = settings.api_connections + WATCHES
    # By default a thread looks for ~/.netrc and proxies at each request: a tenth of the CPU of a
    # start. kopf's watches, which take the same way, heed neither.
    configuration.client_session_kwargs = {"trust_env": False}
    path = credentials.kubeconfig_path(settings.kubeconfig, environ)
    try:
        if path is None:
            load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            return configuration
        await load_kube_config(  # type: ignore[no-untyped-call]
            path, client_configuration=configuration, persist_config=False
        )
        if (token := credentials.token_file(path)) is not None:
            configuration.refresh_api_key_hook = _TokenFile(token)  # type: ignore[assignment]
    except (ConfigException, OSError, ValueError) as error:
        where = path or "the pod's ServiceAccount"
        raise ApiRefused(f"no credentials for the apiserver from {where}: {error}") from error
    return configuration


class _TokenFile:
    """Sets a configuration's token from a file, read again every minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -TOKEN_REREAD_SECONDS

    def __call__(self, configuration: Configuration) -> None:
        if time.monotonic() - self._read_at >= TOKEN_REREAD_SECONDS:
            token = self._path.read_text(encoding="utf-8").strip()
            configuration.api_key["BearerToken"] = f"Bearer {token}"
            self._read_at = time.monotonic()
