"""Patches that apply to one very object: their tests come first, and change only what is meant."""

from __future__ import annotations

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_operator.kube import patches

FINALIZER = "warlock.dev/host"
others = st.lists(st.sampled_from(["a/b", "c/d", "foregroundDeletion"]), unique=True)


def thing(finalizers: list[str] | None, uid: str = "u", version: str = "7") -> dict[str, object]:
    metadata: dict[str, object] = {"uid": uid, "resourceVersion": version, "name": "x"}
    if finalizers is not None:
        metadata["finalizers"] = finalizers
    return {"metadata": metadata, "status": {"old": 1}}


@given(others)
def test_adding_puts_it_last_and_keeps_the_others(present: list[str]) -> None:
    before = thing(present)
    patch = patches.finalizer_added(before["metadata"], FINALIZER)  # type: ignore[arg-type]
    assert patch is not None
    after = jsonpatch.apply_patch(before, patch)
    assert after["metadata"]["finalizers"] == [*present, FINALIZER]
    assert patches.finalizer_added(after["metadata"], FINALIZER) is None


@given(others, st.integers(0, 3))
def test_removing_takes_that_one_alone(present: list[str], at: int) -> None:
    before = thing([*present[:at], FINALIZER, *present[at:]])
    patch = patches.finalizer_removed(before["metadata"], FINALIZER)  # type: ignore[arg-type]
    assert patch is not None
    after = jsonpatch.apply_patch(before, patch)
    assert after["metadata"]["finalizers"] == present
    assert patches.finalizer_removed(after["metadata"], FINALIZER) is None


@given(others, st.booleans())
def test_neither_applies_to_another_uid_or_version(present: list[str], add: bool) -> None:
    seen = thing(present if add else [*present, FINALIZER])
    make = patches.finalizer_added if add else patches.finalizer_removed
    patch = make(seen["metadata"], FINALIZER)  # type: ignore[arg-type]
    for other in (thing([*present, FINALIZER], uid="v"), thing([*present, FINALIZER], version="8")):
        with pytest.raises(jsonpatch.JsonPatchTestFailed):
            jsonpatch.apply_patch(other, patch)


def test_a_status_is_replaced_whole_and_only_under_its_uid() -> None:
    patch = patches.status_patch("u", {"new": 2})
    assert jsonpatch.apply_patch(thing(None), patch)["status"] == {"new": 2}
    without = thing(None)
    del without["status"]
    assert jsonpatch.apply_patch(without, patch)["status"] == {"new": 2}
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(thing(None, uid="v"), patch)
