"""A host that is as before is not told again, and is heard whole all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.hosts import empty_host, units
from warlock_agent import wire
from warlock_agent.board import Board
from warlock_agent.model import ObservedFile, ObservedHost
from warlock_agent.recall import Recall

HOSTS = st.builds(
    lambda unit, uptime, reload: empty_host(
        units=(unit,), uptime_seconds=uptime, reload_pending=reload
    ),
    units(),
    st.integers(1, 3),
    st.booleans(),
)


def told(board: Board, observed: ObservedHost, remembers: bool) -> bytes:
    """Say a host as the agent does."""
    line = wire.encode(wire.State(1, board.shortened(observed, remembers)))
    board.host_told(observed)
    return line


@given(st.lists(st.tuples(HOSTS, st.booleans()), max_size=8))
def test_what_is_heard_is_what_was_seen_however_many_frames_are_lost(
    frames: list[tuple[ObservedHost, bool]],
) -> None:
    board, recall = Board(), Recall()
    for observed, lost in frames:
        line = told(board, observed, recall.remembers)
        if lost:
            recall.forget()
        else:
            assert recall.filled(wire.decode(line)) == wire.State(1, observed)


def test_a_host_as_before_takes_a_few_bytes_and_files_do_not_make_it_another() -> None:
    board, recall = Board(), Recall()
    host = empty_host(users=tuple(f"wl-{n:016x}" for n in range(1000)))
    recall.filled(wire.decode(told(board, host, recall.remembers)))
    later = replace(host, uptime_seconds=2000, files=(ObservedFile("/etc/x", "File"),))
    line = told(board, later, recall.remembers)
    assert len(line) < 100
    heard = recall.filled(wire.decode(line))
    assert isinstance(heard, wire.State)
    assert heard.observed == replace(later, files=())


def test_as_before_without_a_before_is_an_error_of_its_request() -> None:
    recall = Recall()
    with pytest.raises(wire.WireError, match="not remembered") as raised:
        recall.filled(wire.State(7, ObservedHost(as_before=True)))
    assert raised.value.request == 7


def test_who_does_not_remember_is_told_all() -> None:
    board, host = Board(), empty_host()
    first = told(board, host, False)
    assert told(board, host, False) == first
