"""Players are asked where the instance's own process listens, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.core.worlds import ADDRESS, entry_of, game, host, instance, inventory_of
from warlock_agent.model import Ledger, ObservedUnit
from warlock_operator.api.names import Kind
from warlock_operator.api.v1alpha1.instancestatus import Players
from warlock_operator.core.desired import desired_host
from warlock_operator.core.view import HostView
from warlock_operator.reconcile.counting import PlayerPoll, question_of
from warlock_operator.settings import Settings
from warlock_operator.transport import queries

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


# --- what becomes of an answer ---


class Answers:
    """In place of games: gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: Callable[[], queries.Players | None]) -> None:
        self.answers = list(answers)

    async def query(self, *_: object) -> queries.Players | None:
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()


async def counts(*answers: Callable[[], queries.Players | None]) -> list[Players | None]:
    """What is shown after each change, from the first to that of the last answer."""
    shown: list[Players | None] = []
    changed = asyncio.Event()

    def note(uid: str) -> None:
        shown.append(poll.of(uid, None))
        changed.set()

    made: Any = Answers(*answers)
    poll = PlayerPoll(made, Settings(query_seconds=0.05), note)
    task = asyncio.create_task(poll._poll("uid", ("Quake3", ADDRESS, 27960, 4711)))
    async with asyncio.timeout(10):
        while len(shown) < len(answers):
            await changed.wait()
            changed.clear()
    task.cancel()
    return shown


async def test_a_game_that_says_no_maximum_is_counted_on() -> None:
    assert await counts(
        lambda: queries.Players(5, 20), lambda: queries.Players(7, None), lambda: None
    ) == [Players(online=5, max=20), Players(online=7), None]


async def test_an_answer_that_can_t_be_shown_makes_the_count_unknown_and_not_stale() -> None:
    too_long = queries.Players(1, 20, ("x" * 5000,))
    assert await counts(
        lambda: queries.Players(5, 20), lambda: too_long, lambda: queries.Players(6, 20)
    ) == [Players(online=5, max=20), None, Players(online=6, max=20)]
