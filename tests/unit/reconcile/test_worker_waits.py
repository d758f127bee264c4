"""When a worker tries again, in virtual time, against a machine in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.unit.core.worlds import Raw, instance
from tests.unit.reconcile.fleets import SETTINGS, World, named_host, scenario
from warlock_operator.api.names import Kind
from warlock_operator.core.backoff import ATTEMPT_SECONDS
from warlock_operator.kube.secrets import KeySecret
from warlock_operator.transport.machine import Machine, Push

HOUR = 3600.0


async def passed(machine: Machine, passes: int) -> None:
    """Wait for another pass than *passes*; bounded by a wait's cap."""
    for _ in range(10_000):
        if machine.passes > passes:
            return
        await asyncio.sleep(0.1)
    pytest.fail("no pass for a thousand seconds")


def now() -> float:
    return asyncio.get_running_loop().time()


@scenario
async def test_waits_double_up_to_five_minutes(world: World, one: Raw) -> None:
    await asyncio.sleep(2 * HOUR)
    made = world.attempts(one)
    gaps = [later - earlier for earlier, later in pairwise(made)]
    step = SETTINGS.backoff_initial_seconds
    for gap in gaps:
        assert max(1.0, step / 2) - 0.01 <= gap <= max(1.0, step) + 0.1
        step = min(2 * step, 300.0)
    assert step == 300.0


@scenario
async def test_a_host_that_is_back_is_served_within_seconds(world: World, one: Raw) -> None:
    await asyncio.sleep(HOUR)
    tried = len(world.attempts(one))
    world.machine(one).faults.unreachable = False
    back = now()
    while not world.machine(one).passes:
        await asyncio.sleep(0.1)
        assert now() - back < 6.0
    assert len(world.attempts(one)) == tried + 1


@scenario
async def test_a_line_that_breaks_right_behind_the_hello_is_not_kept(
    world: World, one: Raw
) -> None:
    machine = world.machine(one)
    attach, breaks = machine.attach, iter(range(3))

    def break_at_once(link: int, push: Push, cut: Callable[[], None]) -> None:
        attach(link, push, cut)
        if next(breaks, None) is not None:
            cut()

    machine.attach = break_at_once  # type: ignore[method-assign]
    machine.faults.unreachable = False
    began = now()
    while not machine.passes:
        await asyncio.sleep(0.1)
        assert now() - began < 60.0
    assert next(breaks, None) is None


@scenario
async def test_while_it_is_away_it_is_probed_every_five_seconds(world: World, one: Raw) -> None:
    await asyncio.sleep(HOUR)
    probed = world.prober.probes
    await asyncio.sleep(HOUR)
    # Not quite 720: an attempt by back-off starts the period anew, a dozen times an hour.
    assert 640 <= world.prober.probes - probed <= 740


async def _renewed(world: World, one: Raw, change: Callable[[], None]) -> None:
    """The change makes an attempt at once, and after it the waits start anew."""
    await asyncio.sleep(HOUR)
    earlier = list(world.attempts(one))
    due = max(now(), earlier[-1] + ATTEMPT_SECONDS)
    change()
    await asyncio.sleep(5.0)
    fresh = world.attempts(one)[len(earlier) :]
    assert -1e-6 < fresh[0] - due < 0.1
    assert len(fresh) >= 3


@scenario
async def test_a_spec_change_starts_the_waits_anew(world: World, one: Raw) -> None:
    one["spec"]["unschedulable"] = True
    await _renewed(world, one, lambda: world.put(Kind.GAME_HOST, one, generation=2))


@scenario
async def test_the_retry_annotation_on_the_host_starts_them_anew(world: World, one: Raw) -> None:
    asked = {"warlock.dev/reconcile": "now"}
    await _renewed(world, one, lambda: world.put(Kind.GAME_HOST, one, annotations=asked))


@scenario
async def test_the_retry_annotation_on_an_instance_starts_them_anew(world: World, one: Raw) -> None:
    arena = instance("arena")
    # Being deleted without our finalizer, it needs no apiserver to be held.
    world.put(Kind.GAME_INSTANCE, arena, deletionTimestamp="2026-01-02T00:00:00Z")
    asked = {"warlock.dev/reconcile": "now"}
    await _renewed(world, one, lambda: world.put(Kind.GAME_INSTANCE, arena, annotations=asked))


@scenario
async def test_a_changed_secret_starts_them_anew(world: World, one: Raw) -> None:
    def rotate() -> None:
        world.keys["host-a-ssh"] = KeySecret("host-a-ssh", "uid", b"other", None)
        world.fleet.secret_changed("host-a-ssh")

    await _renewed(world, one, rotate)


