"""
A port on loopback that stands for a game's port: what a query library sends to it, the game gets.

One relay a query. Behind it is either a socket straight to the game, or the host's own agent, for
ports that can't be reached from outside. It is in the way on purpose: a game is a tenant's
program, so what may come back is bounded here, in bytes and in kind, before a parser sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, cast

from warlock_operator.errors import OperatorError

LOOPBACK = "127.0.0.1"
ANSWER_BYTES = 256 * 1024
"""Arbitrary: 64 names with all that servers say about each are about 10 KiB."""

_TCP_QUIET_SECONDS = 0.05
_CHUNK_BYTES = 64 * 1024

Through = Callable[[bytes], Awaitable[tuple[bytes, ...]]]
"""Asks the game through its host: a payload there, what came back."""


class Unanswered(Exception):
    """The game's port refuses, or the host can't ask it: no need to wait any longer."""


class Relay(Protocol):
    """A relay that is open. port: on :data:`LOOPBACK`."""

    port: int

    async def failed(self) -> None:
        """Return never, but raise Unanswered once it is clear that nothing will come."""


class _Budget:
    """What may still come back."""

    def __init__(self) -> None:
        self._left_bytes = ANSWER_BYTES

    def spend(self, data: bytes) -> None:
        """Count *data*. Raises ConnectionError: there has been more than enough."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise ConnectionError(f"the answer is longer than {ANSWER_BYTES} bytes")


def suspicious(datagram: bytes) -> bool:
    """
    Tell a compressed piece of a Source answer: a few bytes of bzip2 may be gigabytes unpacked.

    The header of a split packet is -2, then the answer's id with its top bit set when compressed.
    Servers of 2006 sent these; none does today.
    """
    return datagram[:4] == b"\xfe\xff\xff\xff" and len(datagram) > 7 and datagram[7] >= 0x80


class _Base:
    port = 0

    def __init__(self) -> None:
        self._budget = _Budget()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def failed(self) -> None:
        await asyncio.shield(self._failure)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(Unanswered(str(error)))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (OSError, OperatorError) as error:
            self._fail(error)

    async def _stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail(ConnectionError("closed"))
        self._failure.exception()  # retrieved: nobody may have waited


class _Udp(_Base, asyncio.DatagramProtocol):
    """The side of the query; *send* takes its datagrams to the game."""

    def __init__(self, through: Through | None) -> None:
        super().__init__()
        self._through = through
        self._peer: tuple[str, int] | None = None
        self._near: asyncio.DatagramTransport | None = None
        self.far: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._near = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._peer = addr
        if self.far is not None:
            self.far.sendto(data)
        elif self._through is not None:
            self._start(self._ask(self._through, data))

    def answer(self, data: bytes) -> None:
        """Hand the game's datagram to the query."""
        if self._near is None or self._peer is None or suspicious(data):
            return
        try:
            self._budget.spend(data)
        except ConnectionError as error:
            self._fail(error)
        else:
            self._near.sendto(data, self._peer)

    async def _ask(self, through: Through, data: bytes) -> None:
        answers = await through(data)
        if not answers:
            self._fail(TimeoutError("no answer"))
        for one in answers:
            self.answer(one)


class _Far(asyncio.DatagramProtocol):
    """The side of the game, when it is asked directly."""

    def __init__(self, near: _Udp) -> None:
        self._near = near

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._near.answer(data)

    def error_received(self, exc: Exception) -> None:
        self._near._fail(exc)


@contextlib.asynccontextmanager
async def udp(address: str, port: int, through: Through | None) -> AsyncIterator[Relay]:
    """
    Open a relay for datagrams.

    Args:
        address: of the game, where it is asked directly.
        port: of the game.
        through: asks through the host; None: directly.

    Raises:
        OSError: no such address, or no socket left.
    """
    loop = asyncio.get_running_loop()
    relay = _Udp(through)
    near, _ = await loop.create_datagram_endpoint(lambda: relay, local_addr=(LOOPBACK, 0))
    relay.port = near.get_extra_info("sockname")[1]
    try:
        if through is None:
            relay.far, _ = await loop.create_datagram_endpoint(
                lambda: _Far(relay), remote_addr=(address, port)
            )
        yield relay
    finally:
        await relay._stop()
        for transport in (near, relay.far):
            if transport is not None:
                transport.close()


class _Tcp(_Base):
    def __init__(self, address: str, port: int, through: Through | None) -> None:
        super().__init__()
        self._address, self._far_port = address, port
        self._through = through

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serve = self._direct if self._through is None else self._by_host
        self._start(self._served(serve(reader, writer), writer))

    async def _served(self, work: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> None:
        try:
            await work
        finally:
            writer.close()

    async def _direct(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._address, self._far_port)
        try:
            self._start(self._ask(reader, far_writer))
            while data := await far_reader.read(_CHUNK_BYTES):
                await self._give(data, writer)
        finally:
            far_writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()

    async def _by_host(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._through is not None
        for data in await self._through(await _whole(reader)):
            await self._give(data, writer)

    async def _give(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        self._budget.spend(data)
        writer.write(data)
        await writer.drain()


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """Read a request: it is whole when nothing more follows at once."""
    request = await reader.read(_CHUNK_BYTES)
    with contextlib.suppress(TimeoutError):
        while len(request) < _CHUNK_BYTES:
            async with asyncio.timeout(_TCP_QUIET_SECONDS):
                more = await reader.read(_CHUNK_BYTES)
            if not more:
                break
            request += more
    return request


@contextlib.asynccontextmanager
async def tcp(address: str, port: int, through: Through | None) -> AsyncIterator[Relay]:
    """Open a relay for connections; as :func:`udp`. Through a host: one question, one answer."""
    relay = _Tcp(address, port, through)
    server = await asyncio.start_server(relay.accept, LOOPBACK, 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay._stop()
