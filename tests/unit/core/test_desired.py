"""What is sent to a host, whatever the cluster and the host's ledger look like."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
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
from warlock_agent.model import BoundSocket, Ledger
from warlock_operator.api.names import FINALIZER, Kind
from warlock_operator.core.desired import HostDecision, desired_host, key_of, request_of
from warlock_operator.errors import AmbiguousHost, PortTaken

OTHER_ID = "550e8400-e29b-41d4-a716-446655440000"


def decide(world: World, ledger: Ledger = Ledger(), *sockets: BoundSocket) -> HostDecision:  # noqa: B008
    inventory = inventory_of(world)
    item = inventory.host("host-a")
    assert item is not None
    return desired_host(inventory, item, ledger, sockets)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[World, Ledger]:
    world = draw(worlds())
    return world, draw(ledgers(world))


@given(scenes())
def test_every_instance_gets_a_verdict_and_every_key_one_list_at_most(
    scene: tuple[World, Ledger],
) -> None:
    world, ledger = scene
    made = decide(world, ledger)
    meant = {
        raw["metadata"]["uid"]
        for kind, raw in world
        if kind is Kind.GAME_INSTANCE and raw["spec"]["host"] != "nowhere"
    }
    assert set(made.verdicts) == meant
    lists = [{i.key for i in each} for each in (made.desired.converge, made.desired.keep)]
    assert not lists[0] & lists[1]
    assert not lists[1] & {r.key for r in made.desired.remove}
    assert len({i.key for i in made.desired.converge}) == len(made.desired.converge)


@given(scenes())
def test_only_a_deletion_that_we_hold_removes_anything(scene: tuple[World, Ledger]) -> None:
    world, ledger = scene
    raws = {raw["metadata"]["uid"]: raw["metadata"] for _, raw in world}
    for removed in decide(world, ledger).desired.remove:
        where = raws[removed.uid]
        assert where.get("deletionTimestamp")
        assert FINALIZER in where.get("finalizers", ())
        assert not where.get("annotations")


@given(scenes())
def test_what_is_not_sound_is_kept_and_never_named_for_removal(
    scene: tuple[World, Ledger],
) -> None:
    world, ledger = scene
    made = decide(world, ledger)
    named = {i.key for i in made.desired.converge} | {r.key for r in made.desired.remove}
    for verdict in made.verdicts.values():
        if verdict.instance is None and not verdict.removing:
            key = key_of(verdict.item)
            assert key in named | {k.key for k in made.desired.keep}


@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_of_inputs_does_not_matter(
    scene: tuple[World, Ledger], chance: random.Random
) -> None:
    world, ledger = scene
    mixed = Ledger(
        **{
            **vars(ledger),
            "instances": tuple(chance.sample(ledger.instances, len(ledger.instances))),
        }
    )
    made = decide(world, ledger)
    again = decide(chance.sample(world, len(world)), mixed)
    assert again.desired == made.desired
    assert {u: type(v.error) for u, v in again.verdicts.items()} == {
        u: type(v.error) for u, v in made.verdicts.items()
    }


@given(scenes())
def test_ports_never_collide_asked_for_allocated_or_held_by_others(
    scene: tuple[World, Ledger],
) -> None:
    world, ledger = scene
    made = decide(world, ledger)
    slots = [(p.protocol, p.number) for i in made.desired.converge for p in i.ports]
    assert len(slots) == len(set(slots))
    held = {(p.protocol, p.number): e for e in ledger.instances for p in e.ports}
    for one in made.desired.converge:
        for port in one.ports:
            entry = held.get((port.protocol, port.number))
            assert entry is None or (entry.namespace, entry.name) == (one.namespace, one.name)


@given(scenes())
def test_a_ledger_loss_moves_no_port_that_the_statuses_show(
    scene: tuple[World, Ledger],
) -> None:
    world, _ = scene
    before = {i.uid: i.ports for i in decide(world).desired.converge}
    for kind, raw in world:
        ports = before.get(raw["metadata"]["uid"]) if kind is Kind.GAME_INSTANCE else None
        if ports:
            shown = [{"name": p.name, "port": p.number, "protocol": p.protocol} for p in ports]
            raw["status"] = {"ports": shown}
    chance = random.Random(1)
    after = {i.uid: i.ports for i in decide(chance.sample(world, len(world))).desired.converge}
    assert after == before


def test_a_port_that_its_holder_is_about_to_leave_is_not_given_to_another() -> None:
    mover = instance("a", ports=[{"name": "game", "port": 27963}])
    world: World = [
        (Kind.GAME_HOST, host()),
        (Kind.GAME, game()),
        (Kind.GAME_INSTANCE, mover),
        (Kind.GAME_INSTANCE, instance("b", age=1, instance_id=OTHER_ID)),
    ]
    made = decide(world, Ledger(instances=(entry_of(mover, 27960),)))
    assert {i.name: i.ports[0].number for i in made.desired.converge} == {"a": 27963, "b": 27961}


def test_a_strangers_port_is_skipped() -> None:
    world: World = [
        (Kind.GAME_HOST, host()), (Kind.GAME, game()), (Kind.GAME_INSTANCE, instance()),
    ]  # fmt: skip
    stranger = BoundSocket("UDP", "0.0.0.0", 27960, 7, "nginx")
    assert decide(world, Ledger(), stranger).desired.converge[0].ports[0].number == 27961


def test_what_a_status_says_takes_no_port_from_whoever_the_ledger_has_there() -> None:
    """It was given before, never applied, and paused when the other one came."""
    holder = instance("a", age=1)
    late = instance("b", namespace="another", instance_id=OTHER_ID)
    late["status"] = {"ports": [{"name": "game", "port": 27960, "protocol": "UDP"}]}
    world: World = [
        (Kind.GAME_HOST, host()), (Kind.GAME, game()),
        (Kind.GAME_INSTANCE, holder), (Kind.GAME_INSTANCE, late),
    ]  # fmt: skip
    made = decide(world, Ledger(instances=(entry_of(holder, 27960),)))
    assert {i.name: i.ports[0].number for i in made.desired.converge} == {"a": 27960, "b": 27961}


def test_what_a_neighbour_s_program_has_bound_besides_is_not_given() -> None:
    holder, new = instance("a"), instance("b", age=1, instance_id=OTHER_ID)
    world: World = [
        (Kind.GAME_HOST, host()), (Kind.GAME, game()),
        (Kind.GAME_INSTANCE, holder), (Kind.GAME_INSTANCE, new),
    ]  # fmt: skip
    unit = "warlock-openarena@default.service"
    bound = [BoundSocket("UDP", "0.0.0.0", number, 7, "oa", unit) for number in (27960, 27961)]
    made = decide(world, Ledger(instances=(entry_of(holder, 27960),)), *bound)
    assert {i.name: i.ports[0].number for i in made.desired.converge} == {"a": 27960, "b": 27962}


def test_without_any_record_an_instance_keeps_the_port_that_it_has_bound() -> None:
    world: World = [
        (Kind.GAME_HOST, host()), (Kind.GAME, game()), (Kind.GAME_INSTANCE, instance()),
    ]  # fmt: skip
    own = BoundSocket("UDP", "0.0.0.0", 27960, 7, "oa", "warlock-openarena@default.service")
    assert decide(world, Ledger(), own).desired.converge[0].ports[0].number == 27960


def test_two_ports_of_an_instance_are_not_one_number_of_one_protocol() -> None:
    made = game()
    made["spec"]["ports"].append({"name": "rcon", "protocol": "UDP", "default": 27961})
    for protocol, refused in (("UDP", True), ("TCP", False)):
        made["spec"]["ports"][-1]["protocol"] = protocol
        both = [{"name": "game", "port": 27960}, {"name": "rcon", "port": 27960}]
        world: World = [
            (Kind.GAME_HOST, host()), (Kind.GAME, made),
            (Kind.GAME_INSTANCE, instance(ports=both)),
        ]  # fmt: skip
        (verdict,) = decide(world).verdicts.values()
        assert isinstance(verdict.error, PortTaken) is refused, verdict.error
        if refused:
            assert "game and rcon both ask for 27960/UDP" in str(verdict.error)


@given(scenes(), st.sampled_from(["", "a.service"]))
def test_no_socket_moves_a_port_that_was_given(scene: tuple[World, Ledger], unit: str) -> None:
    world, ledger = scene
    held = {entry.key: entry.ports for entry in ledger.instances}
    before = {i.key: i.ports for i in decide(world, ledger).desired.converge}
    numbers = [port.number for ports in held.values() for port in ports]
    sockets = [BoundSocket("UDP", "0.0.0.0", number, 7, "x", unit) for number in numbers]
    after = {i.key: i.ports for i in decide(world, ledger, *sockets).desired.converge}
    for key, ports in before.items():
        assert ports != held.get(key) or after[key] == ports


@pytest.mark.parametrize("remembered_by", ["ledger", "status"])
def test_a_port_that_was_given_stays_whoever_has_it_bound(remembered_by: str) -> None:
    raw = instance()
    ledger = Ledger(instances=(entry_of(raw, 27961),))
    if remembered_by == "status":
        ledger = Ledger()
        raw["status"] = {"ports": [{"name": "game", "port": 27961, "protocol": "UDP"}]}
    world: World = [
        (Kind.GAME_HOST, host()), (Kind.GAME, game()), (Kind.GAME_INSTANCE, raw),
    ]  # fmt: skip
    # Of its own process, which has ended and is no longer in any unit.
    ending = BoundSocket("UDP", "0.0.0.0", 27961, 0, "")
    assert decide(world, ledger, ending).desired.converge[0].ports[0].number == 27961


def test_a_deletion_waits_while_its_host_is_ambiguous() -> None:
    raw = instance(host="198.18.1.1")
    raw["metadata"].update(deletionTimestamp="2026-01-02T00:00:00Z", finalizers=[FINALIZER])
    world: World = [
        (Kind.GAME_HOST, host()), (Kind.GAME_HOST, host("host-b")), (Kind.GAME_INSTANCE, raw),
    ]  # fmt: skip
    made = decide(world, Ledger(instances=(entry_of(raw, 27960),)))
    verdict = made.verdicts[raw["metadata"]["uid"]]
    assert isinstance(verdict.error, AmbiguousHost)
    assert not made.desired.remove


@pytest.mark.parametrize(
    "value", ["a\x00b", "x" * 200_000, "a\nb", "\ud800"], ids=lambda v: ascii(v[:4])
)
def test_an_annotation_can_not_spoil_the_message_for_a_host(value: str) -> None:
    token = request_of(value)
    assert token.isprintable()
    assert len(token) <= 64
    assert token not in (request_of(value + "a"), "")
    assert request_of("2026-01-01T00:00:00Z") == "2026-01-01T00:00:00Z"


@given(scenes())
def test_a_paused_host_is_sent_nothing_but_what_to_keep(scene: tuple[World, Ledger]) -> None:
    world, ledger = scene
    entry = next(iter(ledger.instances), None)
    asked = f"{entry.key}/{entry.uid}" if entry else "x"
    for kind, raw in world:
        if kind is Kind.GAME_HOST:
            raw["metadata"]["annotations"] = {
                "warlock.dev/paused": "true",
                "warlock.dev/remove-orphan": asked,
            }
    made = decide(world, ledger)
    assert made.desired.converge == ()
    assert made.desired.remove == ()
    assert {key_of(v.item) for v in made.verdicts.values()} == {k.key for k in made.desired.keep}
    assert all(v.paused for v in made.verdicts.values())
