"""One connection: replies find their callers, signals their queue, and rubbish ends it cleanly."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.dbus_peer import Peer, peer
from tests.agent.dbus_values import bare, bodies
from warlock_agent import dbus
from warlock_agent.dbus import Connection, DBusDisconnected, DBusError, DBusTimeout
from warlock_agent.marshal import DBusProtocolError, marshal
from warlock_agent.message import (
    CALL,
    ERROR,
    MAX_MESSAGE_BYTES,
    RETURN,
    SIGNAL,
    Message,
    decode,
    encode,
    message_length,
)

_WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


def _reply(call: Message, text: str) -> bytes:
    body = marshal("s", (text,))
    return encode(Message(RETURN, 1, body, reply_serial=call.serial, signature="s"))


def _signal(number: int) -> bytes:
    body = marshal("u", (number,))
    return encode(Message(SIGNAL, 9, body, "/a", "a.b", "Ticked", signature="u"))


def _call(link: Connection, member: str = "Say") -> int:
    return link.send("", "/a", "a.b", member)


# --- messages ---


@st.composite
def _messages(draw: st.DrawFn) -> tuple[Message, tuple[Any, ...]]:
    signature, values = draw(bodies())
    message = Message(
        kind=draw(st.sampled_from((CALL, RETURN, ERROR, SIGNAL))),
        serial=draw(st.integers(1, 2**32 - 1)),
        body=marshal(signature, values),
        path=draw(_WORDS),
        interface=draw(_WORDS),
        member=draw(_WORDS),
        error_name=draw(_WORDS),
        reply_serial=draw(st.integers(0, 2**32 - 1)),
        destination=draw(_WORDS),
        sender=draw(_WORDS),
        signature=signature,
    )
    return message, values


@given(_messages())
def test_a_message_is_read_back(made: tuple[Message, tuple[Any, ...]]) -> None:
    message, values = made
    assert decode(encode(message)) == message
    assert message.arguments() == bare(values)


@given(_messages())
def test_a_cut_message_is_waited_for_or_refused(made: tuple[Message, tuple[Any, ...]]) -> None:
    data = encode(made[0])
    for length in range(len(data)):
        assert message_length(data[:length]) in (0, len(data))
        with pytest.raises(DBusProtocolError):
            decode(data[:length])


@given(_messages(), st.data())
def test_a_damaged_message_is_read_or_refused(
    made: tuple[Message, tuple[Any, ...]], data: st.DataObject
) -> None:
    damaged = bytearray(encode(made[0]))
    for _ in range(4):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DBusProtocolError):
        decode(bytes(damaged)).arguments()


def test_another_byte_order_is_refused_not_misread() -> None:
    data = encode(Message(RETURN, 1, reply_serial=1))
    assert decode(data).serial == 1
    with pytest.raises(DBusProtocolError, match="little-endian"):
        decode(b"B" + data[1:])


def test_an_oversized_message_is_refused_before_it_is_taken_in() -> None:
    head = b"l\x02\x00\x01" + (MAX_MESSAGE_BYTES).to_bytes(4, "little") + bytes(8)
    with pytest.raises(DBusProtocolError, match="over the limit"):
        message_length(head)


# --- a connection ---


def test_the_kernel_s_word_for_who_we_are_is_enough(tmp_path: Path) -> None:
    lines = []

    def script(it: Peer) -> None:
        lines.append(it.authenticate())
        it.send(_reply(it.receive(), "hello"))

    with peer(tmp_path, script) as path:
        link = Connection(path)
        assert link.call("", "/a", "a.b", "Say", timeout_seconds=5) == ("hello",)
        link.close()
    assert lines[0].startswith(b"\0AUTH EXTERNAL ")


def test_a_refused_authentication_is_told(tmp_path: Path) -> None:
    def script(it: Peer) -> None:
        it.authenticate(b"REJECTED EXTERNAL\r\n")

    with peer(tmp_path, script) as path, pytest.raises(DBusDisconnected, match="REJECTED"):
        Connection(path)


def test_replies_out_of_order_find_their_calls_and_signals_their_queue(tmp_path: Path) -> None:
    def script(it: Peer) -> None:
        it.authenticate()
        calls = [it.receive() for _ in range(3)]
        it.send(_signal(1))
        for call in reversed(calls):
            it.send(_reply(call, call.member) + _signal(2))

    with peer(tmp_path, script) as path:
        link = Connection(path)
        serials = [_call(link, member) for member in ("A", "B", "C")]
        assert link.collect(serials, 5) == [("A",), ("B",), ("C",)]
        assert [s.arguments() for s in link.take_signals()][:3] == [(1,), (2,), (2,)]
        link.close()


def test_bytes_may_come_one_at_a_time(tmp_path: Path) -> None:
    def script(it: Peer) -> None:
        it.authenticate()
        for byte in _signal(7) + _reply(it.receive(), "late"):
            it.send(bytes((byte,)))

    with peer(tmp_path, script) as path:
        link = Connection(path)
        assert link.collect([_call(link)], 5) == [("late",)]
        assert [s.arguments() for s in link.take_signals()] == [(7,)]
        link.close()


def test_an_error_reply_carries_name_and_message(tmp_path: Path) -> None:
    def script(it: Peer) -> None:
        it.authenticate()
        body = marshal("s", ("no such thing",))
        serial = it.receive().serial
        it.send(
            encode(Message(ERROR, 1, body, error_name="a.No", reply_serial=serial, signature="s"))
        )

    with peer(tmp_path, script) as path:
        link = Connection(path)
        with pytest.raises(DBusError, match="no such thing") as caught:
            link.call("", "/a", "a.b", "Say")
        assert caught.value.name == "a.No"
        link.close()


def test_a_late_answer_is_dropped_and_the_connection_lives_on(tmp_path: Path) -> None:
    def script(it: Peer) -> None:
        it.authenticate()
        late = it.receive()
        it.send(_reply(late, "late") + _reply(it.receive(), "in time"))

    with peer(tmp_path, script) as path:
        link = Connection(path)
        before = time.monotonic()
        with pytest.raises(DBusTimeout):
            link.collect([_call(link)], 0.05)
        assert time.monotonic() - before < 5
        assert link.collect([_call(link)], 5) == [("in time",)]
        assert not link._replies, "kept, although nobody will ever ask for it"
        link.close()


@pytest.mark.parametrize(
    ("rubbish", "error"),
    [
        (b"B\x02\0\x01" + bytes(12), DBusProtocolError),
        (b"l\x02\0\x01" + b"\xff" * 12, DBusProtocolError),
        (b"l\x09\0\x01" + bytes(4) + b"\1\0\0\0" + bytes(4), DBusProtocolError),
        (b"", DBusDisconnected),
    ],
    ids=["big endian", "huge", "no kind", "hangs up"],
)
def test_a_broken_peer_closes_the_connection(
    tmp_path: Path, rubbish: bytes, error: type[Exception]
) -> None:
    def script(it: Peer) -> None:
        it.authenticate()
        it.receive()
        it.send(rubbish)
        it.close()

    with peer(tmp_path, script) as path:
        link = Connection(path)
        with pytest.raises(error):
            link.collect([_call(link)], 5)
        assert link.fileno() == -1
        with pytest.raises(DBusDisconnected):
            link.process()


def test_two_full_buffers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Both sides send far more than a socket holds before either reads."""
    many = 3000

    def script(it: Peer) -> None:
        it.authenticate()
        for _ in range(many):
            it.send(_reply(it.receive(), "x" * 2000))

    with peer(tmp_path, script) as path:
        link = Connection(path)
        body = ("y" * 2000,)
        serials = [link.send("", "/a", "a.b", "Say", "s", body) for _ in range(many)]
        assert len(link.collect(serials, 30)) == many
        link.close()


def test_signals_that_nobody_reads_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbus, "MAX_QUEUED_SIGNALS", 10)

    def script(it: Peer) -> None:
        it.authenticate()
        it.send(b"".join(map(_signal, range(25))) + _reply(it.receive(), "x"))

    with peer(tmp_path, script) as path:
        link = Connection(path)
        link.collect([_call(link)], 5)
        assert link.signals_lost
        assert [s.arguments()[0] for s in link.take_signals()] == [20, 21, 22, 23, 24]
        link.close()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DBusDisconnected, match="nowhere"):
        dbus.connect([str(tmp_path / "nowhere"), str(tmp_path / "nowhere either")])
