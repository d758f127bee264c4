"""Absence is never deletion, and a deletion takes exactly what it names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.cluster.kube.proxy import Fault
from tests.cluster.operator.conftest import Cluster, until
from warlock_agent.model import Authority, DesiredHost
from warlock_operator.api.names import FINALIZER
from warlock_operator.kube.refs import GAME, GAME_HOST, GAME_INSTANCE
from warlock_operator.reconcile.fleet import Fleet
from warlock_operator.transport.machine import Machine

OTHER_ID = "550e8400-e29b-41d4-a716-446655440000"


async def two_running(cluster: Cluster) -> dict[str, int]:
    await cluster.furnish()
    await cluster.instance("a")
    await cluster.instance("b", instance_id=OTHER_ID)
    await cluster.start()
    await cluster.wait_ready("a", "b")
    pids = cluster.pids()
    assert len(pids) == 2
    return pids


async def test_a_second_start_with_nothing_to_do_writes_nothing(cluster: Cluster) -> None:
    pids = await two_running(cluster)
    await cluster.stop()
    cluster.proxy.passed.clear()
    changes, passes = cluster.machine.changes, cluster.machine.passes
    await cluster.start()
    await until(lambda: cluster.machine.passes > passes, "the host was visited again")
    await until(lambda: cluster.proxy.count("GET"), "the apiserver was asked")
    await cluster.edit(GAME_INSTANCE, "a", {"spec": {"state": "Stopped"}})
    await cluster.wait_condition("Running", "False", "Stopped")
    # All that was written in this process's life belongs to that one edit.
    touched = {p for _, p in cluster.writes() if "/events" not in p}
    assert all("/a/" in p or p.endswith("/a") or "gamehosts" in p for p in touched), touched
    assert cluster.machine.changes > changes
    assert [pid for unit, pid in cluster.pids().items()] == [
        pid for unit, pid in pids.items() if OTHER_ID in unit
    ]
    for name in ("a", "b"):
        assert FINALIZER in (await cluster.seen(name))["metadata"]["finalizers"]


async def test_a_deletion_takes_its_own_and_leaves_the_neighbour(cluster: Cluster) -> None:
    pids = await two_running(cluster)
    await cluster.delete(GAME_INSTANCE, "a")

    async def gone() -> bool:
        keys = (await cluster.api.list_keys(GAME_INSTANCE)).values()
        return (cluster.namespace, "a") not in keys

    await until(gone, "the object is gone")
    left = {unit: pid for unit, pid in pids.items() if OTHER_ID in unit}
    assert cluster.pids() == left
    assert [e.name for e in cluster.machine.state.ledger.instances] == ["b"]


async def test_a_game_deleted_or_a_selector_narrowed_stops_nothing(cluster: Cluster) -> None:
    pids = await two_running(cluster)
    await cluster.delete(GAME, "openarena")
    await cluster.wait_condition("Stalled", "True", "GameNotFound", "b")
    selector = {"namespaceSelector": {"matchLabels": {"nobody": "x"}}}
    await cluster.edit(GAME_HOST, "host-a", {"spec": selector})
    await cluster.wait_condition("Stalled", "True", "NamespaceNotAdmitted", "b")
    assert cluster.pids() == pids


async def test_a_cluster_that_lost_its_instances_leaves_orphans_that_run(
    cluster: Cluster,
) -> None:
    pids = await two_running(cluster)
    await cluster.stop()
    for name in ("a", "b"):
        await cluster.edit(GAME_INSTANCE, name, {"metadata": {"finalizers": None}})
        await cluster.delete(GAME_INSTANCE, name)
    await cluster.start()

    async def listed() -> bool:
        return len((await cluster.seen("host-a", GAME_HOST))["status"].get("orphans", ())) == 2

    await until(listed, "both are orphans")
    assert cluster.pids() == pids
    # Restored: the same names with new uids are the same instances.
    await cluster.instance("a")
    await cluster.instance("b", instance_id=OTHER_ID)
    await cluster.wait_ready("a", "b")
    assert cluster.pids() == pids


async def test_half_an_intake_converges_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.furnish(ports={"ranges": [{"from": 30000, "to": 30999}]})
    ids = [f"550e8400-e29b-41d4-a716-{number:012}" for number in range(200)]
    await asyncio.gather(*(cluster.instance(f"i{n}", instance_id=i) for n, i in enumerate(ids)))
    await cluster.start()
    await until(lambda: len(cluster.pids()) == 200, "all run")
    pids = cluster.pids()
    await cluster.stop()
    sizes = record_frames(cluster.machine, monkeypatch)
    late = Fleet.put

    def delayed(fleet: Fleet, kind: Any, raw: Any) -> None:
        wait = (hash(raw["metadata"]["uid"]) % 20) / 20
        asyncio.get_running_loop().call_later(wait, late, fleet, kind, raw)

    monkeypatch.setattr(Fleet, "put", delayed)
    await cluster.start()
    await until(lambda: sizes, "a frame was sent")
    assert set(sizes) == {200}
    assert cluster.pids() == pids


def record_frames(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many instances every frame to the machine names."""
    sizes: list[int] = []
    before = machine.converge

    def converge(request: int, authority: Authority, desired: DesiredHost) -> Any:
        sizes.append(len(desired.converge) + len(desired.keep) + len(desired.remove))
        return before(request, authority, desired)

    monkeypatch.setattr(machine, "converge", converge)
    return sizes