@scenario
async def test_our_own_writes_start_nothing_anew(world: World, one: Raw) -> None:
    await asyncio.sleep(HOUR)
    before = len(world.attempts(one))
    world.put(Kind.GAME_HOST, one)  # its status was written, by whomever
    await asyncio.sleep(4.0)
    assert len(world.attempts(one)) - before <= 1


@scenario
async def test_edits_cause_one_attempt_a_second_at_most(world: World, one: Raw) -> None:
    await asyncio.sleep(60.0)
    before = len(world.attempts(one))
    for generation in range(2, 102):
        world.put(Kind.GAME_HOST, one, generation=generation)
        await asyncio.sleep(0.1)
    assert 9 <= len(world.attempts(one)) - before <= 11
    gaps = [later - earlier for earlier, later in pairwise(world.attempts(one))]
    assert min(gaps) >= 1.0 - 1e-9


@scenario
async def test_an_address_that_is_put_right_is_tried_while_the_wrong_one_is_silent(
    world: World, one: Raw
) -> None:
    two = named_host("host-b", "198.18.1.2")
    world.machine(two).faults.slow_seconds = 15.0  # as a black hole, it lets one wait
    world.put(Kind.GAME_HOST, two)
    await asyncio.sleep(2.0)
    assert len(world.attempts(two)) == 1
    two["spec"]["address"] = "198.18.1.3"
    world.put(Kind.GAME_HOST, two, generation=2)
    await asyncio.sleep(1.0)
    assert world.machine(two).passes


@scenario
async def test_a_thousand_hosts_that_are_away_are_probed_fifty_a_second(
    world: World, one: Raw
) -> None:
    """And one that is back is found among them."""
    crowd = [f"198.18.{10 + n // 200}.{1 + n % 200}" for n in range(1000)]
    for address in crowd:
        world.links.machine_at(address).faults.unreachable = True
    waiting = [asyncio.create_task(world.prober.back(address, 22)) for address in crowd]
    await asyncio.sleep(60.0)
    probed = world.prober.probes
    await asyncio.sleep(60.0)
    assert 60 * 45 <= world.prober.probes - probed <= 60 * 51
    world.links.machine_at(crowd[500]).faults.unreachable = False
    await asyncio.sleep(21.0)  # a thousand at fifty a second
    assert [number for number, task in enumerate(waiting) if task.done()] == [500]
    for task in waiting:
        task.cancel()


@scenario
async def test_a_connection_that_breaks_soon_after_each_start_is_not_made_every_second(
    world: World, one: Raw
) -> None:
    machine = world.machine(one)
    machine.faults.unreachable = False
    await asyncio.sleep(1.0)
    machine.faults.drop_after_frames = 1  # in the middle of each pass
    machine.cut()
    before = len(world.attempts(one))
    await asyncio.sleep(HOUR)
    assert 10 <= len(world.attempts(one)) - before <= 40
    machine.faults.drop_after_frames = None
    await asyncio.sleep(301.0)
    passes = machine.passes
    # One that breaks after a long while is made again at once.
    await asyncio.sleep(60.0)
    machine.cut()
    await asyncio.sleep(0.1)
    assert machine.passes > passes


@scenario
async def test_a_connection_that_is_cut_again_and_again_between_passes_comes_less_often(
    world: World, one: Raw
) -> None:
    machine = world.machine(one)
    machine.faults.unreachable = False
    await asyncio.sleep(1.0)
    until, before = now() + HOUR, len(world.attempts(one))
    passes = machine.passes
    while now() < until:
        if machine.passes > passes:
            passes = machine.passes
            await asyncio.sleep(0.5)
            machine.cut()
        await asyncio.sleep(0.5)
    assert 10 <= len(world.attempts(one)) - before <= 40


@scenario
async def test_one_that_was_lost_again_and_again_and_went_is_served_once_it_is_back(
    world: World, one: Raw
) -> None:
    machine = world.machine(one)
    machine.faults.unreachable = False
    await asyncio.sleep(1.0)
    for _ in range(8):
        passes = machine.passes
        machine.cut()
        await passed(machine, passes)
    machine.cut()
    machine.faults.unreachable = True  # as a machine that boots: longer than a probe takes
    await asyncio.sleep(10.0)
    machine.faults.unreachable = False
    async with asyncio.timeout(6.0):
        await passed(machine, machine.passes)
