"""What holds for the planner whatever the host looks like."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.agent.hosts import desired_hosts, empty_host, units
from warlock_agent import guard, names
from warlock_agent.model import DesiredHost, ObservedHost, ObservedUnit, RemovedInstance
from warlock_agent.plan import Plan, orphans_of, paths_of, plan
from warlock_agent.simulate import finish_operations, simulate
from warlock_agent.steps import (
    PHASES,
    Claim,
    EnsureDirectory,
    Forget,
    MakeLink,
    Record,
    Reload,
    RemoveDirectory,
    RemoveFile,
    RestartUnit,
    StartUnit,
    StopUnit,
    WriteFile,
)

PASSES = 8
"""Claim and install, files and start, back-off of a failed unit, stop, removal: fewer suffice."""


def one_pass(desired: DesiredHost, observed: ObservedHost) -> tuple[Plan, ObservedHost]:
    made = plan(desired, observed)
    assert guard.violation(made.steps, desired, observed.ledger) is None
    after = finish_operations(simulate(observed, made.steps), made.steps)
    later = tuple(time_passes(unit) for unit in after.units)
    return made, replace(after, units=later, uptime_seconds=after.uptime_seconds + 400)


def time_passes(unit: ObservedUnit) -> ObservedUnit:
    """What is on its way arrives: a stop ends, an automatic restart brings a process up."""
    if unit.active_state == "deactivating":
        return replace(unit, active_state="inactive")
    if unit.active_state == "activating":
        return replace(unit, active_state="active", main_pid=4712, digest="1" * 32)
    return unit


def settle(desired: DesiredHost, observed: ObservedHost) -> tuple[Plan, ObservedHost]:
    for _ in range(PASSES):
        before = observed.units
        made, observed = one_pass(desired, observed)
        # What arrived by itself was on its way when the pass was made, and calls for another one.
        if not made.steps and made.next_pass_seconds == 0 and observed.units == before:
            return made, observed
    raise AssertionError(f"not settled after {PASSES} passes: {made.steps}")


@st.composite
def histories(draw: st.DrawFn) -> ObservedHost:
    """A host with a past: desired hosts were settled on it, then units changed by themselves."""
    host = empty_host()
    for desired in draw(st.lists(desired_hosts(), max_size=2)):
        _, host = settle(desired, host)
    disturbed = {u.unit: u for u in host.units}
    for unit in draw(st.lists(units(), max_size=4)):
        disturbed[unit.unit] = unit
    lost = draw(st.sets(st.sampled_from([f.path for f in host.files] or [""]), max_size=3))
    return replace(
        host,
        units=tuple(disturbed.values()),
        files=tuple(f for f in host.files if f.path not in lost),
        reload_pending=draw(st.booleans()),
    )


@given(desired_hosts(), histories())
def test_passes_settle_on_the_desired_host(desired: DesiredHost, observed: ObservedHost) -> None:
    last, after = settle(desired, observed)
    refused = {r.key for r in last.refusals}
    entries = {e.key: e for e in after.ledger.instances}
    by_unit = {u.unit: u for u in after.units}
    files = {f.path: f for f in after.files}
    games = {g.guid: g for g in desired.games}
    assert not after.reload_pending
    for instance in desired.converge:
        if instance.key in refused:
            continue
        entry = entries[instance.key]
        assert (entry.generation, entry.uid) == (instance.generation, instance.uid)
        assert entry.ports == instance.ports
        assert entry.services == tuple(s.name for s in games[instance.guid].services)
        registration = names.registration_path(instance.guid, instance.instance_id)
        assert registration in files
        assert files[instance.path].owner == entry.user
        for service in games[instance.guid].services:
            unit = by_unit.get(names.unit_name(service.name, instance.instance_id))
            running = unit is not None and unit.active_state == "active" and unit.main_pid > 0
            assert running == instance.running
            enabled = names.wants_path(service.name, instance.instance_id) in files
            assert enabled == instance.running
            if instance.running and unit is not None:
                environment = files[names.env_path(instance.guid, instance.instance_id)]
                started = entry.started_digest if unit.digest is None else unit.digest
                assert started == environment.marker
    # For one that is refused today the template stays: it may be wanted in a moment.
    wanted = {s.name for i in desired.converge if i.key in refused for s in games[i.guid].services}
    wanted |= {service for entry in entries.values() for service in entry.services}
    used = {names.template_path(service) for service in wanted}
    assert {f.path for f in after.files if f.ours and "@." in f.path} <= used
    for removed in desired.remove:
        entry_left = entries.get(removed.key)
        assert entry_left is None or (entry_left.namespace, entry_left.name) != (
            removed.namespace,
            removed.name,
        )


@given(desired_hosts(), histories())
def test_a_settled_host_needs_no_step(desired: DesiredHost, observed: ObservedHost) -> None:
    _, after = settle(desired, observed)
    assert plan(desired, after).steps == ()


def of_dropped_services(desired: DesiredHost, observed: ObservedHost) -> tuple[set[str], set[str]]:
    """Units, and directories of their drop-ins, of services that the Games have no more."""
    converge = {i.key for i in desired.converge}
    services = {game.guid: [service.name for service in game.services] for game in desired.games}
    pairs = [
        (service, entry.instance_id)
        for entry in observed.ledger.instances
        for service in entry.services
        if entry.key in converge and service not in services[entry.guid]
    ]
    return {names.unit_name(*pair) for pair in pairs}, {names.drop_in_dir(*pair) for pair in pairs}


@given(desired_hosts(), histories())
def test_nothing_is_taken_from_what_remove_does_not_name(
    desired: DesiredHost, observed: ObservedHost
) -> None:
    removed = {r.key for r in desired.remove}
    stopped = {i.key for i in desired.converge if not i.running}
    kept = {k.key for k in desired.keep}
    units, directories = of_dropped_services(desired, observed)
    for step in plan(desired, observed).steps:
        if isinstance(step, Forget):
            assert step.key in removed - kept
        elif isinstance(step, RemoveDirectory):
            assert step.key in removed - kept or step.path in directories
        elif isinstance(step, StopUnit):
            asked = step.key in (removed | stopped) - kept
            assert asked or step.unit in units
        elif not isinstance(step, Reload):
            assert step.key not in kept


@given(desired_hosts(), histories(), st.data())
def test_a_removal_takes_nothing_of_another_object(
    desired: DesiredHost, observed: ObservedHost, data: st.DataObject
) -> None:
    """The identity is the same; the ledger has it for an object of another name and uid."""
    entries = observed.ledger.instances
    assume(entries)
    entry = data.draw(st.sampled_from(entries))
    alien = RemovedInstance(entry.guid, entry.instance_id, "uid-alien", "elsewhere", entry.name)
    wanted = replace(
        desired,
        converge=tuple(i for i in desired.converge if i.key != entry.key),
        keep=(),
        remove=(*(r for r in desired.remove if r.key != entry.key), alien),
    )
    assert not [step for step in plan(wanted, observed).steps if step.key == entry.key]


@given(desired_hosts(), histories())
def test_orphans_and_kept_instances_stay_as_they_are(
    desired: DesiredHost, observed: ObservedHost
) -> None:
    touched = {e.key for e in orphans_of(desired, observed.ledger)} | {k.key for k in desired.keep}
    before = {e.key: e for e in observed.ledger.instances if e.key in touched}
    units = {names.unit_name(s, e.instance_id) for e in before.values() for s in e.services}
    _, after = settle(desired, observed)
    left = {e.key: e for e in after.ledger.instances}
    assert {key: left.get(key) for key in before} == before
    paths = {f.path for f in observed.files}
    for entry in before.values():
        assert {f.path for f in entry.files} & paths <= {f.path for f in after.files}
    at_rest = ("active", "inactive", "failed")
    was = {u.unit: u.main_pid for u in observed.units if u.active_state in at_rest}
    now = {u.unit: u.main_pid for u in after.units}
    assert all(now.get(unit) == pid for unit, pid in was.items() if unit in units)


@given(desired_hosts(), histories())
def test_only_managed_paths_are_touched(desired: DesiredHost, observed: ObservedHost) -> None:
    managed = set(paths_of(desired, observed.ledger))
    foreign = {
        p for g in desired.games for s in g.services for p in names.foreign_template_paths(s.name)
    }
    for step in plan(desired, observed).steps:
        if isinstance(step, (WriteFile, MakeLink, RemoveFile)):
            assert step.path in managed - foreign
        elif isinstance(step, EnsureDirectory):
            assert step.path.startswith(("/opt/", "/srv/"))


@given(desired_hosts(), histories(), st.randoms(use_true_random=False))
def test_the_order_of_inputs_does_not_matter(
    desired: DesiredHost, observed: ObservedHost, chance: random.Random
) -> None:
    def mixed(items: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(chance.sample(items, len(items)))

    shuffled = replace(
        desired,
        games=mixed(desired.games),
        converge=mixed(desired.converge),
        keep=mixed(desired.keep),
        remove=mixed(desired.remove),
    )
    seen = replace(
        observed,
        files=mixed(observed.files),
        units=mixed(observed.units),
        sockets=mixed(observed.sockets),
        ledger=replace(observed.ledger, instances=mixed(observed.ledger.instances)),
    )
    assert plan(shuffled, seen) == plan(desired, observed)


@given(desired_hosts(), histories())
def test_no_port_path_or_unit_is_held_twice(desired: DesiredHost, observed: ObservedHost) -> None:
    _, after = settle(desired, observed)
    held: dict[object, str] = {}
    for entry in after.ledger.instances:
        units = [names.unit_name(s, entry.instance_id) for s in entry.services]
        ports = [(p.protocol, p.number) for p in entry.ports]
        for thing in (entry.path, *units, *set(ports)):
            assert held.setdefault(thing, entry.key) == entry.key


@given(desired_hosts(), histories())
def test_one_pass_reloads_at_most_once_and_claims_before_it_acts(
    desired: DesiredHost, observed: ObservedHost
) -> None:
    steps = plan(desired, observed).steps
    assert sum(isinstance(s, Reload) for s in steps) <= 1
    phases = [PHASES.index(type(s)) for s in steps]
    assert phases == sorted(phases)
    claimed = {e.key for e in observed.ledger.instances}
    for step in steps:
        if isinstance(step, Claim):
            claimed.add(step.key)
        elif isinstance(step, (WriteFile, EnsureDirectory, StartUnit, RestartUnit, Record)):
            assert step.key in claimed