async def test_the_finalizer_is_on_before_the_first_frame(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.furnish()
    await cluster.instance()
    held: list[bool] = []
    before = cluster.machine.converge

    def converge(request: int, authority: Authority, desired: DesiredHost) -> Any:
        if desired.converge:
            held.append(cluster.proxy.count("PATCH", "/gameinstances/a") > 0)
        return before(request, authority, desired)

    monkeypatch.setattr(cluster.machine, "converge", converge)
    await cluster.start()
    await cluster.wait_ready()
    assert held
    assert all(held)


@pytest.mark.parametrize("status", [429, 500, 410])
async def test_an_apiserver_that_refuses_stops_nothing(cluster: Cluster, status: int) -> None:
    pids = await two_running(cluster)
    cluster.proxy.fault = lambda method, path: Fault(status)
    await cluster.proxy.drop_connections()
    asked = len(cluster.proxy.seen)
    await until(lambda: len(cluster.proxy.seen) > asked + 5, "it was refused several times")
    assert cluster.pids() == pids
    cluster.proxy.fault = lambda method, path: None
    await cluster.edit(GAME_INSTANCE, "a", {"metadata": {"annotations": {
        "warlock.dev/restart": "1",
    }}})  # fmt: skip
    await until(lambda: cluster.pids() != pids, "it serves again")
    assert {u: p for u, p in cluster.pids().items() if OTHER_ID in u} == {
        u: p for u, p in pids.items() if OTHER_ID in u
    }


async def test_force_delete_lets_go_of_a_host_out_of_reach(cluster: Cluster) -> None:
    await two_running(cluster)
    cluster.machine.faults.unreachable = True
    cluster.happen(cluster.machine.cut)
    await cluster.wait_condition("HostReachable", "False")
    await cluster.delete(GAME_INSTANCE, "a")
    condition = await cluster.wait_condition("Ready", "False")
    assert "force-delete" in condition["message"]
    patch = {"metadata": {"annotations": {"warlock.dev/force-delete": "true"}}}
    await cluster.edit(GAME_INSTANCE, "a", patch)

    async def gone() -> bool:
        keys = (await cluster.api.list_keys(GAME_INSTANCE)).values()
        return (cluster.namespace, "a") not in keys

    await until(gone, "the object is gone")
    assert len(cluster.machine.state.ledger.instances) == 2


async def test_a_terminating_host_serves_until_its_last_instance_goes(cluster: Cluster) -> None:
    pids = await two_running(cluster)
    await cluster.delete(GAME_HOST, "host-a")
    await cluster.instance("c", instance_id="550e8400-e29b-41d4-a716-446655440009")
    await cluster.wait_condition("Stalled", "True", "HostTerminating", "c")
    assert cluster.pids() == pids
    for name in "abc":
        await cluster.delete(GAME_INSTANCE, name)

    async def gone() -> bool:
        return not await cluster.api.list_keys(GAME_HOST)

    await until(gone, "the GameHost is gone")
    assert cluster.pids() == {}


async def test_a_second_operator_waits_for_the_lease(cluster: Cluster) -> None:
    await two_running(cluster)
    second = await cluster.start(wait=False)
    await until(lambda: "Lease" in second.waiting_for, "the second one waits")
    before = cluster.machine.state.ledger.holder
    await cluster.edit(GAME_INSTANCE, "a", {"spec": {"instance_name": "x"}})
    await cluster.wait_condition("Ready", "True")
    assert cluster.machine.state.ledger.holder == before
    assert "Lease" in second.waiting_for
