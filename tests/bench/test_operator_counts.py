"""What changes cost in writes to the API, with the real operator, API server and machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from benchkit.watching import Object, condition, ready
from benchkit.world import NAMESPACE, World, instance, instances, name_of
from tests.e2e import scenes

MANY = 10
STATUSES_OF_A_START = 6
"""Pending, not running, activating, running, its process, its score; usually some fall together."""


@pytest.fixture
def names(world: World) -> Iterator[list[str]]:
    """So many instances that run."""
    (host,) = world.hosts
    made = [name_of(host, number) for number in range(MANY)]
    world.kubectl.apply(*instances([host], MANY))
    settle(world, made)
    yield made
    world.clear()


def settle(world: World, names: Sequence[str]) -> None:
    """Return when all run, are Ready and have their scores: nothing more will be written."""

    def settled(seen: dict[str, Object]) -> bool:
        return all(name in seen and _at_rest(seen[name]) for name in names)

    world.watch.until(settled, 60.0, "all run, and their scores are known")


def _at_rest(found: Object) -> bool:
    scored = "securityScore" in found.get("status", {})
    return ready(found) and condition(found, "Running") == "True" and scored


def of_instances(writes: Sequence[str], part: str = "/status") -> dict[str, int]:
    """Count the writes about each instance by its name. part: ``/status``, or empty: the rest."""
    begin = f"patch /apis/warlock.dev/v1alpha1/namespaces/{NAMESPACE}/gameinstances/"
    paths = [w.removeprefix(begin).partition("?")[0] for w in writes if w.startswith(begin)]
    named = [path.partition("/") for path in paths]
    return dict(Counter(name for name, slash, rest in named if slash + rest == part))


def test_a_new_instance_costs_one_finalizer_and_few_statuses(world: World) -> None:
    (host,) = world.hosts
    made = [name_of(host, number) for number in range(MANY)]
    with scenes.writes_of_operator(world.lab) as writes:
        world.kubectl.apply(*instances([host], MANY))
        settle(world, made)
    world.clear()
    assert of_instances(writes, "") == dict.fromkeys(made, 1)
    statuses = of_instances(writes)
    assert statuses.keys() == set(made)
    assert max(statuses.values()) <= STATUSES_OF_A_START, statuses


def test_one_change_among_many_writes_about_one(world: World, names: list[str]) -> None:
    (host,) = world.hosts
    with scenes.writes_of_operator(world.lab) as writes:
        world.kubectl.apply(instance(host, 7, revision=2))
        world.ready_since([names[7]])
        settle(world, names)
    assert of_instances(writes, "") == {}
    statuses = of_instances(writes)
    assert statuses.keys() == {names[7]}
    assert statuses[names[7]] <= STATUSES_OF_A_START


def test_a_kill_is_told_by_the_first_write_after_it_and_about_nobody_else(
    world: World, names: list[str]
) -> None:
    (host,) = world.hosts
    victim = names[3]
    world.watch.history.clear()
    with scenes.writes_of_operator(world.lab) as writes:
        host.run(["kill", "-KILL", str(world.main_pid(host, 3))])
        world.watch.until(lambda seen: condition(seen[victim], "Running") == "False", 20, "down")
        settle(world, names)
    first = world.watch.history[0]
    assert first["metadata"]["name"] == victim
    assert condition(first, "Running") == "False"
    # systemd starts it again: it is never shown as one that has been given up.
    assert "Failed" not in [shown["status"]["state"] for shown in world.watch.history]
    statuses = of_instances(writes)
    assert statuses.keys() == {victim}
    assert statuses[victim] <= 1 + STATUSES_OF_A_START
