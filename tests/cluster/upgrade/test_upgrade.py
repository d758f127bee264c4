"""
From an earlier version to this one: first the kinds, then the operator, as kubectl apply does it.

An object that was stored stays what it is; one that the newer kinds would refuse can still be
edited elsewhere, served, and deleted: the apiserver holds against a rule only what changes.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.cluster.operator.conftest import KEY, plain_game
from tests.cluster.upgrade.conftest import NOW, Schema, Version, serve, stored
from tests.conftest import MakeOperator
from tests.e2e.world import Object, condition
from tests.unit.api.objects import sample
from tests.unit.core.worlds import host
from warlock_agent import names

KINDS = {"game": "openarena", "gh": "host-a", "gi": "full"}
OLD_PATH = "/srv/../opt/loose"  # what these kinds refuse
OLD_VALUE = "two\nlines"


def full() -> tuple[Object, ...]:
    """One of each kind, with as many fields as fit together."""
    game, machine, instance = plain_game(), host(**KEY), sample("GameInstance")
    game["metadata"], machine["metadata"] = {"name": "openarena"}, {"name": "host-a"}
    machine["spec"]["namespaceSelector"] = {"matchLabels": {"warlock.dev/tenant": "games"}}
    machine["spec"]["pathRoots"] = ["/opt", "/srv"]
    instance["metadata"] = {"name": "full", "namespace": "upgrade"}
    instance["spec"].update(
        host="host-a",
        instance_id="550e8400-e29b-41d4-a716-446655440000",
        instance_name="Full",
        ports=[{"name": "game", "port": 27962}],
        env=[{"name": "MAP", "value": "kaos"}],
        state="Running",
    )
    return game, machine, instance


def loose(crds: dict[str, Schema]) -> dict[str, Schema]:
    """The CRDs without a rule on what an instance's path and values may be."""
    made = copy.deepcopy(crds)
    root = made["GameInstance"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = root["properties"]["spec"]["properties"]
    for field in (fields["path"], fields["env"]["items"]["properties"]["value"]):
        del field["x-kubernetes-validations"]
    return made


def old(name: str, **spec: Any) -> Object:
    """An instance that only the loose kinds take."""
    made = full()[2]
    made["metadata"] = {"name": name, "namespace": "upgrade"}
    made["spec"] = {"guid": made["spec"]["guid"], "host": "host-a", **spec}
    return made


def run(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    return kubectl("-n", "upgrade", *arguments, stdin=stdin)


def wait_ready(kubectl: Kubectl) -> None:
    run(kubectl, "wait", "--for=condition=Ready", "--timeout=30s", "gh/host-a", "gi/full")


@pytest.fixture(scope="module")
def before(cluster: Kubectl, earlier: Version, operator_process: MakeOperator) -> dict[str, Object]:
    """What the earlier version had stored, statuses of its operator included; it is upgraded."""
    serve(cluster, earlier.crds())
    cluster.apply(*full())
    operator = operator_process(earlier.settings, name="earlier")
    wait_ready(cluster)
    operator.stop()
    found = {kind: stored(cluster, kind, name) for kind, name in KINDS.items()}
    serve(cluster, loose(earlier.crds()))
    cluster.apply(
        old("by-path", path=OLD_PATH, instance_id="00000000-0000-4000-8000-000000000001"),
        old("by-value", env=[{"name": "MAP", "value": OLD_VALUE}],
            instance_id="00000000-0000-4000-8000-000000000002"),
    )  # fmt: skip
    serve(cluster, NOW.crds())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_object_is_the_same_under_the_newer_kinds(
    cluster: Kubectl, before: dict[str, Object], kind: str
) -> None:
    assert before[kind]["status"]["conditions"]
    assert stored(cluster, kind, KINDS[kind]) == before[kind]
    run(cluster, "replace", "-f", "-", stdin=json.dumps(before[kind]))
    after = stored(cluster, kind, KINDS[kind])
    assert after["metadata"]["generation"] == before[kind]["metadata"]["generation"]
    assert (after["spec"], after["status"]) == (before[kind]["spec"], before[kind]["status"])


def test_the_manifests_of_the_earlier_version_are_no_change(
    cluster: Kubectl, before: dict[str, Object]
) -> None:
    cluster.apply(*full())
    for kind, name in KINDS.items():
        found = stored(cluster, kind, name)
        assert found["metadata"]["generation"] == before[kind]["metadata"]["generation"]


def test_a_selector_that_was_merged_key_by_key_is_replaced_and_emptied(
    cluster: Kubectl, before: dict[str, Object]
) -> None:
    machine = full()[1]
    for selector in ({"matchLabels": {"tier": "pro"}}, {}):
        machine["spec"]["namespaceSelector"] = selector
        cluster.apply(machine)
        found = stored(cluster, "gh", "host-a")["spec"]["namespaceSelector"]
        assert found == selector
    cluster.apply(full()[1])


def test_what_is_refused_today_stays_and_is_edited_elsewhere(
    cluster: Kubectl, before: dict[str, Object]
) -> None:
    patch = ("patch", "--type=merge", "-p")
    for name in ("by-path", "by-value"):
        run(cluster, *patch, '{"spec":{"instance_name":"Renamed"}}', "gi", name)
        run(cluster, "label", "gi", name, "tier=pro")
    values = json.dumps({"spec": {"env": [{"name": "MAP", "value": "still\nno"}]}})
    refused = cluster.attempt("-n", "upgrade", *patch, values, "gi", "by-value")
    assert "printable text in one line" in refused.stderr
    values = json.dumps({"spec": {"env": [{"name": "MAP", "value": "kaos"}]}})
    run(cluster, *patch, values, "gi", "by-value")
    refused = cluster.attempt(
        "-n", "upgrade", "create", "-f", "-", stdin=json.dumps(old("new", path=OLD_PATH))
    )
    assert "spec.path" in refused.stderr


def test_the_earlier_operator_runs_on_the_newer_kinds_and_hands_over(
    cluster: Kubectl,
    before: dict[str, Object],
    earlier: Version,
    operator_process: MakeOperator,
) -> None:
    """Kinds come first in an upgrade, so for a while it is the earlier one that serves them."""
    one = operator_process(earlier.settings, name="earlier")
    assert runs(one, earlier)
    serves(cluster, "aggressor")
    one.stop()
    other = operator_process(NOW.settings, name="operator")
    assert runs(other, NOW)
    serves(cluster, "oa_dm4")
    refuses_and_lets_go(cluster)


def runs(operator: Operator, version: Version) -> bool:
    """Whether its process got the code of that version."""
    with open(f"/proc/{operator.pid}/environ", encoding="utf-8") as stream:
        return f"PYTHONPATH={version.tree / 'operator'}" in stream.read().split("\0")


def serves(kubectl: Kubectl, map_name: str) -> None:
    """It makes an edit true, writes a whole status, and lets an instance go."""
    values = [{"name": "MAP", "value": map_name}]
    run(kubectl, "patch", "gi", "full", "--type=merge", "-p", json.dumps({"spec": {"env": values}}))
    wait_ready(kubectl)
    found = stored(kubectl, "gi", "full")
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert found["status"]["ports"] == [{"name": "game", "port": 27962, "protocol": "UDP"}]
    unit = names.unit_name("warlock-openarena", "550e8400-e29b-41d4-a716-446655440000")
    assert found["status"]["services"][0]["unit"] == unit
    short = old(f"short-{map_name.replace('_', '-')}")
    kubectl.apply(short)
    name = short["metadata"]["name"]
    run(kubectl, "wait", "--for=condition=Ready", "--timeout=30s", f"gi/{name}")
    run(kubectl, "delete", "gi", name, "--timeout=30s")


def refuses_and_lets_go(kubectl: Kubectl) -> None:
    """What is not to be served says which field it is for, and can be deleted."""
    run(kubectl, "wait", "--for=condition=Stalled", "--timeout=30s", "gi/by-path")
    found = condition(stored(kubectl, "gi", "by-path"), "Stalled")
    assert "spec.path" in found["message"], found
    run(kubectl, "wait", "--for=condition=Ready", "--timeout=30s", "gi/by-value")
    run(kubectl, "delete", "gi", "by-path", "by-value", "--timeout=30s")
