"""Deletion can't hang: let go by force, found again as an orphan, removed when asked for."""

from __future__ import annotations

from typing import Any

from tests.cluster.operator.conftest import Cluster, until
from tests.cluster.operator.test_absence import OTHER_ID, two_running
from tests.unit.core.worlds import GUID, Raw
from warlock_operator.kube.refs import EVENT, GAME_HOST, GAME_INSTANCE

FORCE = {"metadata": {"annotations": {"warlock.dev/force-delete": "true"}}}


async def is_gone(cluster: Cluster, name: str) -> bool:
    keys = (await cluster.api.list_keys(GAME_INSTANCE)).values()
    return (cluster.namespace, name) not in keys


async def gone(cluster: Cluster, name: str = "a") -> None:
    await until(lambda: is_gone(cluster, name), f"{name} is gone")


async def events(cluster: Cluster, reason: str) -> list[Raw]:
    found: dict[str, Any] = await cluster.api.request("GET", EVENT.path(cluster.namespace))
    return [each for each in found["items"] if each["reason"] == reason]


async def orphans(cluster: Cluster) -> list[Raw]:
    return list((await cluster.seen("host-a", GAME_HOST))["status"].get("orphans", ()))


async def lose_host(cluster: Cluster) -> None:
    cluster.machine.faults.unreachable = True
    cluster.happen(cluster.machine.cut)
    await cluster.wait_condition("HostReachable", "False")


async def ask_removal(cluster: Cluster, value: str) -> None:
    patch = {"metadata": {"annotations": {"warlock.dev/remove-orphan": value}}}
    await cluster.edit(GAME_HOST, "host-a", patch)


async def test_a_deletion_says_since_when_it_waits_for_a_host_that_is_gone(
    cluster: Cluster,
) -> None:
    await two_running(cluster)
    await lose_host(cluster)
    await cluster.delete(GAME_INSTANCE, "a")
    condition = await cluster.wait_condition("Ready", "False", "HostUnreachable")
    found = await cluster.seen()
    assert found["metadata"]["deletionTimestamp"] in condition["message"]
    assert "GameHost host-a, last seen at 20" in condition["message"]
    assert "warlock.dev/force-delete" in condition["message"]


async def test_by_force_it_goes_and_comes_back_as_an_orphan_that_goes_when_asked_for(
    cluster: Cluster,
) -> None:
    pids = await two_running(cluster)
    uid = (await cluster.seen())["metadata"]["uid"]
    await lose_host(cluster)
    await cluster.delete(GAME_INSTANCE, "a")
    await cluster.edit(GAME_INSTANCE, "a", FORCE)
    await gone(cluster)
    (event,) = await until(lambda: events(cluster, "LeftBehind"), "it is told")
    for part in ("host-a", "198.18.1.1", cluster.machine.state.machine_id, "/opt/openarena-"):
        assert part in event["note"]

    cluster.machine.faults.unreachable = False
    (orphan,) = await until(lambda: orphans(cluster), "the machine is back")
    assert (orphan["guid"], orphan["instance_id"], orphan["uid"]) == (GUID, "default", uid)
    assert cluster.pids() == pids

    await ask_removal(cluster, f"{GUID}/default/{uid}")

    async def removed() -> bool:
        return not await orphans(cluster)

    await until(removed, "it is no orphan any more")
    assert cluster.pids() == {unit: pid for unit, pid in pids.items() if OTHER_ID in unit}
    assert [entry.name for entry in cluster.machine.state.ledger.instances] == ["b"]


async def test_what_a_game_instance_names_is_not_removed_by_annotation(cluster: Cluster) -> None:
    pids = await two_running(cluster)
    uid = (await cluster.seen())["metadata"]["uid"]
    passes = cluster.machine.passes
    await ask_removal(cluster, f"{GUID}/default/{uid}")
    await until(lambda: cluster.machine.passes > passes, "it was looked at")
    await cluster.wait_condition("Ready", "True")
    assert cluster.pids() == pids


