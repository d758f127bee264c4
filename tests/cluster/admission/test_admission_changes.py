"""What may change in an object that is there, and what may not; status and defaults."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.admission.conftest import NAMESPACE, Api, location
from tests.unit.api.objects import ABSENT, Manifest, changed, sample

OTHER = "00000000-0000-4000-8000-000000000001"
THIRD = "00000000-0000-4000-8000-000000000002"

Make = Callable[..., Manifest]


@pytest.fixture
def make(api: Api) -> Iterator[Make]:
    """Create a sample of a kind under a name of its own, with changes; gone after the test."""
    made: list[Manifest] = []

    def create(kind: str, changes: dict[str, object] | None = None) -> Manifest:
        manifest = sample(kind)
        for path, value in (changes or {}).items():
            manifest = changed(manifest, path, value)
        name = f"change-{uuid.uuid4().hex[:12]}"
        manifest = changed(manifest, "metadata", {"name": name, "namespace": NAMESPACE})
        if kind != "GameInstance":
            del manifest["metadata"]["namespace"]
        answer = api.create(manifest, keep=True)
        assert answer.accepted, answer.message
        made.append(manifest)
        return answer.body

    yield create
    for manifest in made:
        api.delete(manifest)


WITHOUT: dict[str, object] = {"spec.instance_id": ABSENT, "spec.path": ABSENT}


@pytest.mark.parametrize(
    ("start", "path", "value"),
    [
        ({}, "spec.guid", OTHER),
        ({}, "spec.host", "host-b"),
        (WITHOUT, "spec.instance_id", OTHER),
        ({}, "spec.instance_id", OTHER),
        ({}, "spec.instance_id", "default"),
        ({}, "spec.instance_id", ABSENT),
        (WITHOUT, "spec.path", "/opt/late"),
        ({}, "spec.path", "/opt/moved"),
        ({}, "spec.path", ABSENT),
    ],
)
def test_identity_of_an_instance_stays(
    api: Api, make: Make, start: dict[str, object], path: str, value: object
) -> None:
    there = make("GameInstance", start)
    answer = api.replace(changed(there, path, value))
    assert answer.code == 422
    assert path in answer.message
    assert "delete the GameInstance and create another" in answer.message
    field = path.removeprefix("spec.")
    patch = {"spec": {field: None if value is ABSENT else value}}
    assert api.merge(there, patch).code == 422


def test_removed_and_set_again_is_no_way_round(api: Api, make: Make) -> None:
    there = make("GameInstance")
    for field, other in (("path", "/opt/moved"), ("instance_id", OTHER)):
        assert api.merge(there, {"spec": {field: None}}).code == 422
        assert api.merge(there, {"spec": {field: other}}).code == 422
    steps = [
        {"op": "remove", "path": "/spec/path"},
        {"op": "add", "path": "/spec/path", "value": "/opt/moved"},
    ]
    answer = api.request("PATCH", location(there), steps, "application/json-patch+json")
    assert answer.code == 422
    assert api.get(there)["spec"] == there["spec"]


def test_taking_the_spec_away_is_no_way_round(api: Api, make: Make) -> None:
    there = make("GameInstance")
    assert api.merge(there, {"spec": None}).code == 422
    assert api.get(there)["spec"] == there["spec"]


def test_an_applier_that_lets_a_field_go_can_not_remove_it(api: Api) -> None:
    manifest = changed(
        sample("GameInstance"), "metadata", {"name": "applied", "namespace": NAMESPACE}
    )
    assert api.apply(manifest).accepted
    try:
        answer = api.apply(changed(manifest, "spec.path", ABSENT))
        assert answer.code == 422
        assert "spec.path" in answer.message
        assert api.get(manifest)["spec"]["path"] == manifest["spec"]["path"]
    finally:
        api.delete(manifest)


def test_default_may_be_written_out_or_not(api: Api, make: Make) -> None:
    there = make("GameInstance", WITHOUT)
    assert api.replace(changed(there, "spec.instance_id", "default")).accepted
    there = make("GameInstance", {"spec.instance_id": "default"})
    assert api.replace(changed(there, "spec.instance_id", ABSENT)).accepted


@pytest.mark.parametrize("field", ["guid", "host"])
def test_what_is_required_can_not_be_removed(api: Api, make: Make, field: str) -> None:
    answer = api.merge(make("GameInstance"), {"spec": {field: None}})
    assert "Required value" in answer.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.ports", [{"name": "game", "port": 27999}]),
        ("spec.ports", ABSENT),
        ("spec.env", ABSENT),
        ("spec.state", "Stopped"),
        ("spec.instance_name", "Another"),
        ("spec.instance_name", ABSENT),
    ],
)
def test_the_rest_of_an_instance_may_change(api: Api, make: Make, path: str, value: object) -> None:
    answer = api.replace(changed(make("GameInstance"), path, value))
    assert answer.accepted, answer.message


SERVICE = {"name": "warlock-other", "exec": ["/bin/true"]}


def test_services_of_a_game_keep_names_and_order(api: Api, make: Make) -> None:
    two = [sample("Game")["spec"]["services"][0], SERVICE]
    there = make("Game", {"spec.services": two})
    for services in (two[:1], two[::-1], [*two, {**SERVICE, "name": "third"}]):
        answer = api.replace(changed(there, "spec.services", services))
        assert "create another Game" in answer.message
        assert "spec.services" in answer.message
    assert "create another Game" in api.replace(changed(there, "spec.guid", OTHER)).message
    assert api.replace(changed(there, "spec.services.1.exec", ["/bin/false"])).accepted


def test_everything_of_a_host_may_change(api: Api, make: Make) -> None:
    there = make("GameHost")
    for path, value in (
        ("spec.address", "198.18.1.9"),
        ("spec.ports.ranges", [{"from": 1, "to": 2}]),
        ("spec.pathRoots", ["/data"]),
        ("spec.namespaceSelector", ABSENT),
        ("spec.unschedulable", True),
    ):
        answer = api.replace(changed(there, path, value))
        assert answer.accepted, answer.message


def test_defaults_are_written_where_they_say_something(make: Make) -> None:
    instance = make("GameInstance", {"spec": {"guid": OTHER, "host": "host-a"}})
    assert instance["spec"] == {"guid": OTHER, "host": "host-a", "state": "Running"}
    host = make(
        "GameHost",
        {
            "spec": {
                "address": "a",
                "ssh": {"keySecret": {"name": "k"}, "hostKeyPolicy": "TrustOnFirstUse"},
                "ports": {"ranges": [{"from": 1, "to": 2}]},
            }
        },
    )
    assert host["spec"]["pathRoots"] == ["/opt", "/srv"]
    assert host["spec"]["unschedulable"] is False
    assert host["spec"]["ssh"]["user"] == "root"
    assert host["spec"]["ssh"]["become"] == "None"
    game = make("Game", {"spec.services.0.stop": ABSENT})
    assert game["spec"]["manager"] == "Native"
    assert game["spec"]["services"][0]["stop"] == {"signal": "SIGTERM", "timeoutSeconds": 90}


def test_fields_select(api: Api, make: Make) -> None:
    there = make("GameInstance", {"spec.guid": THIRD, "spec.host": "host-x"})
    for selector in ("spec.host=host-x", f"spec.guid={THIRD}"):
        path = location(there).rpartition("/")[0]
        found = api.request("GET", path, fieldSelector=selector).body["items"]
        assert [each["metadata"]["name"] for each in found] == [there["metadata"]["name"]]


def test_the_largest_status_that_the_models_allow_is_accepted(api: Api, make: Make) -> None:
    there = make("GameInstance")
    when = "2026-01-01T00:00:00Z"
    status = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": f"T{number}",
                "status": "Unknown",
                "reason": "R" * 64,
                "message": "m" * 4096,
                "lastTransitionTime": when,
                "observedGeneration": 1,
            }
            for number in range(16)
        ],
        "state": "Running",
        "instance_id": "default",
        "path": "/opt/x",
        "user": "wl-0123456789abcdef",
        "address": "198.18.1.1:27960",
        "ports": [{"name": "game", "port": 27960, "protocol": "UDP"}],
        "services": [
            {
                "name": "s",
                "unit": "s@default.service",
                "activeState": "active",
                "subState": "running",
                "mainPID": 42,
                "since": when,
                "restarts": 0,
            }
        ],
        "version": "0.8.8",
        "players": {"online": 4, "max": 16, "names": ["Sarge", "Sarge"]},
        "metrics": {
            "cpuMillicores": 20,
            "memoryBytes": 1 << 40,
            "memorySource": "ProcessPSS",
            "tasks": 3,
        },
        "securityScore": 3.1,
        "lastSeen": when,
        "operation": {
            "id": "install-1",
            "type": "Install",
            "step": "Unpacking",
            "progress": 50,
            "startedAt": when,
            "deadline": when,
        },
        "history": [
            {
                "id": f"install-{number}",
                "type": "Install",
                "result": "Succeeded",
                "finishedAt": when,
            }
            for number in range(10)
        ],
    }
    answer = api.request(
        "PATCH",
        location(there) + "/status",
        {"status": status},
        "application/merge-patch+json",
        fieldValidation="Strict",
    )
    assert answer.accepted, answer.message
    assert answer.body["status"] == status
    assert answer.body["metadata"]["generation"] == there["metadata"]["generation"]
