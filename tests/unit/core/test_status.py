"""The status of an instance: a function of its inputs, for any verdict and any view."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.core.worlds import (
    World,
    entry_of,
    game,
    host,
    instance,
    inventory_of,
    ledgers,
    worlds,
)
from warlock_agent.model import (
    DesiredPort,
    Ledger,
    ObservedHost,
    ObservedPackage,
    ObservedUnit,
    Refusal,
    StepResult,
)
from warlock_operator.api.conditions import POINTED, get_condition
from warlock_operator.api.names import InstanceState, Kind, Reason
from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus
from warlock_operator.core.desired import Verdict, desired_host, key_of
from warlock_operator.core.events import events_of
from warlock_operator.core.hoststatus import host_status
from warlock_operator.core.inventory import Inventory
from warlock_operator.core.recovery import recovery_left
from warlock_operator.core.status import Measured, homeless_status, status_of
from warlock_operator.core.view import HostView
from warlock_operator.errors import (
    BY_REASON,
    ApiRefused,
    HostBusy,
    HostNotFound,
    HostUnreachable,
    OwnedByAnother,
)

BUSY = HostBusy("process 7 has it")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DEPENDENT = ("Ready", "Installed", "Registered", "Running")
STATES = ("active", "inactive", "failed", "activating", "deactivating", "reloading", "maintenance")
REFUSED = ("PathOccupied", "PortInUse", "of another build")
FAILED = ("", "DiskFull", "of another build")
Scene = tuple[Verdict, HostView]


def _failed(key: str, reason: str) -> StepResult:
    return StepResult("StartUnit", "u", key, "Failed", reason)


@st.composite
def views(draw: st.DrawFn, world: World, keys: list[str]) -> HostView:
    ledger = draw(ledgers(world))
    units = [
        ObservedUnit(
            f"warlock-openarena@{entry.instance_id}.service",
            draw(st.sampled_from(STATES)),
            draw(st.sampled_from(["running", "auto-restart", "dead"])),
            main_pid=draw(st.integers(0, 1)),
            result=draw(st.sampled_from(["success", "start-limit-hit"])),
            exit_code=draw(st.sampled_from(["", "exited", "killed", "dumped"])),
            exit_status=draw(st.sampled_from([0, 1, 9, 200])),
            restarts=draw(st.sampled_from([0, 9])),
            since_seconds=draw(st.sampled_from([0, 1])),
            ports=tuple((p.protocol, p.number) for p in entry.ports if draw(st.booleans())),
        )
        for entry in ledger.instances
    ]
    visited = draw(st.booleans())
    reachable = visited and draw(st.booleans())
    hit = draw(st.sampled_from([*keys, "", "x"]))
    return HostView(
        visited=visited,
        reachable=reachable,
        out_of_sight=not reachable and draw(st.booleans()),
        last_seen=NOW if visited else None,
        error=draw(st.sampled_from([None, HostUnreachable("x"), OwnedByAnother("y")])),
        observed=ObservedHost(ledger=ledger) if visited else ObservedHost(),
        units={unit.unit: unit for unit in units} if visited else {},
        refusals=draw(st.sampled_from([{}, *({hit: Refusal(hit, r, "z")} for r in REFUSED)])),
        failures=draw(st.sampled_from([{}, *({hit: _failed(hit, r)} for r in FAILED)])),
    )


@st.composite
def scenes(draw: st.DrawFn) -> list[Scene]:
    world = draw(worlds())
    inventory: Inventory = inventory_of(world)
    keys = [key_of(item) for item in inventory.instances()]
    view = draw(views(world, keys))
    host = inventory.host("host-a")
    assert host is not None
    decision = desired_host(inventory, host, view.observed.ledger)
    return [(verdict, view) for verdict in decision.verdicts.values()]


UNIT = "warlock-openarena@default.service"
DECLARED = ObservedUnit(UNIT, "active", "running", 4711, ports=(("UDP", 27960),))


@st.composite
def nearly_declared(draw: st.DrawFn) -> Scene:
    """Draw an instance that is as declared in every respect, or in all but some."""
    raw = instance(state=draw(st.sampled_from([None, None, "Stopped"])))
    world = [(Kind.GAME, game()), (Kind.GAME_HOST, host()), (Kind.GAME_INSTANCE, raw)]

    def mostly(right: Any, *wrong: Any) -> Any:
        return draw(st.sampled_from([right] * 6 + list(wrong)))

    entry = replace(entry_of(raw, 27960), generation=mostly(1, 0, 2), name=mostly("a", "another"))
    state = draw(st.sampled_from(STATES))
    unit = mostly(
        DECLARED if raw["spec"].get("state") is None else ObservedUnit(UNIT),
        replace(DECLARED, ports=()),
        replace(DECLARED, ports=(("UDP", 27961),)),
        replace(DECLARED, active_state=state),
        ObservedUnit(UNIT, state),
    )
    key = entry.key
    packages = mostly((ObservedPackage("openarena-server", "1"),), ())
    observed = ObservedHost(ledger=Ledger(instances=(entry,)), packages=packages)
    out_of_sight = mostly(False, True)
    inventory = inventory_of(world)
    where = inventory.host("host-a")
    assert where is not None
    (verdict,) = desired_host(inventory, where, observed.ledger).verdicts.values()
    return verdict, HostView(
        visited=mostly(True, False),
        reachable=not out_of_sight,
        out_of_sight=out_of_sight,
        observed=observed,
        units={UNIT: unit},
        refusals=mostly({}, {key: Refusal(key, "PathOccupied", "z")}),
        failures=mostly({}, {key: _failed(key, "DiskFull")}),
    )


def alone(unit: ObservedUnit, **spec: Any) -> Scene:
    """Give an instance that is as declared but for its unit."""
    raw = instance(**spec)
    world = [(Kind.GAME, game()), (Kind.GAME_HOST, host()), (Kind.GAME_INSTANCE, raw)]
    inventory = inventory_of(world)
    where = inventory.host("host-a")
    assert where is not None
    packages = (ObservedPackage("openarena-server", "1"),)
    ledger = Ledger(instances=(entry_of(raw, 27960),))
    observed = ObservedHost(ledger=ledger, packages=packages)
    (verdict,) = desired_host(inventory, where, ledger).verdicts.values()
    return verdict, HostView(visited=True, reachable=True, observed=observed, units={UNIT: unit})


def tell(
    scene: Scene, previous: GameInstanceStatus | None = None, now: datetime = NOW
) -> GameInstanceStatus:
    return status_of(*scene, "198.18.1.1", Measured(), previous, now)


@given(scenes())
def test_it_is_told_for_every_verdict_and_view_and_again_the_same(scenes: list[Scene]) -> None:
    for scene in scenes:
        once = tell(scene)
        assert tell(scene, once, LATER) == once
        assert not list(events_of(once.conditions, once.conditions))


@given(scenes(), scenes())
def test_a_transition_time_moves_with_the_status_alone(
    before: list[Scene], after: list[Scene]
) -> None:
    for first, second in zip(before, after, strict=False):
        old = tell(first)
        for condition in tell(second, old, LATER).conditions:
            was = get_condition(old.conditions, condition.type)
            moved = was is None or was.status != condition.status
            assert condition.last_transition_time == (
                LATER if moved or was is None else was.last_transition_time
            )


@given(nearly_declared())
def test_out_of_sight_nothing_of_the_host_is_told_as_known(scene: Scene) -> None:
    verdict, view = scene
    assume(verdict.error is None)
    told = tell((verdict, replace(view, visited=True, reachable=False, out_of_sight=True)))
    statuses = {c.type: c.status for c in told.conditions}
    assert {statuses[type_] for type_ in DEPENDENT} == {"Unknown"}
    assert told.state == "Unknown"
    assert told.players is None
    assert told.metrics is None
    assert told.services == ()


@given(nearly_declared())
def test_ready_is_true_where_the_machine_is_as_declared_and_nowhere_else(scene: Scene) -> None:
    verdict, view = scene
    (entry,) = view.observed.ledger.instances
    wanted = verdict.instance
    unit = view.units[UNIT]
    running = unit.active_state in ("active", "reloading")
    settled = unit.active_state not in ("activating", "deactivating", "maintenance")
    declared = (
        wanted is not None
        and (entry.generation, entry.name) == (1, "a")
        and view.visited
        and not view.out_of_sight
        and bool(view.observed.packages)
        and not view.refusals
        and not view.failures
        and running == wanted.running
        and settled
        and (not running or bool(unit.main_pid))
        and (not running or {(p.protocol, p.number) for p in wanted.ports} <= set(unit.ports))
    )
    ready = get_condition(tell(scene).conditions, "Ready")
    assert ready is not None
    assert (ready.status == "True") == declared


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("pid", [0, 4711])
@pytest.mark.parametrize("wanted", ["Running", "Stopped"])
def test_ready_is_true_of_a_unit_that_has_settled_where_it_should(
    state: str, pid: int, wanted: str
) -> None:
    unit = replace(DECLARED, active_state=state, main_pid=pid)
    told = tell(alone(unit, state=wanted))
    statuses = {c.type: c.status for c in told.conditions}
    there = state in ("active", "reloading") and bool(pid)
    gone = state in ("inactive", "failed")
    assert (statuses["Ready"] == "True") == (there if wanted == "Running" else gone)
    if statuses["Ready"] == "True":
        assert told.state == wanted


@given(scenes())
def test_ready_reconciling_and_stalled_never_contradict_each_other(scenes: list[Scene]) -> None:
    for scene in scenes:
        statuses = {c.type: c.status for c in tell(scene).conditions}
        assert not (statuses["Reconciling"] == "True" and statuses["Stalled"] == "True")
        if statuses["Ready"] == "True":
            assert {statuses["Reconciling"], statuses["Stalled"]} == {"False"}


@given(scenes())
def test_within_the_grace_only_the_way_to_the_host_is_news(scenes: list[Scene]) -> None:
    for verdict, view in scenes:
        seen = replace(view, visited=True, reachable=True, out_of_sight=False, error=None)
        before = tell((verdict, seen))
        lost = replace(seen, reachable=False, error=HostUnreachable("cut"))
        after = tell((verdict, lost), before, LATER)
        changed = [c.type for c in after.conditions if c not in before.conditions]
        assert changed == ["HostReachable"]


@given(scenes())
def test_a_reason_is_known_and_a_failure_says_where_to_read_on(scenes: list[Scene]) -> None:
    for scene in scenes:
        for condition in tell(scene).conditions:
            assert condition.reason in {*BY_REASON, *Reason}
            first = condition.message.partition("\n")[0]
            where = f"; see docs/troubleshooting.md#{condition.reason.lower()}"
            assert first.endswith(where) == (condition.reason in POINTED)
            assert first.count("; see ") == (condition.reason in POINTED)


@given(scenes())
def test_what_a_failed_pass_left_unapplied_is_told_with_its_error(scenes: list[Scene]) -> None:
    for verdict, view in scenes:
        if verdict.instance is None:
            continue
        installed = ObservedHost(packages=(ObservedPackage("openarena-server", "1"),))
        bare = replace(view, observed=installed, units={}, refusals={}, failures={})
        busy = replace(bare, visited=True, reachable=True, out_of_sight=False, error=BUSY)
        ready = get_condition(tell((verdict, busy)).conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "HostBusy")
        assert ready.message.startswith(str(BUSY))


@given(scenes())
def test_what_the_apiserver_refused_is_not_the_hosts_fault(scenes: list[Scene]) -> None:
    refused = HostView(error=ApiRefused("the finalizer could not be written"))
    for verdict, _ in scenes:
        told = tell((verdict, refused))
        assert [c.status for c in told.conditions if c.type == "HostReachable"] == ["Unknown"]
        ready = get_condition(told.conditions, "Ready")
        assert ready is not None
        sound = verdict.error is None and not verdict.paused
        assert (ready.reason == "ApiRefused") == sound
    item = inventory_of([(Kind.GAME_HOST, host())]).host("host-a")
    assert item is not None
    shown = host_status(item, refused, 0, (), None, NOW)
    assert {c.type: c.status for c in shown.conditions} == {
        "Ready": "False", "Reachable": "Unknown", "Stalled": "False",
    }  # fmt: skip


def test_a_deletion_without_a_host_does_not_claim_that_anything_was_stopped() -> None:
    raw = instance(host="nowhere")
    raw["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    inventory = inventory_of([(Kind.GAME_INSTANCE, raw)])
    item = next(iter(inventory.instances()))
    verdict = Verdict(item, error=HostNotFound("no GameHost nowhere"), removing=True)
    ready = get_condition(homeless_status(verdict, None, NOW).conditions, "Ready")
    assert ready is not None
    assert ready.reason == "HostNotFound"
    assert "force-delete" in ready.message


def test_what_has_never_been_applied_is_not_said_to_be_starting() -> None:
    world = [(Kind.GAME, game()), (Kind.GAME_HOST, host()), (Kind.GAME_INSTANCE, instance())]
    inventory = inventory_of(world)
    where = inventory.host("host-a")
    assert where is not None
    for applied, reason in ((0, "Waiting"), (1, "Starting")):
        entry = replace(entry_of(world[2][1], 27960), generation=applied)
        observed = ObservedHost(ledger=Ledger(instances=(entry,)))
        verdicts = desired_host(inventory, where, observed.ledger).verdicts
        view = HostView(visited=True, reachable=True, observed=observed)
        (verdict,) = verdicts.values()
        running = get_condition(tell((verdict, view)).conditions, "Running")
        assert running is not None
        assert (running.status, running.reason) == ("False", reason)


@pytest.mark.parametrize("away", [True, False])
def test_what_ran_on_a_cordoned_host_is_not_told_to_be_refused_before_it_was_looked_at(
    away: bool,
) -> None:
    world = [
        (Kind.GAME, game()), (Kind.GAME_HOST, host(unschedulable=True)),
        (Kind.GAME_INSTANCE, instance()),
    ]  # fmt: skip
    inventory = inventory_of(world)
    where = inventory.host("host-a")
    assert where is not None
    (verdict,) = desired_host(inventory, where, Ledger()).verdicts.values()
    assert verdict.error is not None
    view = HostView(out_of_sight=away, error=HostUnreachable("no route") if away else None)
    ran = GameInstanceStatus(state=InstanceState.RUNNING)
    told = status_of(verdict, view, "", Measured(), ran, NOW)
    ready, stalled = (get_condition(told.conditions, kind) for kind in ("Ready", "Stalled"))
    assert ready is not None
    assert stalled is not None
    assert (ready.status, stalled.status, told.state) == ("Unknown", "False", "Unknown")
    # One that nobody has seen there is new, and refused at once.
    told = status_of(verdict, view, "", Measured(), None, NOW)
    ready = get_condition(told.conditions, "Ready")
    assert ready is not None
    assert ready.reason == "HostUnschedulable"


def test_a_port_s_name_that_is_no_text_is_shown_as_what_can_be() -> None:
    """Of a ledger that was tampered with."""
    raw = instance()
    entry = replace(entry_of(raw, 27960), ports=(DesiredPort("\ud800", "UDP", 27960),))
    world = [(Kind.GAME_HOST, host()), (Kind.GAME_INSTANCE, raw)]  # no Game: the ledger counts
    inventory = inventory_of(world)
    where = inventory.host("host-a")
    assert where is not None
    observed = ObservedHost(ledger=Ledger(instances=(entry,)))
    (verdict,) = desired_host(inventory, where, observed.ledger).verdicts.values()
    told = tell((verdict, HostView(visited=True, reachable=True, observed=observed)))
    assert [(port.name, port.port) for port in told.ports] == [(" ", 27960)]


def test_ports_are_not_said_to_be_given_before_the_host_was_looked_at() -> None:
    """Once a status says them they count as given, and a stranger may have them there."""
    world = [(Kind.GAME, game()), (Kind.GAME_HOST, host()), (Kind.GAME_INSTANCE, instance())]
    inventory = inventory_of(world)
    where = inventory.host("host-a")
    assert where is not None
    (verdict,) = desired_host(inventory, where, Ledger()).verdicts.values()
    for visited, status in ((False, "Unknown"), (True, "True")):
        told = status_of(verdict, HostView(visited=visited), "", Measured(), None, NOW)
        allocated = get_condition(told.conditions, "PortsAllocated")
        assert allocated is not None
        assert (bool(told.ports), allocated.status) == (visited, status)


def test_a_refused_change_shows_what_the_machine_has() -> None:
    asked = instance(ports=[{"name": "game", "port": 27961}])
    world = [(Kind.GAME, game()), (Kind.GAME_HOST, host()), (Kind.GAME_INSTANCE, asked)]
    inventory = inventory_of(world)
    where = inventory.host("host-a")
    assert where is not None
    entry = entry_of(asked, 27960)
    observed = ObservedHost(ledger=Ledger(instances=(entry,)))
    (verdict,) = desired_host(inventory, where, observed.ledger).verdicts.values()
    for refusals, address in (
        ({}, "198.18.1.1:27961"),
        ({entry.key: Refusal(entry.key, "PortInUse", "taken")}, "198.18.1.1:27960"),
    ):
        view = HostView(visited=True, reachable=True, observed=observed, refusals=refusals)
        told = tell((verdict, view))
        assert told.address == address
        assert f"{told.address.partition(':')[0]}:{told.ports[0].port}" == address


# --- what ends by itself --------------------------------------------------------------

GRACE = timedelta(seconds=30)
CRASHED = replace(
    DECLARED,
    active_state="activating",
    sub_state="auto-restart",
    main_pid=0,
    ports=(),
    exit_code="killed",
    exit_status=11,
)
RESTARTED = replace(DECLARED, main_pid=4712, restarts=1)
NOT_BOUND = replace(RESTARTED, ports=())
STOPPING = replace(DECLARED, active_state="deactivating", sub_state="stop-sigterm")


def then(
    before: GameInstanceStatus, unit: ObservedUnit, now: datetime, grace: timedelta = GRACE
) -> GameInstanceStatus:
    return status_of(*alone(unit), "198.18.1.1", Measured(), before, now, grace)


def reasons(told: GameInstanceStatus) -> tuple[str, str, str]:
    """Ready's status and reason, and whether it is Reconciling."""
    ready, reconciling = (get_condition(told.conditions, t) for t in ("Ready", "Reconciling"))
    assert ready is not None
    assert reconciling is not None
    return ready.status, ready.reason, reconciling.status


