"""Absence is never deletion, on a real machine: what is lost or not admitted runs on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from demokit import account
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.e2e.conftest import declare
from tests.e2e.world import Machine, Namespace, Object, condition, wait_for

SELECTOR = {"matchLabels": {"warlock.dev/tenant": "nobody"}}


@pytest.fixture
def arena(namespace: Namespace) -> Object:
    """An instance that runs; it names no port."""
    namespace.instance("arena", instance_id=str(uuid.uuid4()))
    return namespace.wait_running("arena")


@pytest.fixture
def declared(kubectl: Kubectl, machine: Machine) -> Iterator[None]:
    """Afterwards the GameHost is what it was."""
    yield
    declare(kubectl, machine)


def test_a_narrowed_selector_stops_nothing(
    kubectl: Kubectl, namespace: Namespace, machine: Machine, arena: Object, declared: None
) -> None:
    pids = machine.main_pids()
    declare(kubectl, machine, namespaceSelector=SELECTOR)
    namespace.wait_stalled("arena", "NamespaceNotAdmitted")
    assert machine.main_pids() == pids
    declare(kubectl, machine)
    namespace.wait_running("arena")
    assert machine.main_pids() == pids


def test_ranges_that_are_used_up_are_told_with_who_has_them(
    kubectl: Kubectl, namespace: Namespace, machine: Machine, arena: Object, declared: None
) -> None:
    port = arena["status"]["ports"][0]["port"]
    declare(kubectl, machine, ports={"ranges": [{"from": port, "to": port}]})
    namespace.instance("second", instance_id=str(uuid.uuid4()))
    found = namespace.wait_stalled("second", "PortsExhausted")
    assert f"{namespace.name}/arena 1" in condition(found, "Stalled")["message"]
    namespace.delete("arena")
    found = namespace.wait_running("second")
    assert found["status"]["ports"][0]["port"] == port


def test_a_cluster_that_lost_it_and_gets_it_back_changes_nothing_on_the_machine(
    kubectl: Kubectl, namespace: Namespace, machine: Machine, operator: Operator, arena: Object
) -> None:
    before = machine.managed(), machine.main_pids()
    port = arena["status"]["ports"][0]["port"]
    operator.stop()
    namespace.patch("arena", {"metadata": {"finalizers": None}})
    kubectl("-n", namespace.name, "delete", "gameinstance", "arena")
    kubectl("-n", account.NAMESPACE, "delete", "lease", account.NAME)
    operator.start()
    operator.wait_ready()

    def orphaned() -> bool:
        orphans = kubectl.get("gamehost", machine.name)["status"].get("orphans", ())
        return [each["name"] for each in orphans] == ["arena"]

    wait_for(orphaned, 30.0, "it is an orphan")
    assert (machine.managed(), machine.main_pids()) == before
    # As a backup has it: another uid, no status, no port.
    namespace.instance("arena", instance_id=arena["spec"]["instance_id"])
    found = namespace.wait_running("arena")
    assert found["status"]["ports"][0]["port"] == port
    assert (machine.managed(), machine.main_pids()) == before
    assert found["metadata"]["uid"] != arena["metadata"]["uid"]
