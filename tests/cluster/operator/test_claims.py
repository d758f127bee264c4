"""One thing, two who want it: the holder keeps it, the other is told so and has it afterwards."""

from __future__ import annotations

import pytest

from tests.cluster.operator.conftest import Cluster, plain_game
from tests.unit.core.worlds import ADDRESS, OTHER_GUID, Raw
from warlock_operator.kube.refs import GAME, GAME_INSTANCE

FIRST = "550e8400-e29b-41d4-a716-446655440001"
SECOND = "550e8400-e29b-41d4-a716-446655440002"
PORT = [{"name": "game", "port": 27962}]

# What the holder says, what the other one says, in which namespace, and the other one's reason.
CASES: list[tuple[str, Raw, Raw, str]] = [
    ("identity", {}, {}, "HeldByAnother"),
    ("identity, by address", {}, {"host": ADDRESS}, "HeldByAnother"),
    ("unit", {}, {"guid": OTHER_GUID, "path": "/opt/x"}, "UnitTaken"),
    ("port", {"instance_id": FIRST, "ports": PORT}, {"ports": PORT}, "PortTaken"),
    (
        "port, by address and of another Game",
        {"ports": PORT},
        {"guid": OTHER_GUID, "host": ADDRESS, "instance_id": SECOND, "ports": PORT},
        "PortTaken",
    ),
]


@pytest.mark.parametrize(
    ("holder", "other", "reason"), [each[1:] for each in CASES], ids=[each[0] for each in CASES]
)
async def test_the_other_is_told_who_has_it_and_gets_it_when_that_one_goes(
    cluster: Cluster, holder: Raw, other: Raw, reason: str
) -> None:
    elsewhere = await cluster.elsewhere()
    await cluster.furnish()
    twin = plain_game("twin")
    twin["spec"]["guid"] = OTHER_GUID
    twin["spec"]["services"] = plain_game()["spec"]["services"]
    await cluster.create(GAME, twin)
    await cluster.start()
    await cluster.instance("holder", **holder)
    await cluster.wait_ready("holder")
    pids = cluster.pids()
    await elsewhere.instance("other", **other)
    said = await elsewhere.wait_condition("Stalled", "True", reason, "other")
    assert f"{cluster.namespace}/holder" in said["message"]
    await cluster.wait_ready("holder")
    assert cluster.pids() == pids
    await cluster.delete(GAME_INSTANCE, "holder")
    await elsewhere.wait_ready("other")


@pytest.mark.parametrize("taken", ["/opt/x", "/opt/x/y"])
async def test_a_path_is_not_had_before_the_files_that_were_kept_are_moved_away(
    cluster: Cluster, taken: str
) -> None:
    await cluster.furnish()
    await cluster.start()
    await cluster.instance("holder", instance_id=FIRST, path=taken)
    await cluster.wait_ready("holder")
    pids = cluster.pids()
    await cluster.instance("other", path="/opt/x")
    said = await cluster.wait_condition("Stalled", "True", "PathTaken", "other")
    assert f"{cluster.namespace}/holder" in said["message"]
    assert cluster.pids() == pids
    cluster.machine.edit_file("/opt/x", "")  # something that a person put there
    await cluster.delete(GAME_INSTANCE, "holder")
    await cluster.wait_condition("Stalled", "True", "PathOccupied", "other")
    cluster.machine.remove_file("/opt/x")
    await cluster.edit(GAME_INSTANCE, "other", {"metadata": {"annotations": {
        "warlock.dev/reconcile": "moved",
    }}})  # fmt: skip
    await cluster.wait_ready("other")


async def test_of_two_that_nobody_holds_the_older_wins(cluster: Cluster) -> None:
    elsewhere = await cluster.elsewhere()
    await cluster.furnish()
    made = {
        place.namespace: await place.instance("same", instance_id=id_, path="/opt/x")
        for place, id_ in ((cluster, FIRST), (elsewhere, SECOND))
    }
    age = {
        where: (raw["metadata"]["creationTimestamp"], raw["metadata"]["uid"])
        for where, raw in made.items()
    }
    older, younger = sorted((cluster, elsewhere), key=lambda place: age[place.namespace])
    await cluster.start()
    await older.wait_ready("same")
    said = await younger.wait_condition("Stalled", "True", "PathTaken", "same")
    assert f"{older.namespace}/same" in said["message"]
