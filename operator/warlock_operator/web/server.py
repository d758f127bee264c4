"""
``/healthz``: the event loop turns. ``/readyz``: this process leads and has seen every object.
``/metrics``: for Prometheus. None of them depends on a host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web


@dataclass
class Health:
    """What the probes say. waiting_for: empty once the process serves."""

    waiting_for: str = "the three kinds to be installed"
    metrics: Callable[[], bytes] | None = None


@asynccontextmanager
async def served(health: Health, address: str, port: int) -> AsyncIterator[None]:
    """Serve probes and metrics for as long as the context is open."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if health.waiting_for:
            return web.Response(status=503, text=f"waiting for {health.waiting_for}\n")
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        body = health.metrics() if health.metrics else b""
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()
