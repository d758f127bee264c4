"""
The TCP connection below SSH, made apart from it: whoever does not answer at all is told by that.

A connection that was made takes one of sshd's places (MaxStartups) until somebody has logged in or
it is closed, so one that only looks is closed at once.
"""

from __future__ import annotations

import asyncio
import os
import socket

from warlock_operator.errors import HostUnreachable
from warlock_operator.transport.lookup import Lookups, Place


async def connected(
    lookups: Lookups, address: str, port: int, limit_seconds: float
) -> socket.socket:
    """
    Connect to the first of the places that *address* stands for which takes it.

    Raises:
        HostUnreachable: none did; it says so of itself (``silent``).
    """
    where = f"{address} port {port}"
    try:
        async with asyncio.timeout(limit_seconds):
            return await _first_of(await lookups.places(address), port)
    except TimeoutError as error:
        text = f"{where} did not answer within {limit_seconds:g} s"
        raise HostUnreachable(text, silent=True) from error
    except OSError as error:
        # The resolver's errors have numbers of their own.
        plain = error.errno is not None and not isinstance(error, socket.gaierror)
        why = os.strerror(error.errno) if plain and error.errno else error.strerror or str(error)
        raise HostUnreachable(f"{where}: {why}", silent=True) from error
    except UnicodeError as error:
        raise HostUnreachable(f"{where} is no DNS name: {error}", silent=True) from error


async def speaks(peer: socket.socket, limit_seconds: float) -> bool:
    """Whether the far end says anything in time, or hangs up; nothing of it is read."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(peer, readable.set)
    try:
        async with asyncio.timeout(limit_seconds):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(peer)
    return True


async def answers(lookups: Lookups, address: str, port: int, limit_seconds: float) -> bool:
    """Whether something takes a connection there; it is closed at once."""
    try:
        peer = await connected(lookups, address, port, limit_seconds)
    except HostUnreachable:
        return False
    peer.close()
    return True


async def _first_of(places: list[Place], port: int) -> socket.socket:
    why: OSError = OSError("no address")
    for family, address in places:
        peer = socket.socket(family, socket.SOCK_STREAM)
        try:
            peer.setblocking(False)
            await asyncio.get_running_loop().sock_connect(peer, (address, port))
        except OSError as error:
            peer.close()
            why = error
        except BaseException:
            peer.close()
            raise
        else:
            return peer
    raise why
