"""Objects that were edited behind the schema's back, on a real machine: told, and running on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from demokit.kubectl import Kubectl
from labkit import paths
from tests.e2e.conftest import LOOSE, wait_host
from tests.e2e.world import GUID, Machine, Namespace, condition, is_true, reason, wait_for
from tests.schemas import PLURALS, loosened


def replace_versions(kubectl: Kubectl, crd: dict[str, Any]) -> None:
    """Put a CRD's versions in place of those that are there."""
    patch = [{"op": "replace", "path": "/spec/versions", "value": crd["spec"]["versions"]}]
    kubectl("patch", "crd", crd["metadata"]["name"], "--type=json", "-p", json.dumps(patch))


def spoil(kubectl: Kubectl, *which: str, spec: Any) -> None:
    """Replace an object's whole spec, as soon as its schema takes that."""
    patch = json.dumps([{"op": "replace", "path": "/spec", "value": spec}])
    argv = ("patch", *which, "--type=json", "-p", patch)
    wait_for(lambda: kubectl.attempt(*argv).returncode == 0, 30.0, f"{which} is spoilt")


@pytest.fixture
def loose(
    request: pytest.FixtureRequest, kubectl: Kubectl, namespace: Namespace, machine: Machine
) -> Iterator[tuple[dict[str, int], dict[str, str]]]:
    """Two instances that run, and schemas that refuse nothing; gives what is on the machine."""
    strict = [
        yaml.safe_load((paths.REPOSITORY / f"crds/{plural}.yaml").read_text()) for plural in PLURALS
    ]
    # A watch that is open goes on serving by the schema that it began with, defaults included.
    request.config.stash.setdefault(LOOSE, set()).add(namespace.name)
    namespace.instance("arena", instance_id=str(uuid.uuid4()))
    namespace.instance("neighbour")
    for name in ("arena", "neighbour"):
        namespace.wait_running(name)
    before = machine.main_pids(), machine.managed()
    for crd in strict:
        replace_versions(kubectl, loosened(crd))
    yield before
    for crd in strict:
        replace_versions(kubectl, crd)
    broken = namespace.manifest("probe", {"guid": GUID, "host": machine.name, "env": "broken"})
    argv = ("create", "--dry-run=server", "--validate=false", "-f", "-")
    wait_for(
        lambda: kubectl.attempt(*argv, stdin=json.dumps(broken)).returncode != 0,
        30.0,
        "the schema refuses again",
    )


def test_a_broken_instance_is_told_and_runs_on_beside_one_that_is_served(
    loose: tuple[dict[str, int], dict[str, str]],
    kubectl: Kubectl,
    namespace: Namespace,
    machine: Machine,
) -> None:
    pids, managed = loose
    good = namespace.get("arena")["spec"]
    about = ("-n", namespace.name, "gameinstance", "arena")
    spoil(kubectl, *about, spec={**good, "env": "broken"})
    found = namespace.wait_stalled("arena", "InvalidObject")
    assert "spec.env" in condition(found, "Stalled")["message"]
    namespace.patch("neighbour", {"spec": {"instance_name": "still served"}})
    namespace.wait_running("neighbour")
    assert machine.main_pids() == pids
    spoil(kubectl, *about, spec=good)
    namespace.wait_running("arena")
    namespace.patch("neighbour", {"spec": {"instance_name": None}})
    namespace.wait_running("neighbour")
    assert machine.main_pids() == pids
    assert contents(machine.managed()) == contents(managed)


def contents(managed: dict[str, str]) -> dict[str, str]:
    """Leave out when each file was written: an edit that was taken back writes one anew."""
    return {path: " ".join(facts.split()[:-2]) for path, facts in managed.items()}


def test_a_broken_game_or_host_stops_nothing(
    loose: tuple[dict[str, int], dict[str, str]],
    kubectl: Kubectl,
    namespace: Namespace,
    machine: Machine,
) -> None:
    before = loose
    game, host = kubectl.get("game", "openarena"), kubectl.get("gamehost", machine.name)
    spoil(kubectl, "game", "openarena", spec={"guid": GUID, "title": 7})
    namespace.wait_stalled("arena", "GameNotFound")
    spoil(kubectl, "gamehost", machine.name, spec={**host["spec"], "ssh": "none"})

    def told() -> bool:
        found = kubectl.get("gamehost", machine.name)
        return reason(found) == "InvalidObject" and not is_true(found, "Ready")

    wait_for(told, 30.0, "the GameHost says what is wrong")
    # Without its Game and host nothing that is asked for can be done, and nothing stops.
    namespace.patch("neighbour", {"spec": {"state": "Stopped"}})
    namespace.wait(
        "neighbour",
        lambda found: found["status"]["observedGeneration"] == found["metadata"]["generation"],
        "the edit is taken note of",
    )
    assert (machine.main_pids(), machine.managed()) == before
    namespace.patch("neighbour", {"spec": {"state": "Running"}})
    spoil(kubectl, "gamehost", machine.name, spec=host["spec"])
    spoil(kubectl, "game", "openarena", spec=game["spec"])
    wait_host(kubectl, machine.name)
    for name in ("arena", "neighbour"):
        namespace.wait_running(name)
    assert (machine.main_pids(), machine.managed()) == before
