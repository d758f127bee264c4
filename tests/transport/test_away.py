"""Hosts that don't answer: found out below SSH, and none is waited for at another's expense."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from tests.black_hole import black_hole
from tests.transport.conftest import SETTINGS, Host
from warlock_operator.errors import HostUnreachable, OperatorError
from warlock_operator.transport.ssh import SshLinks


def refusing_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def failure(host: Host) -> OperatorError:
    with pytest.raises(OperatorError) as raised:
        await host.link().open()
    return raised.value


@contextlib.contextmanager
def mute() -> Iterator[socket.socket]:
    """Give what takes connections and says nothing, as an sshd does that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening


@pytest.mark.parametrize("kind", [black_hole, mute])
async def test_who_says_nothing_takes_no_place_from_a_host_that_answers(
    host: Host, kind: Callable[[], AbstractContextManager[socket.socket]]
) -> None:
    settings = replace(host.settings, connects_in_flight=1, connects_per_address=100)
    links = SshLinks(settings, host.archive)
    with kind() as hole:
        silent = replace(host.target, host="dead", port=hole.getsockname()[1])
        dead = [links.connect(silent, lambda _: None, lambda _: None) for _ in range(50)]
        opening = [asyncio.create_task(link.open()) for link in dead]
        await asyncio.sleep(0.2)
        link = links.connect(host.target, lambda _: None, lambda _: None)
        host.links.append(link)
        started = time.monotonic()
        await link.open()
        took = time.monotonic() - started
        assert not any(task.done() for task in opening)
        print(f"connected in {took * 1000:.0f} ms while 50 others waited for nothing")
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)


async def test_what_takes_no_connection_is_silent_whatever_the_cause(host: Host) -> None:
    host.settings = replace(SETTINGS, connect_timeout_seconds=0.5)
    with black_hole() as hole:
        host.retarget(port=hole.getsockname()[1])
        error = await failure(host)
        assert isinstance(error, HostUnreachable)
        assert error.silent
        assert "did not answer within 0.5 s" in str(error)
    host.retarget(port=refusing_port())
    error = await failure(host)
    assert isinstance(error, HostUnreachable)
    assert error.silent
    assert "Connection refused" in str(error)
    host.retarget(address="no-such-host.invalid")
    error = await failure(host)
    assert isinstance(error, HostUnreachable)
    assert error.silent


async def test_what_takes_a_connection_and_says_nothing_is_not_silent(host: Host) -> None:
    host.settings = replace(SETTINGS, connect_timeout_seconds=0.5)
    with mute() as listening:
        host.retarget(port=listening.getsockname()[1])
        error = await failure(host)
    assert isinstance(error, HostUnreachable)
    # A bare connect would succeed each time: its success is no news.
    assert not error.silent
    assert "takes a connection" in str(error)


async def test_a_probe_says_whether_something_listens_and_lets_go_at_once(host: Host) -> None:
    links = SshLinks(replace(SETTINGS, probe_timeout_seconds=0.5), host.archive)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert await links.answers("127.0.0.1", port)
        peer, _ = listening.accept()
        with peer:
            assert peer.recv(1) == b""
    assert not await links.answers("127.0.0.1", port)
    with black_hole() as hole:
        assert not await links.answers("127.0.0.1", hole.getsockname()[1])
