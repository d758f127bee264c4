"""A seed makes the same weather each time, and nobody is met by two things at once."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from soakkit.acts import DO, UNDO
from soakkit.causes import Causes
from soakkit.weather import EVERYBODY, KINDS, Kind, Weather, forecast

HOSTS, PER_HOST, SECONDS = 4, 5, 1800.0


def made(seed: int) -> list[Weather]:
    """Give half an hour of it."""
    return forecast(seed, SECONDS, HOSTS, PER_HOST, 2.0)


def test_a_seed_makes_the_same_weather_and_another_one_another() -> None:
    assert made(1) == made(1)
    assert made(1) != made(2)


def test_a_longer_run_begins_as_the_shorter_one_does() -> None:
    short = forecast(3, 180.0, HOSTS, PER_HOST, 2.0)
    begin = [each for each in made(3) if each.at_seconds + each.lasts_seconds <= 150.0]
    assert [str(each).partition(" ")[2] for each in begin] == [
        str(each).partition(" ")[2]
        for each in short
        if each.at_seconds + each.lasts_seconds <= 150.0
    ]


@pytest.mark.parametrize("seed", range(5))
def test_everything_happens_and_ends_in_time(seed: int) -> None:
    found = made(seed)
    assert {each.kind for each in found} == set(KINDS)
    assert all(each.at_seconds + each.lasts_seconds <= SECONDS for each in found)
    assert [each.number for each in found] == list(range(len(found)))


@pytest.mark.parametrize("seed", range(5))
def test_two_things_for_the_same_one_come_one_after_the_other(seed: int) -> None:
    for one, two in combinations(made(seed), 2):
        if one.turn == two.turn:
            assert one.at_seconds + one.lasts_seconds < two.at_seconds


@pytest.mark.parametrize("seed", range(5))
def test_it_befalls_what_its_kind_says(seed: int) -> None:
    for each in made(seed):
        assert (each.slot == EVERYBODY) == (each.kind.scope != "instance")
        assert (each.host == EVERYBODY) == (each.kind.scope == "all")
        if each.slot != EVERYBODY:
            assert each.host == each.slot // PER_HOST


def test_every_kind_is_done_and_undone_where_it_lasts() -> None:
    assert set(DO) == {kind.name for kind in KINDS}
    assert set(UNDO) == {kind.name for kind in KINDS if kind.lasts != (0.0, 0.0)}
    assert max(Counter(kind.name for kind in KINDS).values()) == 1


def weather(kind: Kind, slot: int = EVERYBODY, host: int = EVERYBODY) -> Weather:
    """Give one thing that happens."""
    return Weather(0, 0.0, kind, host, slot, 0.0, 1)


KILL = Kind("kill", "instance", 1, ends=1)
EDIT = Kind("edit", "instance", 1, loose=True)
REBOOT = Kind("reboot", "host", 1, ends=1)
AGENT = Kind("agent", "host", 1)


def test_an_end_has_a_cause_of_its_instance_or_its_machine() -> None:
    causes = Causes(PER_HOST)
    causes.note(weather(KILL, slot=6, host=1))
    causes.note(weather(REBOOT, host=1))
    causes.note(weather(AGENT, host=0))
    assert [causes.allowed(slot) for slot in (0, 5, 6, 10)] == [0, 1, 2, 0]


def test_a_file_edited_by_hand_excuses_an_end_only_beside_another_cause() -> None:
    causes = Causes(PER_HOST)
    causes.note(weather(EDIT, slot=0, host=0), 1000.0)
    assert causes.allowed(0) == 0
    causes.note(weather(KILL, slot=0, host=0), 2000.0)
    assert causes.allowed(0) == 1
    causes.note(weather(KILL, slot=0, host=0), 1010.0)
    assert causes.allowed(0) == 3
