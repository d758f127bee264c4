"""Frames: the same on the other side, however the bytes come."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.hosts import desired_hosts, empty_host
from warlock_agent import wire
from warlock_agent.model import (
    Authority,
    DesiredHost,
    Facts,
    Feature,
    Ledger,
    LedgerEntry,
    LedgerFile,
    ObservedFile,
    Operation,
    Refusal,
    StepResult,
    UnitSample,
)
from warlock_agent.wire import FrameReader, UnknownFrame, WireError

TEXT = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=8)
NUMBER = st.integers(-wire.MAX_NUMBER, wire.MAX_NUMBER - 1)
UNIT = st.builds(
    UnitSample,
    TEXT,
    st.integers(0, wire.MAX_NUMBER - 1),
    st.integers(0, wire.MAX_NUMBER - 1),
    TEXT,
    st.integers(0, wire.MAX_NUMBER - 1),
)
HOST = empty_host()
FRAMES = st.one_of(
    st.builds(
        wire.Converge, NUMBER, st.builds(Authority, TEXT, NUMBER, TEXT, TEXT),
        desired_hosts(), NUMBER,
    ),
    st.builds(wire.Observe, NUMBER),
    st.builds(wire.Exchange, NUMBER, TEXT, NUMBER, TEXT),
    st.builds(wire.Ping, NUMBER),
    st.builds(
        wire.Report, NUMBER, st.tuples(st.builds(StepResult, TEXT, TEXT, TEXT, TEXT)),
        st.tuples(st.builds(Refusal, TEXT, TEXT, TEXT)), st.just(HOST),
    ),
    st.builds(wire.State, NUMBER, st.just(HOST)),
    st.builds(wire.Exchanged, NUMBER, st.tuples(TEXT, TEXT)),
    st.builds(wire.Pong, NUMBER),
    st.builds(wire.Fault, NUMBER, TEXT, TEXT),
    st.builds(
        wire.Hello, NUMBER, TEXT, st.builds(Facts, TEXT),
        st.tuples(st.builds(Feature, TEXT, TEXT)), st.just(HOST),
    ),
    st.builds(wire.UnitsChanged, st.just(())),
    st.builds(wire.OperationChanged, st.builds(Operation, TEXT, TEXT, TEXT, TEXT)),
    st.builds(wire.Sample, NUMBER, st.tuples(UNIT)),
)  # fmt: skip


@given(FRAMES)
def test_a_frame_comes_back_as_it_was(frame: wire.Frame) -> None:
    line = wire.encode(frame)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert wire.decode(line) == frame


def test_what_only_the_host_reads_does_not_cross_and_is_in_its_own_record() -> None:
    file = LedgerFile("/etc/warlock/instances/a.env", "0" * 64)
    entry = LedgerEntry("g", "default", "games", "a", "u", 1, "/opt/a", "wl-a", files=(file,))
    ledger = replace(HOST.ledger, instances=(entry,))
    state = wire.State(1, replace(HOST, ledger=ledger, files=(ObservedFile(file.path, "File"),)))
    crossed = wire.decode(wire.encode(state))
    assert isinstance(crossed, wire.State)
    assert crossed.observed.ledger.instances == (replace(entry, files=()),)
    assert crossed.observed.files == ()
    assert wire.from_plain(Ledger, wire.to_plain(ledger)) == ledger


def test_every_kind_of_frame_is_among_those_tried() -> None:
    tried = {type(frame).__name__ for frame in _one_of_each()}
    assert tried == set(wire.FRAMES)


def _one_of_each() -> list[wire.Frame]:
    authority, host = Authority("o", 1, "h", "u"), DesiredHost("h", ("/opt",))
    return [
        wire.Converge(1, authority, host), wire.Observe(1), wire.Exchange(1, "UDP", 1, ""),
        wire.Ping(1), wire.Report(1, (), (), HOST), wire.State(1, HOST), wire.Exchanged(1, ()),
        wire.Pong(1), wire.Fault(1, "BadFrame", "m"), wire.Hello(1, "", Facts(), (), HOST),
        wire.UnitsChanged(()), wire.OperationChanged(Operation("i", "g", "t", "s")),
        wire.Sample(1, ()),
    ]  # fmt: skip


@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.integers(0, 40), max_size=6))
def test_any_split_of_the_stream_gives_the_same_lines(lines: list[bytes], cuts: list[int]) -> None:
    stream = b"\n".join([*lines, b""])
    whole = read(FrameReader(8), [stream])
    edges = sorted({0, len(stream), *(c for c in cuts if c < len(stream))})
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert read(FrameReader(8), pieces) == whole
    assert read(FrameReader(8), [stream[i : i + 1] for i in range(len(stream))]) == whole
    assert whole == [line for line in stream.split(b"\n") if line.strip()]


def read(reader: FrameReader, pieces: list[bytes]) -> list[bytes | str]:
    found = [each for piece in pieces for each in reader.feed(piece)]
    return [str(each) if isinstance(each, WireError) else each for each in found]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_an_oversized_line_is_reported_once_and_the_channel_lives_on(size: int) -> None:
    reader = FrameReader(10)
    stream = b"a" * 9 + b"\n" + b"b" * 10 + b"\n" + b"c" * 50 + b"\nd\n"
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    error = "a line of more than 10 bytes was dropped"
    assert read(reader, pieces) == [b"a" * 9, error, error, b"d"]
    assert reader.pending_bytes == 0


def test_what_is_dropped_is_not_kept_in_memory() -> None:
    reader = FrameReader(10)
    assert list(reader.feed(b"x" * 1000)) == []
    assert not reader._parts


CONVERGE = json.loads(wire.encode(_one_of_each()[0]))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("request", True, "Converge.request: expected int, got bool"),
        ("request", 1.0, "Converge.request: expected int, got float"),
        ("authority.token", "1", "Converge.authority.token: expected int, got str"),
        ("authority.owner", None, "Converge.authority.owner: expected str, got NoneType"),
        ("authority.owner", "a\x00b", "Converge.authority.owner: a NUL character"),
        ("desired.path_roots", "/opt", "Converge.desired.path_roots: expected a list, got str"),
        ("desired.path_roots", [1], "Converge.desired.path_roots[0]: expected str, got int"),
        ("desired.converge", [{}], "Converge.desired.converge[0].guid: missing"),
        ("desired", [], "Converge.desired: expected an object, got list"),
    ],
)
def test_a_bad_field_is_named(path: str, value: object, said: str) -> None:
    plain: Any = json.loads(json.dumps(CONVERGE))
    *above, last = path.split(".")
    at = plain
    for part in above:
        at = at[part]
    at[last] = value
    with pytest.raises(WireError) as caught:
        wire.decode(json.dumps(plain).encode())
    assert str(caught.value) == said


@given(st.binary(max_size=30))
def test_no_line_raises_anything_else_than_a_wire_error(line: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode(line)


def test_an_unknown_request_can_be_answered_and_an_unknown_field_is_let_be() -> None:
    with pytest.raises(UnknownFrame) as caught:
        wire.decode(b'{"frame":"Dance","request":7}')
    assert caught.value.request == 7
    assert wire.decode(b'{"frame":"Ping","request":7,"newer":1}') == wire.Ping(7)
    with pytest.raises(WireError):
        wire.decode(b'{"frame":"Ping","request":' + b"[" * 100_000)


def test_half_a_surrogate_pair_can_not_be_passed_on() -> None:
    line = b'{"frame": "Fault", "request": 0, "reason": "a\\ud800b", "message": "\\ud83c\\udfae"}'
    assert wire.decode(line) == wire.Fault(0, "a?b", "\U0001f3ae")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
def test_a_number_has_64_bits(number: int) -> None:
    with pytest.raises(WireError, match="64 bits"):
        wire.decode(json.dumps({"frame": "Pong", "request": number}).encode())
