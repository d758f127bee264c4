"""
Addresses of names, looked up beside everything else.

The system's resolver blocks for as long as a name's servers are silent, 40 s where there are
several and search domains, and asyncio has six threads for everything on two cores: six dead names
held up every host. So a lookup has a thread of its own here, one a name at a time: who asks again
meanwhile waits for the same one. The threads are daemons: the end of the process waits for none.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from functools import partial

Place = tuple[socket.AddressFamily, str]
"""An address as a number, and its family."""

IN_FLIGHT = 256
"""Arbitrary: a thread that waits for a resolver takes 30 kB."""


class Lookups:
    """Of one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[list[Place]]] = {}
        self._turn = asyncio.Semaphore(IN_FLIGHT)

    async def places(self, address: str) -> list[Place]:
        """
        Give the addresses that *address*, a number or a name, stands for.

        Raises:
            OSError: the name stands for none, or nobody knows; a gaierror in most cases.
            UnicodeError: it is no name: a part of it is longer than 63 characters.
        """
        try:
            numeric = ipaddress.ip_address(address)
        except ValueError:
            return await asyncio.shield(self._lookup(address))
        return [(socket.AF_INET if numeric.version == 4 else socket.AF_INET6, address)]

    def _lookup(self, name: str) -> asyncio.Task[list[Place]]:
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.create_task(self._look(name))
            task.add_done_callback(partial(self._over, name))
        return task

    def _over(self, name: str, task: asyncio.Task[list[Place]]) -> None:
        del self._under_way[name]
        if not task.cancelled():
            task.exception()  # retrieved: those who asked may have given up

    async def _look(self, name: str) -> list[Place]:
        async with self._turn:
            return await _in_a_thread(lambda: _resolved(name), f"lookup of {name}")


def _resolved(name: str) -> list[Place]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [(family, str(place[0])) for family, _, _, _, place in found]


async def _in_a_thread(work: Callable[[], list[Place]], name: str) -> list[Place]:
    loop = asyncio.get_running_loop()
    made: asyncio.Future[list[Place]] = loop.create_future()

    def tell(result: list[Place], error: Exception | None) -> None:
        if made.done():  # cancelled meanwhile
            return
        if error is None:
            made.set_result(result)
        else:
            made.set_exception(error)

    def run() -> None:
        result: list[Place] = []
        error: Exception | None = None
        try:
            result = work()
        except Exception as raised:  # for whoever awaits it
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await made
