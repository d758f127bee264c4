"""Who may change a machine: the table, and what no sequence of frames may bring about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent.authority import TAKE_OVERS_KEPT, accept, check
from warlock_agent.model import Authority, Ledger

MACHINE = "0123456789abcdef0123456789abcdef"
FRAME = Authority("a", 10, "holder-a", "host-a", MACHINE)
HELD = Ledger("a", 10, "holder-a", "host-a")

ids = st.sampled_from(["a", "b", "c"])
take_overs = st.one_of(st.just(""), st.builds("{}/{}".format, ids, st.integers(0, 3)))
frames = st.builds(
    Authority,
    owner=ids,
    token=st.integers(1, 4),
    holder=ids,
    host_uid=ids,
    machine_id=st.sampled_from(["", MACHINE]),
    take_over=take_overs,
    replaces=st.one_of(st.just(""), ids),
)


def reason_of(ledger: Ledger = HELD, **changes: Any) -> str:
    denial = check(replace(FRAME, **changes), ledger, MACHINE)
    return denial.reason if denial else ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"token": 11}, ""),
        ({"token": 11, "holder": "holder-b"}, ""),
        ({"machine_id": ""}, ""),
        ({"machine_id": "f" * 32}, "HostReplaced"),
        ({"owner": ""}, "BadFrame"),
        ({"holder": ""}, "BadFrame"),
        ({"host_uid": ""}, "BadFrame"),
        ({"owner": "b", "token": 99}, "OwnedByAnother"),
        ({"owner": "b", "take_over": "a"}, "OwnedByAnother"),
        ({"owner": "b", "take_over": "a/"}, "OwnedByAnother"),
        ({"owner": "b", "take_over": "c/now"}, "OwnedByAnother"),
        ({"owner": "b", "take_over": "b/now"}, "OwnedByAnother"),
        ({"owner": "b", "take_over": "a/now"}, ""),
        ({"token": 9}, "StaleLeader"),
        ({"holder": "holder-b"}, "StaleLeader"),
        ({"token": 9, "take_over": "a/restored"}, ""),
        ({"host_uid": "host-b"}, "DuplicateHost"),
        ({"host_uid": "host-b", "replaces": "host-c"}, "DuplicateHost"),
        ({"host_uid": "host-b", "replaces": "host-a"}, ""),
        ({"host_uid": "host-b", "replaces": "host-a", "token": 9}, "StaleLeader"),
    ],
)
def test_each_row_of_the_table(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(**changes) == reason


def test_a_machine_without_owner_takes_the_first_that_comes() -> None:
    assert reason_of(Ledger()) == ""
    assert accept(FRAME, Ledger()) == HELD


def test_the_refusal_names_the_owner_and_the_annotation_that_would_do() -> None:
    denial = check(replace(FRAME, owner="b"), HELD, MACHINE)
    assert denial
    assert "cluster a;" in denial.message
    assert "warlock.dev/take-over to a/" in denial.message


def test_a_take_over_acts_once() -> None:
    frame = replace(FRAME, owner="b", take_over="a/now")
    taken = accept(frame, HELD)
    assert (taken.owner, taken.token) == ("b", 10)
    back = accept(replace(FRAME, take_over="b/back"), taken)
    assert back.owner == "a"
    # The annotation of b still says a/now: it must not take the machine again.
    assert check(frame, back, MACHINE)
    assert not check(replace(frame, take_over="a/again"), back, MACHINE)


def test_a_take_over_that_had_nothing_to_take_is_used_up_as_well() -> None:
    first = accept(replace(FRAME, owner="b", take_over="a/now"), Ledger())
    back = accept(replace(FRAME, take_over="b/back"), first)
    assert check(replace(FRAME, owner="b", take_over="a/now"), back, MACHINE)


def test_a_token_that_was_reset_counts_again() -> None:
    reset = accept(replace(FRAME, token=2, take_over="a/restored"), HELD)
    assert reset.token == 2
    assert reason_of(reset, token=1, take_over="a/restored") == "StaleLeader"
    assert reason_of(reset, token=3, holder="holder-b") == ""


def test_what_is_remembered_of_take_overs_is_bounded_and_the_newest() -> None:
    ledger = HELD
    for number in range(TAKE_OVERS_KEPT + 20):
        ledger = accept(replace(FRAME, take_over=f"z/{number}"), ledger)
    assert len(ledger.take_overs) == TAKE_OVERS_KEPT
    assert ledger.take_overs[-1] == f"z/{TAKE_OVERS_KEPT + 19}"


@given(st.lists(frames, max_size=25))
def test_no_sequence_lets_a_stale_or_foreign_frame_in(sequence: list[Authority]) -> None:
    ledger, used = Ledger(), set[str]()
    for frame in sequence:
        if check(frame, ledger, MACHINE):
            continue
        after = accept(frame, ledger)
        fresh = bool(frame.take_over) and frame.take_over not in used
        displaces = fresh and frame.take_over.startswith(f"{ledger.owner}/")
        if ledger.owner and not displaces:
            assert after.owner == ledger.owner
            assert after.token >= ledger.token
            assert after.token > ledger.token or after.holder == ledger.holder
            assert after.host_uid in (ledger.host_uid, frame.host_uid)
            assert after.host_uid == ledger.host_uid or frame.replaces == ledger.host_uid
        if frame.take_over:
            used.add(frame.take_over)
        assert after.instances == ledger.instances
        ledger = after


@given(frames, frames)
def test_a_frame_that_was_let_in_is_let_in_again(first: Authority, second: Authority) -> None:
    ledger = Ledger()
    for frame in (first, second):
        if check(frame, ledger, MACHINE):
            continue
        ledger = accept(frame, ledger)
        assert not check(frame, ledger, MACHINE)
        assert accept(frame, ledger) == ledger