RECOVERS = ("False", "Recovering", "False")


@pytest.mark.parametrize(
    "sign",
    [CRASHED, replace(CRASHED, active_state="failed", result="oom-kill"), NOT_BOUND,
     replace(DECLARED, main_pid=0)],
    ids=["auto-restart", "failed", "anew", "no-process"],
)  # fmt: skip
def test_what_was_ready_and_ends_by_itself_recovers_for_a_while(sign: ObservedUnit) -> None:
    well = tell(alone(DECLARED))
    ended = then(well, sign, NOW)
    assert reasons(ended) == RECOVERS
    assert recovery_left(ended, NOW, GRACE) == GRACE
    almost, over = NOW + GRACE - timedelta(seconds=1), NOW + GRACE
    again = replace(CRASHED, active_state="activating", sub_state="start")
    for unit in (CRASHED, again, NOT_BOUND):
        assert reasons(then(ended, unit, almost)) == RECOVERS
        status, reason, reconciling = reasons(then(ended, unit, over))
        assert (status, reconciling) == ("False", "True")
        assert reason != "Recovering"
    assert reasons(then(ended, RESTARTED, almost)) == ("True", "AsDeclared", "False")


def test_what_recovers_says_at_once_that_it_does_not_run() -> None:
    ended = then(tell(alone(DECLARED)), CRASHED, NOW)
    running = get_condition(ended.conditions, "Running")
    assert running is not None
    assert (running.status, running.reason) == ("False", "MainProcessExited")
    assert ended.state == "Crashed"


