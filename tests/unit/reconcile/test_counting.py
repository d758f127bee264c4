"""Players are asked where the instance's own process listens, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.core.worlds import ADDRESS, entry_of, game, host, instance, inventory_of
from warlock_agent.model import Ledger, ObservedUnit
from warlock_operator.api.names import Kind
from warlock_operator.core.desired import desired_host
from warlock_operator.core.view import HostView
from warlock_operator.reconcile.counting import question_of

UNIT = ObservedUnit(
    "warlock-openarena@default.service", "active", "running", 4711, ports=(("UDP", 27960),)
)


def asked(unit: ObservedUnit, **spec: object) -> tuple[str, str, int, int] | None:
    raw = instance(**spec)
    world = [(Kind.GAME, game()), (Kind.GAME_HOST, host()), (Kind.GAME_INSTANCE, raw)]
    inventory = inventory_of(world)
    item = inventory.host("host-a")
    assert item is not None
    ledger = Ledger(instances=(entry_of(raw, 27960),))
    (verdict,) = desired_host(inventory, item, ledger).verdicts.values()
    view = HostView(visited=True, reachable=True, units={UNIT.unit: unit})
    return question_of(verdict, view, item)


def test_a_running_instance_is_asked_at_its_port() -> None:
    assert asked(UNIT) == ("Quake3", ADDRESS, 27960, 4711)


@pytest.mark.parametrize(
    "unit", [replace(UNIT, ports=()), replace(UNIT, active_state="activating", main_pid=0)]
)
def test_one_that_does_not_listen_is_not_asked(unit: ObservedUnit) -> None:
    assert asked(unit) is None


def test_a_port_that_it_has_not_bound_is_not_asked() -> None:
    """The number was changed to one that a stranger has, so the change is refused."""
    assert asked(UNIT, ports=[{"name": "game", "port": 27963}]) is None
