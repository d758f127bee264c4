"""Objects that were edited behind the schema's back: told, kept running, and healed by an edit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from tests.cluster.kube.conftest import ROOT
from tests.cluster.operator.conftest import Cluster, until
from tests.schemas import PLURALS, loosened
from tests.unit.core.worlds import ADDRESS, GUID, Raw
from warlock_operator.errors import ApiRefused, OperatorError
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.refs import GAME, GAME_HOST, GAME_INSTANCE, Resource

OTHER_ID = "550e8400-e29b-41d4-a716-446655440000"
CRD = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
)


async def replace_schema(api: KubeClient, crd: Raw) -> None:
    """Put a CRD's versions in place of those that are there."""
    name = crd["metadata"]["name"]
    body = [{"op": "replace", "path": "/spec/versions", "value": crd["spec"]["versions"]}]
    await api.request("PATCH", CRD.path(None, name), body=body, media="json-patch+json")


@pytest.fixture
async def loose(cluster: Cluster) -> AsyncIterator[Cluster]:
    """The cluster with schemas that refuse nothing; they come back afterwards."""
    strict: list[Raw] = [
        yaml.safe_load((ROOT / f"crds/{plural}.yaml").read_text(encoding="utf-8"))
        for plural in PLURALS
    ]
    await cluster.furnish()
    await cluster.instance("a")
    await cluster.instance("b", instance_id=OTHER_ID)
    await cluster.start()
    await cluster.wait_ready("a", "b")
    try:
        for crd in strict:
            await replace_schema(cluster.api, loosened(crd))
        yield cluster
    finally:
        await cluster.stop()
        await cluster.clean()
        for crd in strict:
            await replace_schema(cluster.api, crd)
        await until(lambda: refuses(cluster), "the schema refuses again")


async def refuses(cluster: Cluster) -> bool:
    """Whether a broken object is refused: a schema takes a moment to count."""
    try:
        await cluster.instance("probe", host=7)
    except ApiRefused:
        return True
    await cluster.delete(GAME_INSTANCE, "probe")
    return False


async def spoil(cluster: Cluster, resource: Resource, name: str, spec: Any) -> None:
    """Replace an object's whole spec, as soon as the loose schema counts."""
    place = cluster.namespace if resource is GAME_INSTANCE else None
    patch = [{"op": "replace", "path": "/spec", "value": spec}]

    async def done() -> bool:
        try:
            await cluster.api.request(
                "PATCH", resource.path(place, name), body=patch, media="json-patch+json"
            )
        except OperatorError:
            return False
        return True

    await until(done, f"{name} is spoilt")


SPOILT: dict[str, Raw] = {
    "a string for a list": {"env": "broken"},
    "a port that is none": {"ports": [{"name": "game", "port": 0}]},
    "a path that leaves": {"path": "/opt/../etc"},
    "a line break": {"instance_name": "x\ny"},
    "an unknown state": {"state": "Sideways"},
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT.keys())
async def test_a_broken_instance_is_told_and_runs_on(loose: Cluster, change: Raw) -> None:
    pids, good = loose.pids(), (await loose.seen("a"))["spec"]
    await spoil(loose, GAME_INSTANCE, "a", {**good, **change})
    said = await loose.wait_condition("Stalled", "True", "InvalidObject")
    assert f"spec.{next(iter(change))}" in said["message"]
    await loose.edit(GAME_INSTANCE, "b", {"spec": {"instance_name": "still served"}})
    await loose.wait_condition("Ready", "True", name="b")
    assert loose.pids() == pids
    await spoil(loose, GAME_INSTANCE, "a", good)
    await loose.wait_ready("a")
    assert loose.pids() == pids


async def test_an_instance_that_became_another_leaves_an_orphan_that_runs(loose: Cluster) -> None:
    pids, good = loose.pids(), (await loose.seen("b"))["spec"]
    await spoil(loose, GAME_INSTANCE, "b", {**good, "instance_id": OTHER_ID.replace("550", "551")})

    async def listed() -> bool:
        status = (await loose.seen("host-a", GAME_HOST))["status"]
        return [each["instance_id"] for each in status.get("orphans", ())] == [OTHER_ID]

    await until(listed, "what it was is an orphan")
    assert pids.items() <= loose.pids().items()


async def test_a_broken_game_or_host_stops_nothing(loose: Cluster) -> None:
    pids = loose.pids()
    await spoil(loose, GAME, "openarena", {"guid": GUID, "title": 7})
    await loose.wait_condition("Stalled", "True", "GameNotFound", "a")
    await spoil(loose, GAME_HOST, "host-a", {"address": ADDRESS, "ssh": "none"})
    await loose.wait_condition("Ready", "False", "InvalidObject", "host-a", GAME_HOST)
    # Without its Game an edit can't be carried out: it is taken note of, and nothing stops.
    await loose.edit(GAME_INSTANCE, "b", {"spec": {"state": "Stopped"}})

    async def noted() -> bool:
        found = await loose.seen("b")
        return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])

    await until(noted, "the edit is taken note of")
    assert loose.pids() == pids
    assert len(loose.machine.state.ledger.instances) == 2
