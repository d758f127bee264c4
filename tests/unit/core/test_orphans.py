"""An orphan goes when its very name is written on the GameHost, and nothing else ever does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.test_desired import OTHER_ID, decide, scenes
from tests.unit.core.worlds import GUID, World, entry_of, game, host, instance
from warlock_agent import guard
from warlock_agent.model import Ledger, ObservedHost, ObservedUnit
from warlock_agent.plan import plan
from warlock_agent.simulate import simulate
from warlock_operator.api.names import Annotation, Kind
from warlock_operator.core.orphans import token

ORPHAN = entry_of(instance("gone", instance_id=OTHER_ID), 27961)


def asking(value: str, *instances: Any) -> World:
    """A GameHost on which *value* is written, and instances."""
    made = host()
    made["metadata"]["annotations"] = {str(Annotation.REMOVE_ORPHAN): value}
    return [
        (Kind.GAME_HOST, made),
        (Kind.GAME, game()),
        *((Kind.GAME_INSTANCE, each) for each in instances),
    ]


def ledger(*entries: Any) -> Ledger:
    return Ledger("owner", 1, "holder", "uid-host-a", (), entries)


def test_an_orphan_that_is_named_is_removed_as_the_ledger_has_it() -> None:
    made = decide(asking(token(ORPHAN)), ledger(ORPHAN))
    (removed,) = made.desired.remove
    assert (removed.key, removed.uid) == (ORPHAN.key, ORPHAN.uid)
    assert (removed.namespace, removed.name) == (ORPHAN.namespace, ORPHAN.name)
    # It stands in the status for as long as it is there.
    assert made.orphans.known == (ORPHAN,)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", ""),
        (f"{GUID}/{OTHER_ID}", "it is not"),
        (f"{GUID}/{OTHER_ID}/uid-of-another", ORPHAN.uid),
        (f"{GUID}/default/uid-x", ""),  # the ledger has none: it has been done
        ("*", "it is not"),
        (f"{GUID}/*/*", ""),
    ],
)
def test_what_does_not_name_it_exactly_removes_nothing_and_is_told(value: str, told: str) -> None:
    made = decide(asking(value), ledger(ORPHAN))
    assert made.desired.remove == ()
    assert bool(made.orphans.refused) == bool(told)
    assert all(told in why for _, why in made.orphans.refused)


def test_several_are_named_with_commas_between_them() -> None:
    second = entry_of(instance("more"), 27962)
    made = decide(asking(f" {token(ORPHAN)} , {token(second)},"), ledger(ORPHAN, second))
    assert {removed.key for removed in made.desired.remove} == {ORPHAN.key, second.key}


@pytest.mark.parametrize("named_on", ["host-a", "host-b", "nowhere"])
def test_what_a_game_instance_names_is_no_orphan_wherever_that_one_means(named_on: str) -> None:
    named = instance("gone", host=named_on, instance_id=OTHER_ID)
    made = decide(asking(token(ORPHAN), named), ledger(ORPHAN))
    assert made.desired.remove == ()
    assert made.orphans.refused


def test_the_annotation_that_was_left_does_nothing_to_an_instance_made_anew() -> None:
    anew = entry_of({**instance("gone", instance_id=OTHER_ID)}, 27961)
    made = decide(asking(f"{GUID}/{OTHER_ID}/uid-of-the-first"), ledger(anew))
    assert made.desired.remove == ()


@given(scenes(), st.data())
def test_only_orphans_are_added_to_what_is_removed(
    scene: tuple[World, Ledger], data: st.DataObject
) -> None:
    world, remembered = scene
    before = decide(world, remembered)
    tokens = [token(entry) for entry in remembered.instances]
    chosen = data.draw(st.lists(st.sampled_from([*tokens, "x", "a/b/c"])))
    kind, raw = world[0]
    raw["metadata"]["annotations"] = {str(Annotation.REMOVE_ORPHAN): ",".join(chosen)}
    after = decide([(kind, raw), *world[1:]], remembered)
    added = set(after.desired.remove) - set(before.desired.remove)
    assert set(before.desired.remove) <= set(after.desired.remove)
    assert after.desired.converge == before.desired.converge
    assert after.desired.keep == before.desired.keep
    uids = {raw["metadata"]["uid"] for kind, raw in world if kind is Kind.GAME_INSTANCE}
    names = {
        (raw["metadata"]["namespace"], raw["metadata"]["name"])
        for kind, raw in world
        if kind is Kind.GAME_INSTANCE
    }
    for removed in added:
        assert f"{removed.key}/{removed.uid}" in chosen
        assert removed.uid not in uids
        assert (removed.namespace, removed.name) not in names
        assert removed.key in {entry.key for entry in before.orphans.known}


def test_the_agents_guard_lets_it_pass_and_the_plan_takes_it_away() -> None:
    desired = decide(asking(token(ORPHAN)), ledger(ORPHAN)).desired
    unit = ObservedUnit(f"warlock-openarena@{OTHER_ID}.service", "active", "running", 7)
    observed = ObservedHost("machine", ledger=ledger(ORPHAN), units=(unit,))
    for _ in range(2):  # it is stopped, then forgotten
        steps = plan(desired, observed).steps
        assert guard.violation(steps, desired, observed.ledger) is None
        observed = simulate(observed, steps)
    assert observed.ledger.instances == ()
    assert not any(each.active_state == "active" for each in observed.units)
