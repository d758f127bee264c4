"""What a worker shows of what a machine in memory says, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.unit.core.worlds import Raw, instance
from tests.unit.reconcile.fleets import World, scenario
from warlock_agent import names
from warlock_operator.api.conditions import get_condition
from warlock_operator.api.names import FINALIZER, Kind
from warlock_operator.core.desired import Verdict
from warlock_operator.core.status import status_of
from warlock_operator.reconcile import reaching, showing

MANY = 20


def unit_of(raw: Raw) -> str:
    return names.unit_name("warlock-openarena", raw["spec"].get("instance_id", "default"))


def status(world: World, kind: Kind, raw: Raw) -> Any:
    """The status that it shows; None while it shows none."""
    item = world.inventory.get(kind, raw["metadata"]["uid"])
    assert item is not None
    return world.around.publisher.shown(item)


def reason(world: World, raw: Raw) -> str:
    """Why an instance is Ready, or is not."""
    shown = status(world, Kind.GAME_INSTANCE, raw)
    found = get_condition(shown.conditions, "Ready") if shown else None
    return str(found.reason) if found else ""


def is_ready(world: World, raw: Raw, wanted: bool) -> bool:
    return (reason(world, raw) == "AsDeclared") is wanted


def has_passed(world: World, one: Raw, passes: int) -> bool:
    return world.machine(one).passes > passes


async def running(world: World, one: Raw) -> list[Raw]:
    """Let many instances run on the machine, and be shown so."""
    ids = [None, *(f"00000000-0000-4000-8000-{number:012}" for number in range(1, MANY))]
    one["spec"]["ports"] = {"ranges": [{"from": 29000, "to": 29000 + 2 * MANY}]}
    world.put(Kind.GAME_HOST, one, generation=2)
    made = [instance(f"a{number}", instance_id=each) for number, each in enumerate(ids)]
    for raw in made:
        raw["metadata"]["finalizers"] = [FINALIZER]  # no apiserver is needed to hold it
        world.put(Kind.GAME_INSTANCE, raw)
    world.machine(one).faults.unreachable = False
    await until(lambda: all(is_ready(world, raw, True) for raw in made), 0.1)
    return made


async def until(fact: Callable[[], bool], every_seconds: float = 0.0) -> None:
    """Wait for a fact; 0 seconds: let the others have one turn each time."""
    for _ in range(1000):
        if fact():
            return
        await asyncio.sleep(every_seconds)
    pytest.fail("it has never come to be")


@contextmanager
def made_statuses() -> Iterator[list[str]]:
    """Whose status is made meanwhile, by name, as often as it is."""
    made: list[str] = []

    def noted(verdict: Verdict, *args: Any) -> Any:
        made.append(verdict.item.meta.name)
        return status_of(verdict, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "status_of", noted)
        yield made


@scenario
async def test_a_unit_that_changes_costs_one_status_and_is_shown_at_once(
    world: World, one: Raw
) -> None:
    for raw in await running(world, one):
        with made_statuses() as made:
            world.machine(one).crash(unit_of(raw))
            await until(partial(is_ready, world, raw, False))
            assert made == [raw["metadata"]["name"]]
        assert status(world, Kind.GAME_HOST, one).instances.running == MANY - 1
        passes = world.machine(one).passes
        with made_statuses() as made:
            world.machine(one).restart(unit_of(raw))
            await until(partial(is_ready, world, raw, True))
            assert made == [raw["metadata"]["name"]]
        assert status(world, Kind.GAME_HOST, one).instances.running == MANY
        await until(partial(has_passed, world, one, passes), 0.1)  # a new process calls for it


@scenario
async def test_a_take_over_that_is_no_text_spoils_no_message(world: World, one: Raw) -> None:
    """The apiserver lets NUL characters through, and as much as 256 KiB."""
    hostile = {"warlock.dev/take-over": "own\0er/" + "\0" + "x" * 200_000}
    world.put(Kind.GAME_HOST, one, annotations=hostile)
    await running(world, one)
    (kept,) = world.machine(one).state.ledger.take_overs
    assert len(kept) == 64 + 1 + 64
    assert kept.isprintable()


@scenario
async def test_what_can_be_no_machine_id_is_not_accepted_as_one(world: World, one: Raw) -> None:
    await running(world, one)
    pinned = status(world, Kind.GAME_HOST, one).machine_id
    other = "f" * 32
    for text in ("", "x" * 200_000, "a;b", "$(id)", "-", "a\nb", "a\0b", other + "é", other):
        world.put(Kind.GAME_HOST, one, annotations={"warlock.dev/accept-host": text})
        item = world.inventory.get(Kind.GAME_HOST, one["metadata"]["uid"])
        assert item is not None
        expected = (pinned, other) if text == other else (pinned,)
        assert reaching.target_of(item, world.around).machine_ids == expected
