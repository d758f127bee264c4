"""A port that was given stays; strangers' ports are skipped, or named where they were asked for."""

from __future__ import annotations

from typing import Any

from tests.cluster.operator.conftest import Cluster, until
from warlock_operator.kube.refs import GAME_INSTANCE, LEASE

IDS = [f"550e8400-e29b-41d4-a716-44665544000{number}" for number in range(6)]
FIRST, LAST = 27960, 27963  # the range of the host, see worlds.host


async def fill(cluster: Cluster, *names: str) -> dict[str, int]:
    """Make instances that name no port; gives what each got."""
    for number, name in enumerate(names):
        await cluster.instance(name, instance_id=IDS[number])
    await cluster.wait_ready(*names)
    return {name: await port(cluster, name) for name in names}


async def port(cluster: Cluster, name: str) -> int:
    """The port in the instance's status."""
    (found,) = (await cluster.seen(name))["status"]["ports"]
    return int(found["port"])


def ledgers(cluster: Cluster) -> dict[str, int]:
    """The port in the host's ledger, by name."""
    return {e.name: e.ports[0].number for e in cluster.machine.state.ledger.instances}


async def test_ports_are_given_once_recorded_twice_and_stay(cluster: Cluster) -> None:
    await cluster.furnish()
    await cluster.start()
    given = await fill(cluster, "a", "b", "c")
    assert len(set(given.values())) == 3
    assert all(FIRST <= number <= LAST for number in given.values())
    assert ledgers(cluster) == given
    pids = cluster.pids()
    # The one before it goes, the operator is installed anew, and the statuses are lost.
    await cluster.delete(GAME_INSTANCE, "a")
    await cluster.gone("a")
    await cluster.stop()
    await cluster.api.request("DELETE", LEASE.path(cluster.namespace, "warlock-operator"))
    for name in ("b", "c"):
        await wipe_status(cluster, name)
    await cluster.start()
    await cluster.wait_ready("b", "c")
    left = {name: number for name, number in given.items() if name != "a"}
    assert {name: await port(cluster, name) for name in left} == left
    assert ledgers(cluster) == left
    assert set(cluster.pids().values()) < set(pids.values())


async def wipe_status(cluster: Cluster, name: str) -> None:
    """Take an object's status away, as a restore without statuses does."""
    path = f"{GAME_INSTANCE.path(cluster.namespace, name)}/status"
    patch = [{"op": "remove", "path": "/status"}]
    await cluster.api.request("PATCH", path, body=patch, media="json-patch+json")


async def test_a_machine_that_lost_its_ledger_gives_the_ports_of_the_statuses_again(
    cluster: Cluster,
) -> None:
    await cluster.furnish()
    await cluster.start()
    given = await fill(cluster, "a", "b", "c")
    await cluster.delete(GAME_INSTANCE, "a")
    await cluster.gone("a")
    await cluster.stop()
    del cluster.links.machines["198.18.1.1"]
    await cluster.start()
    await until(lambda: len(cluster.pids()) == 2, "they run again")
    assert ledgers(cluster) == {name: given[name] for name in ("b", "c")}


async def test_a_strangers_port_is_skipped(cluster: Cluster) -> None:
    await cluster.furnish()
    cluster.machine.bind("UDP", FIRST)
    await cluster.start()
    assert await fill(cluster, "a") == {"a": FIRST + 1}


async def test_a_strangers_port_that_was_asked_for_is_told_with_its_process(
    cluster: Cluster,
) -> None:
    await cluster.furnish()
    cluster.machine.bind("UDP", FIRST, "minetest")
    await cluster.start()
    await cluster.instance(ports=[{"name": "game", "port": FIRST}])
    said = await cluster.wait_condition("Ready", "False", "PortInUse")
    assert "minetest" in said["message"]
    assert str(FIRST) in said["message"]
    cluster.happen(lambda: cluster.machine.release("UDP", FIRST))
    await cluster.wait_ready()


async def test_a_full_range_is_told_with_who_has_how_many_and_heals(cluster: Cluster) -> None:
    await cluster.furnish()
    await cluster.start()
    await fill(cluster, "a", "b", "c", "d")
    await cluster.instance("e", instance_id=IDS[5])
    said: Any = await cluster.wait_condition("Stalled", "True", "PortsExhausted", "e")
    assert "4 are claimed" in said["message"]
    for name in "abcd":
        assert f"{cluster.namespace}/{name} 1" in said["message"]
    freed = await port(cluster, "b")
    await cluster.delete(GAME_INSTANCE, "b")
    await cluster.wait_ready("e")
    assert await port(cluster, "e") == freed
