"""Whatever answers at an address is a host that can't be reached, and nothing worse."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport.conftest import SETTINGS, line_of
from warlock_operator.errors import HostUnreachable, OperatorError
from warlock_operator.transport import lookup
from warlock_operator.transport.link import LinkTarget
from warlock_operator.transport.lookup import Lookups
from warlock_operator.transport.ssh import SshLinks

LIMITS = replace(SETTINGS, connect_timeout_seconds=1.0)
_KEY = asyncssh.generate_private_key("ssh-ed25519")


@asynccontextmanager
async def stranger(says: bytes) -> AsyncIterator[int]:
    """Something that says *says* to whoever connects, and hangs up; gives its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def target(address: str, port: int) -> LinkTarget:
    private = _KEY.export_private_key("openssh")
    return LinkTarget("host-a", address, port, private_key=private, host_keys=(line_of(_KEY),))


async def meets(says: bytes) -> OperatorError:
    async with stranger(says) as port:
        with pytest.raises(HostUnreachable) as caught:
            await SshLinks(LIMITS).dial(target("127.0.0.1", port))
    return caught.value


@pytest.mark.parametrize(
    "says",
    [
        # The last but one is the beginning of a key exchange, and then nothing of one.
        b"SSH-2.0-caf\xe9\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 5000,
        b"SSH-2.0-x\r\n" + b"\x00\x00\x00\x0c\x0a\x14" + b"\xff" * 64,
        b"",
    ],
)
async def test_what_speaks_no_ssh_is_a_host_out_of_reach(says: bytes) -> None:
    assert "127.0.0.1 port" in str(await meets(says))


@given(st.sampled_from([b"", b"SSH-2.0-", b"SSH-2.0-x\r\n"]), st.binary(max_size=200))
def test_no_bytes_of_a_stranger_are_another_error(greeting: bytes, rest: bytes) -> None:
    asyncio.run(asyncio.wait_for(meets(greeting + rest), 20))


async def test_a_name_that_is_none_is_a_host_out_of_reach() -> None:
    links = SshLinks(LIMITS)
    with pytest.raises(HostUnreachable, match="is no DNS name") as caught:
        await links.dial(target(f"{'a' * 64}.example", 22))
    assert caught.value.silent
    assert not await links.answers(f"{'a' * 64}.example", 22)


# --- names whose servers do not answer ---


class Resolver:
    """In the system's place: answers for ``live``, and keeps all others waiting until the end."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hundred, self.end = threading.Event(), threading.Event()

    def __call__(self, name: str) -> list[lookup.Place]:
        self.asked.append(name)
        if len(self.asked) == 100:
            self.hundred.set()
        if name != "live":
            self.end.wait(30)
        return [(socket.AF_INET, "127.0.0.1")]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(lookup, "_resolved", made)
    yield made
    made.end.set()


async def test_dead_names_keep_no_other_waiting(resolver: Resolver) -> None:
    lookups = Lookups()
    dead = [asyncio.create_task(lookups.places(f"dead-{number}")) for number in range(100)]
    assert await asyncio.to_thread(resolver.hundred.wait, 10)
    async with asyncio.timeout(5):
        assert await lookups.places("live") == [(socket.AF_INET, "127.0.0.1")]
        # Nor what is run in asyncio's own threads, where keys are read.
        assert await asyncio.to_thread(int, "7") == 7
    for task in dead:
        task.cancel()
    await asyncio.gather(*dead, return_exceptions=True)


async def test_one_lookup_of_a_name_is_under_way_at_a_time(resolver: Resolver) -> None:
    lookups = Lookups()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lookups.places("dead")
    last = asyncio.create_task(lookups.places("dead"))
    await asyncio.sleep(0)
    resolver.end.set()
    assert await last == [(socket.AF_INET, "127.0.0.1")]
    assert resolver.asked == ["dead"]
    await lookups.places("dead")
    assert resolver.asked == ["dead", "dead"]


async def test_an_address_is_not_looked_up(resolver: Resolver) -> None:
    assert await Lookups().places("2001:db8::1") == [(socket.AF_INET6, "2001:db8::1")]
    assert resolver.asked == []


async def test_a_name_is_looked_up_by_the_system() -> None:
    assert (socket.AF_INET, "127.0.0.1") in await Lookups().places("localhost")
