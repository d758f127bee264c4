"""An Event's body is one that the apiserver takes, whatever it is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warlock_operator.kube import recorder
from warlock_operator.kube.refs import ObjectRef

INSTANCE = ObjectRef("GameInstance", "games", "arena", "u1")
HOST = ObjectRef("GameHost", "", "host-a", "u2")


def test_an_event_lives_beside_its_object_and_one_of_the_cluster_in_default() -> None:
    for ref, namespace in ((INSTANCE, "games"), (HOST, "default")):
        body = recorder.event_body(ref, "Normal", "Started", "m", "Start", "me", 1)
        assert body["metadata"]["namespace"] == namespace
        assert body["regarding"]["uid"] == ref.uid


def test_names_of_events_fit_and_sort_as_time_goes() -> None:
    long = ObjectRef("GameInstance", "games", "x" * 253, "u")
    moments = [1, 255, 2**40, 1_790_000_000_000_000_000, 1_790_000_000_000_000_001]
    found = [
        recorder.event_body(long, "Normal", "R", "m", "A", "me", at)["metadata"]["name"]
        for at in moments
    ]
    assert found == sorted(set(found))
    assert max(map(len, found)) <= 253


def test_the_time_of_an_event_is_that_of_its_name() -> None:
    at = 1_790_000_000_123_456_789
    body = recorder.event_body(INSTANCE, "Normal", "R", "m", "A", "me", at)
    assert body["metadata"]["name"] == f"arena.{at:016x}"
    assert body["eventTime"] == "2026-09-21T14:13:20.123456Z"


@given(st.text(max_size=3000))
def test_a_note_is_cut_to_the_apiservers_limit_and_stays_text(message: str) -> None:
    cut = recorder._cut(message)
    assert len(cut.encode()) <= recorder.NOTE_BYTES
    assert cut == message or (cut.endswith("…") and message.startswith(cut[:-1]))