def test_what_was_not_ready_or_was_stopped_on_purpose_does_not_recover() -> None:
    well = tell(alone(DECLARED))
    starting = then(GameInstanceStatus(), NOT_BOUND, NOW)
    stopping = then(well, STOPPING, NOW)
    loading = then(well, replace(NOT_BOUND, restarts=0), NOW)
    for before in (GameInstanceStatus(), starting, stopping, loading):
        assert reasons(then(before, CRASHED, NOW)) == ("False", "MainProcessExited", "True")
    other = well.model_copy(
        update={
            "conditions": tuple(
                c.model_copy(update={"observed_generation": 7}) for c in well.conditions
            )
        }
    )
    assert reasons(then(other, CRASHED, NOW)) == ("False", "MainProcessExited", "True")


@pytest.mark.parametrize(
    "ours", [{"passing": True}, {"restarted": frozenset({entry_of(instance(), 1).key})}]
)
def test_what_a_pass_has_restarted_does_not_recover_on_account_of_the_one_before(
    ours: dict[str, Any],
) -> None:
    well = tell(alone(DECLARED))
    for unit in (CRASHED, NOT_BOUND, replace(DECLARED, main_pid=0)):
        verdict, view = alone(unit)
        told = status_of(verdict, replace(view, **ours), "198.18.1.1", Measured(), well, NOW, GRACE)
        assert reasons(told)[2] == "True"


def test_a_crash_loop_is_stalled_and_no_grace_is_none() -> None:
    well = tell(alone(DECLARED))
    looping = replace(CRASHED, active_state="failed", result="start-limit-hit")
    for before in (well, then(well, CRASHED, NOW)):
        assert reasons(then(before, looping, NOW)) == ("False", "CrashLoop", "False")
    none = timedelta(0)
    assert reasons(then(well, CRASHED, NOW, none)) == ("False", "MainProcessExited", "True")


def test_a_clock_that_was_put_back_ends_a_recovery() -> None:
    ended = then(tell(alone(DECLARED)), CRASHED, LATER)
    assert recovery_left(ended, NOW, GRACE) == timedelta(0)
    assert reasons(then(ended, CRASHED, NOW)) == ("False", "MainProcessExited", "True")
