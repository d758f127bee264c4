"""What goes wrong at one object stays there, and what one was told another does not hear."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.core.worlds import Raw, game, instance
from tests.unit.reconcile import virtual
from tests.unit.reconcile.fleets import SETTINGS, World, named_host, scenario
from tests.unit.reconcile.test_worker_shows import (
    is_ready,
    reason,
    running,
    status,
    unit_of,
    until,
)
from warlock_agent.wire import Fault
from warlock_operator.api.conditions import get_condition
from warlock_operator.api.names import FINALIZER, Kind
from warlock_operator.reconcile import showing
from warlock_operator.transport.machine import Machine


def condition(world: World, kind: Kind, raw: Raw, type_: str) -> tuple[str, str]:
    shown = status(world, kind, raw)
    found = get_condition(shown.conditions, type_) if shown else None
    return (str(found.status), str(found.reason)) if found else ("", "")


# --- a bug of ours ---


@scenario
async def test_a_bug_at_one_host_is_told_there_and_ends_nothing(world: World, one: Raw) -> None:
    other = named_host("host-b", "198.18.1.2")
    world.put(Kind.GAME_HOST, other)
    machine = world.machine(one)
    attach = machine.attach

    def fail(*_: Any) -> None:
        raise KeyError("a bug")

    machine.attach = fail  # type: ignore[method-assign]
    machine.faults.unreachable = False
    await until(lambda: condition(world, Kind.GAME_HOST, one, "Ready")[1] == "InternalError", 0.1)
    passes = world.machine(other).passes
    world.put(Kind.GAME_HOST, other, annotations={"warlock.dev/reconcile": "now"})
    await until(lambda: world.machine(other).passes > passes, 0.1)
    machine.attach = attach  # type: ignore[method-assign]
    await until(lambda: condition(world, Kind.GAME_HOST, one, "Ready")[0] == "True", 1.0)


@scenario
async def test_a_bug_at_one_status_keeps_back_no_other(world: World, one: Raw) -> None:
    made = await running(world, one)
    status_of = showing.status_of

    def fail_for_one(verdict: Any, *args: Any) -> Any:
        if verdict.item.meta.name == "a0":
            raise KeyError("a bug")
        return status_of(verdict, *args)

    others = [raw for raw in made if raw["metadata"]["name"] != "a0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "status_of", fail_for_one)
        for raw in made:
            raw["spec"]["state"] = "Stopped"
            world.put(Kind.GAME_INSTANCE, raw, generation=2)
        await until(lambda: all(is_stopped(world, raw) for raw in others), 0.1)
        assert not is_stopped(world, made[0])
    world.put(Kind.GAME_HOST, one, annotations={"warlock.dev/reconcile": "now"})
    await until(lambda: is_stopped(world, made[0]), 0.1)


def is_stopped(world: World, raw: Raw) -> bool:
    return status(world, Kind.GAME_INSTANCE, raw).state == "Stopped"


# --- another object of the same name ---


@scenario
async def test_a_host_made_anew_knows_nothing_of_the_machine_of_the_one_before(
    world: World, one: Raw
) -> None:
    world.machine(one).faults.unreachable = False
    await until(lambda: condition(world, Kind.GAME_HOST, one, "Ready")[0] == "True", 0.1)
    old = status(world, Kind.GAME_HOST, one).machine_id
    new = named_host("host-a", "198.18.1.2")
    new["metadata"]["uid"] = "another"
    # Without a word of the first one's end: a list after a 410 brings none.
    world.put(Kind.GAME_HOST, new)
    seen: set[str] = set()

    def settled() -> bool:
        seen.add(getattr(status(world, Kind.GAME_HOST, new), "machine_id", ""))
        return condition(world, Kind.GAME_HOST, new, "Ready")[0] == "True"

    await until(settled, 0.01)
    assert seen - {""} == {world.machine(new).state.machine_id} != {old}
    assert world.inventory.get(Kind.GAME_HOST, one["metadata"]["uid"]) is None


@scenario
async def test_what_was_read_before_an_object_was_made_anew_brings_nothing_back(
    world: World, one: Raw
) -> None:
    arena = instance("arena")
    world.put(Kind.GAME_INSTANCE, arena)
    old = copy.deepcopy(arena)
    arena["metadata"]["uid"] = "another"
    world.put(Kind.GAME_INSTANCE, arena)
    world.fleet.put(Kind.GAME_INSTANCE, old)
    assert [item.uid for item in world.inventory.instances()] == ["another"]


# --- an object that is gone, and one that lives elsewhere by now ---


@scenario
async def test_what_is_gone_is_not_shown_again(world: World, one: Raw) -> None:
    arena, *_ = await running(world, one)
    uid = arena["metadata"]["uid"]
    item = world.inventory.get(Kind.GAME_INSTANCE, uid)
    assert item is not None
    world.fleet.gone(Kind.GAME_INSTANCE, uid)
    world.machine(one).crash(unit_of(arena))  # before the next decision, which is 20 ms away
    await asyncio.sleep(30)
    assert world.around.publisher.shown(item) is None


@scenario
async def test_one_that_is_gone_unheard_is_not_asked_for_without_a_pause(
    world: World, one: Raw
) -> None:
    async def gone(items: Any) -> dict[str, None]:
        return {item.uid: None for item in items if not item.held}

    world.around.finalizers.hold_all = gone  # type: ignore[assignment,method-assign]
    world.put(Kind.GAME_INSTANCE, instance())
    world.machine(one).faults.unreachable = False
    await until(lambda: world.machine(one).passes > 0, 0.1)
    passes = world.machine(one).passes
    await asyncio.sleep(10)
    assert world.machine(one).passes - passes <= 11


@scenario
async def test_who_names_an_address_that_its_host_has_left_is_told_so(
    world: World, one: Raw
) -> None:
    arena = instance(host=one["spec"]["address"])
    arena["metadata"]["finalizers"] = [FINALIZER]
    world.put(Kind.GAME_INSTANCE, arena)
    world.machine(one).faults.unreachable = False
    await until(lambda: is_ready(world, arena, True), 0.1)
    one["spec"]["address"] = "198.18.1.9"
    world.put(Kind.GAME_HOST, one, generation=2)
    await until(lambda: reason(world, arena) == "HostNotFound", 0.1)


# --- what an earlier process has said ---


def test_an_earlier_process_s_word_does_not_hold_for_longer_than_the_grace() -> None:
    """The host says hello, and no pass over it succeeds: nobody knows what runs there."""
    virtual.run(_restarted(lambda machine: setattr(machine, "converge", _busy), expected="Unknown"))


def test_an_earlier_process_s_word_holds_until_the_host_was_looked_at() -> None:
    virtual.run(_restarted(lambda machine: None, expected="True"))


def _busy(request: int, *_: object) -> Fault:
    return Fault(request, "HostBusy", "process 7 has been changing this host for 600 s")


def test_what_another_writes_is_not_believed_though_we_had_nothing_to_write() -> None:
    async def play() -> None:
        async with _second_process() as (world, one, arena):
            passes = world.machine(one).passes
            await until(lambda: world.machine(one).passes > passes, 0.1)
            await asyncio.sleep(0.1)
            for kind, raw in ((Kind.GAME_HOST, one), (Kind.GAME_INSTANCE, arena)):
                ours = status(world, kind, raw)
                raw["status"] = {
                    **raw["status"],
                    "hostKeys": [],
                    "machineID": "",
                    "state": "Failed",
                }
                world.put(kind, raw)
                assert status(world, kind, raw) == ours
                assert world.writer._entries[raw["metadata"]["uid"]].plan is not None

    virtual.run(play())


@asynccontextmanager
async def _second_process(
    befall: Callable[[Machine], None] = lambda machine: None,
) -> AsyncIterator[tuple[World, Raw, Raw]]:
    """An operator that is started where another one has shown an instance as Ready, and ended."""
    first, one = World(), named_host("host-a", "198.18.1.1")
    raws = [(Kind.GAME, game()), (Kind.GAME_HOST, one)]
    for kind, raw in raws:
        first.put(kind, raw)
    first.fleet.start()
    arena = instance("arena")
    arena["metadata"]["finalizers"] = [FINALIZER]
    first.put(Kind.GAME_INSTANCE, arena)
    await until(lambda: is_ready(first, arena, True), 0.1)
    await first.fleet.stop()
    for kind, raw in ((Kind.GAME_HOST, one), (Kind.GAME_INSTANCE, arena)):
        raw["status"] = status(first, kind, raw).model_dump(mode="json", by_alias=True)
    second = World(links=first.links)
    for kind, raw in (*raws, (Kind.GAME_INSTANCE, arena)):
        second.put(kind, raw)
    befall(second.machine(one))
    second.fleet.start()
    try:
        yield second, one, arena
    finally:
        await second.fleet.stop()


async def _restarted(befall: Callable[[Machine], None], expected: str) -> None:
    async with _second_process(befall) as (world, one, arena):
        told = set()
        for _ in range(int(SETTINGS.unknown_grace_seconds) * 20):
            told.add(condition(world, Kind.GAME_INSTANCE, arena, "Ready")[0])
            await asyncio.sleep(0.1)
        assert condition(world, Kind.GAME_INSTANCE, arena, "Ready")[0] == expected
        assert told <= {"True", expected}
        if expected == "Unknown":
            assert reason(world, arena) == "HostBusy"
            assert condition(world, Kind.GAME_HOST, one, "Ready") == ("False", "HostBusy")
