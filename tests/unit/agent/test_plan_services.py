"""A Game that was deleted and made anew with other services: what has no place any more goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.agent.hosts import ANEW, GAMES, GUIDS, IDS, empty_host, host, instance
from tests.unit.agent.test_plan_properties import settle, time_passes
from warlock_agent import guard, names
from warlock_agent.model import (
    BoundSocket,
    DesiredGame,
    KeptInstance,
    ObservedHost,
    RemovedInstance,
)
from warlock_agent.plan import plan
from warlock_agent.simulate import simulate
from warlock_agent.steps import RemoveFile, StartUnit, StopUnit

SERVER, MAP = (service.name for service in GAMES[1].services)
ONE, OTHER = instance(GUIDS[1]), instance(GUIDS[1], IDS[1])
WANTED = host(ONE, OTHER)


@pytest.fixture
def settled() -> ObservedHost:
    _, observed = settle(WANTED, empty_host())
    return observed


def running(observed: ObservedHost) -> set[str]:
    return {unit.unit for unit in observed.units if unit.active_state == "active"}


@pytest.mark.parametrize("games", ANEW)
def test_old_units_stop_and_leave_nothing(
    settled: ObservedHost, games: tuple[DesiredGame, ...]
) -> None:
    _, after = settle(replace(WANTED, games=games), settled)
    services = [service.name for service in games[1].services]
    wanted = {names.unit_name(s, i.instance_id) for i in (ONE, OTHER) for s in services}
    assert running(after) == wanted
    assert all(entry.services == tuple(services) for entry in after.ledger.instances)
    here = {file.path for file in after.files}
    templates = {names.template_path(service) for service in services}
    assert {path for path in here if path.endswith("@.service")} == templates
    for gone in {SERVER, MAP} - set(services):
        assert not any(f"/{gone}@" in path for path in here)


def test_the_new_main_service_starts_once_the_old_one_has_left_the_port(
    settled: ObservedHost,
) -> None:
    (slot,) = ((port.protocol, port.number) for port in ONE.ports)
    old = names.unit_name(SERVER, ONE.instance_id)
    units = tuple(replace(u, ports=(slot,)) if u.unit == old else u for u in settled.units)
    bound = BoundSocket(slot[0], "0.0.0.0", slot[1], 4711, "java", old)
    busy = replace(settled, units=units, sockets=(bound,))
    wanted = replace(host(ONE), games=ANEW[1])
    made = plan(wanted, busy)
    assert made.refusals == ()
    assert [
        (type(step), step.unit) for step in made.steps if isinstance(step, (StopUnit, StartUnit))
    ] == [(StopUnit, old)]


def test_a_template_that_another_game_s_instance_uses_stays(settled: ObservedHost) -> None:
    """The other instance is not converged now: what it uses is what its ledger entry says."""
    wanted = replace(host(ONE), games=ANEW[0])
    _, after = settle(wanted, settled)
    assert names.template_path(MAP) in {file.path for file in after.files}
    assert names.unit_name(MAP, OTHER.instance_id) in running(after)


def test_the_guard_lets_no_template_go_that_a_neighbour_uses(settled: ObservedHost) -> None:
    wanted = replace(host(ONE), games=ANEW[0])
    step = RemoveFile(ONE.key, names.template_path(MAP), True)
    assert guard.violation((step,), wanted, settled.ledger) is not None
    both = replace(WANTED, games=ANEW[0])
    assert guard.violation((step,), both, settled.ledger) is None


# --- a neighbour that is paused, and an install or a kill in between ---

INSTALLS = (GAMES[0], replace(ANEW[0][1], apt=("openjdk",)))
PAUSED = replace(host(ONE), games=INSTALLS, keep=(KeptInstance(OTHER.guid, OTHER.instance_id),))


def one_more(observed: ObservedHost) -> ObservedHost:
    """Make a pass; no install ends."""
    made = plan(PAUSED, observed)
    assert guard.violation(made.steps, PAUSED, observed.ledger) is None
    after = simulate(observed, made.steps)
    return replace(after, units=tuple(map(time_passes, after.units)))


def assert_neighbour_is_whole(observed: ObservedHost) -> None:
    here = {file.path for file in observed.files}
    for service in (SERVER, MAP):
        assert names.template_path(service) in here
        assert names.unit_name(service, OTHER.instance_id) in running(observed)


def test_while_its_packages_come_an_old_service_is_not_forgotten(settled: ObservedHost) -> None:
    observed = settled
    for _ in range(4):
        observed = one_more(observed)
    entry = observed.ledger.by_key[ONE.key]
    assert entry.services == (SERVER, MAP)
    assert names.unit_name(MAP, ONE.instance_id) not in running(observed)
    _, after = settle(PAUSED, observed)
    assert after.ledger.by_key[ONE.key].services == (SERVER,)
    assert not any(f"/{MAP}@{ONE.instance_id}" in file.path for file in after.files)
    assert_neighbour_is_whole(after)


@pytest.mark.parametrize("passes", [1, 2])
def test_a_kill_at_any_step_costs_a_neighbour_nothing(settled: ObservedHost, passes: int) -> None:
    wanted = replace(PAUSED, games=ANEW[0])
    before = settled
    for _ in range(passes - 1):
        before = replace(simulate(before, plan(wanted, before).steps))
        before = replace(before, units=tuple(map(time_passes, before.units)))
    steps = plan(wanted, before).steps
    for upto in range(len(steps) + 1):
        killed = simulate(before, steps[:upto])
        _, after = settle(wanted, killed)
        assert_neighbour_is_whole(after)
        assert not any(f"/{MAP}@{ONE.instance_id}" in file.path for file in after.files)
        gone = RemovedInstance(ONE.guid, ONE.instance_id, ONE.uid, ONE.namespace, ONE.name)
        _, without = settle(replace(wanted, converge=(), remove=(gone,)), killed)
        assert_neighbour_is_whole(without)
        assert [entry.key for entry in without.ledger.instances] == [OTHER.key]
