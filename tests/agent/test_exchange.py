"""Game queries through the host, with real sockets of this machine."""

from __future__ import annotations

import base64
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from warlock_agent import wire
from warlock_agent.exchange import Exchanges, Slot


class Loop:
    """A selector loop with one set of exchanges, as serve has it."""

    def __init__(self, held: dict[Slot, str]) -> None:
        self.answers: list[wire.Answer] = []
        self.selector = selectors.DefaultSelector()
        self.exchanges = Exchanges(self.selector, self.answers.append, lambda: held)

    def run(self, count: int = 1, seconds: float = 10.0) -> list[wire.Answer]:
        """Turn until *count* answers came."""
        deadline = time.monotonic() + seconds
        while len(self.answers) < count:
            assert time.monotonic() < deadline
            due = self.exchanges.expire()
            for key, mask in self.selector.select(0.1 if due is None else min(due, 0.1)):
                key.data(mask)
        return self.answers


@contextmanager
def udp(answers: tuple[bytes, ...]) -> Iterator[int]:
    """Answer each datagram with *answers*; gives the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def serve() -> None:
            data, peer = server.recvfrom(4096)
            for answer in answers:
                server.sendto(answer + data, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@contextmanager
def tcp(pieces: tuple[bytes, ...], stay: float = 0.0) -> Iterator[int]:
    """Answer one request with *pieces*, and keep the connection for *stay* seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        done = threading.Event()

        def serve() -> None:
            link, _ = server.accept()
            with link:
                data = link.recv(4096)
                for piece in pieces:
                    link.sendall(piece + data)
                done.wait(stay)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        done.set()
        thread.join()


def request(protocol: str, port: int, payload: bytes = b"?", **more: int) -> wire.Exchange:
    return wire.Exchange(7, protocol, port, base64.b64encode(payload).decode(), **more)


def payloads(answer: wire.Answer) -> list[bytes]:
    assert isinstance(answer, wire.Exchanged)
    assert answer.request == 7
    return [base64.b64decode(payload) for payload in answer.payloads]


def test_a_datagram_is_answered_by_one() -> None:
    with udp((b"a",)) as port:
        loop = Loop({("UDP", port): "127.0.0.1"})
        loop.exchanges.begin(request("UDP", port))
        assert payloads(loop.run()[0]) == [b"a?"]


def test_as_many_datagrams_as_were_asked_for_are_awaited() -> None:
    with udp((b"a", b"b", b"c")) as port:
        loop = Loop({("UDP", port): "127.0.0.1"})
        loop.exchanges.begin(request("UDP", port, answers=3))
        assert payloads(loop.run()[0]) == [b"a?", b"b?", b"c?"]


def test_a_port_that_does_not_answer_gives_an_empty_answer_in_time() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        loop = Loop({("UDP", port): "127.0.0.1"})
        began = time.monotonic()
        loop.exchanges.begin(request("UDP", port, timeout_milliseconds=100))
        assert payloads(loop.run()[0]) == []
        assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_a_port_where_nobody_is_gives_an_empty_answer_at_once(protocol: str) -> None:
    kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    loop = Loop({(protocol, port): "127.0.0.1"})
    loop.exchanges.begin(request(protocol, port, timeout_milliseconds=20_000))
    assert payloads(loop.run(seconds=5)[0]) == []


@pytest.mark.parametrize("stay", [0.0, 30.0])
def test_what_comes_over_a_connection_is_one_payload(stay: float) -> None:
    with tcp((b"a", b"b"), stay) as port:
        loop = Loop({("TCP", port): "127.0.0.1"})
        loop.exchanges.begin(request("TCP", port, timeout_milliseconds=20_000))
        assert payloads(loop.run(seconds=5)[0]) == [b"a?b?"]


def test_a_silent_game_keeps_back_no_other() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, udp((b"a",)) as port:
        silent.bind(("127.0.0.1", 0))
        quiet = silent.getsockname()[1]
        loop = Loop({("UDP", port): "127.0.0.1", ("UDP", quiet): "127.0.0.1"})
        loop.exchanges.begin(request("UDP", quiet, timeout_milliseconds=20_000))
        loop.exchanges.begin(request("UDP", port))
        assert payloads(loop.run(seconds=5)[0]) == [b"a?"]
        loop.exchanges.close()
        assert loop.exchanges.expire() is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (wire.Exchange(7, "UDP", 9, "no base64!"), "BadFrame"),
        (wire.Exchange(7, "SCTP", 9, ""), "BadFrame"),
        (request("UDP", 10), "PortNotHeld"),
        (request("TCP", 9), "PortNotHeld"),
    ],
)
def test_what_may_not_be_asked_is_refused(bad: wire.Exchange, reason: str) -> None:
    loop = Loop({("UDP", 9): "127.0.0.1"})
    loop.exchanges.begin(bad)
    (fault,) = loop.answers
    assert isinstance(fault, wire.Fault)
    assert (fault.request, fault.reason) == (7, reason)