async def test_the_old_annotation_does_nothing_to_an_instance_made_anew(cluster: Cluster) -> None:
    await two_running(cluster)
    uid = (await cluster.seen())["metadata"]["uid"]
    await ask_removal(cluster, f"{GUID}/default/{uid}")
    await cluster.delete(GAME_INSTANCE, "a")
    await gone(cluster)
    await cluster.instance("a")
    await cluster.wait_ready("a")
    await lose_host(cluster)
    await cluster.delete(GAME_INSTANCE, "a")
    await cluster.edit(GAME_INSTANCE, "a", FORCE)
    await gone(cluster)
    pids = cluster.pids()
    cluster.machine.faults.unreachable = False
    await until(lambda: orphans(cluster), "the machine is back")
    passes = cluster.machine.passes
    await cluster.edit(GAME_HOST, "host-a", {"metadata": {"annotations": {
        "warlock.dev/reconcile": "again",
    }}})  # fmt: skip
    await until(lambda: cluster.machine.passes > passes, "it was looked at again")
    assert cluster.pids() == pids


async def test_by_force_it_goes_though_a_step_of_its_removal_fails(cluster: Cluster) -> None:
    pids = await two_running(cluster)
    cluster.machine.faults.failing = {"StopUnit": "it does not stop"}
    await cluster.delete(GAME_INSTANCE, "a")
    condition = await cluster.wait_condition("Ready", "False", "StepFailed")
    assert "it does not stop" in condition["message"]
    await cluster.edit(GAME_INSTANCE, "a", FORCE)
    await gone(cluster)
    assert cluster.pids() == pids
    await until(lambda: orphans(cluster), "it is an orphan")


async def test_by_force_a_host_goes_at_once_while_it_is_being_waited_for(cluster: Cluster) -> None:
    await two_running(cluster)
    await lose_host(cluster)
    for name in "ab":
        await cluster.delete(GAME_INSTANCE, name)
    await cluster.delete(GAME_HOST, "host-a")
    condition = await cluster.wait_condition("Ready", "False", "Deleting", "host-a", GAME_HOST)
    assert "2 do; the machine can't be served" in condition["message"]
    await cluster.edit(GAME_HOST, "host-a", FORCE)

    async def none_left() -> bool:
        return not await cluster.api.list_keys(GAME_HOST)

    await until(none_left, "the GameHost is gone")
    # Without their host the instances wait for nothing that could come, and say so.
    condition = await cluster.wait_condition("Ready", "False", "HostNotFound")
    assert "force-delete" in condition["message"]
    await cluster.edit(GAME_INSTANCE, "a", FORCE)
    await gone(cluster)


async def test_on_a_paused_host_nothing_happens_before_it_is_taken_up_again(
    cluster: Cluster,
) -> None:
    await cluster.furnish()
    await cluster.instance("a")
    await cluster.start()
    await cluster.wait_ready("a")
    pids, pause = cluster.pids(), {"warlock.dev/paused": "true"}
    await cluster.edit(GAME_HOST, "host-a", {"metadata": {"annotations": pause}})
    await cluster.wait_condition("Ready", "False", "Paused", "host-a", GAME_HOST)
    said = await cluster.wait_condition("Ready", "False", "Paused", "a")
    assert "GameHost host-a" in said["message"]
    changes = cluster.machine.changes
    await cluster.edit(GAME_INSTANCE, "a", {"spec": {"state": "Stopped"}})
    await cluster.delete(GAME_INSTANCE, "a")
    await cluster.delete(GAME_HOST, "host-a")
    said = await cluster.wait_condition("Reconciling", "True", "Paused", "a")
    assert "deletion waits" in said["message"]
    assert (cluster.pids(), cluster.machine.changes) == (pids, changes)
    goes_on = {"warlock.dev/paused": None}
    await cluster.edit(GAME_HOST, "host-a", {"metadata": {"annotations": goes_on}})
    await cluster.gone("a")
    await cluster.gone("host-a", GAME_HOST)
    assert cluster.pids() == {}
