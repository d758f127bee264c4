"""What only another object can refuse, on a real machine: told, and healed when that changes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from tests.e2e.conftest import declare, game_host
from tests.e2e.world import Machine, Namespace, Object, condition

NOBODY = "198.18.255.250"
"""An address that no lab gives away."""


@pytest.fixture
def declared(kubectl: Kubectl, machine: Machine) -> Iterator[None]:
    """Afterwards the GameHost is what it was."""
    yield
    declare(kubectl, machine)


@pytest.mark.parametrize(
    ("host", "instance", "why"),
    [
        ({"pathRoots": ["/opt"]}, {"path": "/srv/arena-elsewhere"}, "PathOutsideRoots"),
        (
            {"ports": {"ranges": [{"from": 27960, "to": 28000}]}},
            {"ports": [{"name": "game", "port": 28500}]},
            "PortOutOfRange",
        ),
    ],
    ids=["path", "port"],
)
def test_what_the_host_does_not_allow_runs_once_it_does(
    kubectl: Kubectl, namespace: Namespace, machine: Machine, declared: None,
    host: Object, instance: Object, why: str,
) -> None:  # fmt: skip
    declare(kubectl, machine, **host)
    instance_id = str(uuid.uuid4())
    namespace.instance("arena", instance_id=instance_id, **instance)
    found = namespace.wait_stalled("arena", why)
    assert machine.name in condition(found, "Stalled")["message"]
    assert machine.main_pid(instance_id) == 0
    declare(kubectl, machine)
    namespace.wait_running("arena")
    assert machine.main_pid(instance_id)


def test_a_variable_is_refused_until_the_game_has_it_and_lets_its_value_through(
    kubectl: Kubectl, namespace: Namespace, machine: Machine, sleeper: Object
) -> None:
    spec = sleeper["spec"]
    service = spec["services"][0]["name"]
    namespace.instance("arena", guid=spec["guid"], env=[{"name": "MODE", "value": "ctf"}])
    found = namespace.wait_stalled("arena", "UndeclaredVariable")
    assert "MODE" in condition(found, "Stalled")["message"]
    spec["variables"] = [{"name": "MODE", "default": "1", "pattern": "^[0-9]+$"}]
    kubectl.apply(sleeper)
    found = namespace.wait_stalled("arena", "VariableMismatch")
    assert "^[0-9]+$" in condition(found, "Stalled")["message"]
    assert machine.main_pid(service=service) == 0
    spec["variables"] = [{"name": "MODE", "default": "dm", "pattern": "^[a-z]+$"}]
    kubectl.apply(sleeper)
    namespace.wait_running("arena")
    assert machine.environment(machine.main_pid(service=service))["MODE"] == "ctf"


def test_an_address_of_two_hosts_is_refused_until_it_is_one_s(
    kubectl: Kubectl, namespace: Namespace, machine: Machine
) -> None:
    twin = game_host(machine)
    name = twin["metadata"]["name"] = f"twin-{uuid.uuid4().hex[:8]}"
    kubectl("create", "-f", "-", stdin=json.dumps(twin))

    def address(value: str) -> None:
        patch = json.dumps({"spec": {"address": value}})
        kubectl("patch", "gamehost", name, "--type=merge", "-p", patch)

    try:
        namespace.instance("arena", host=machine.host.address)
        found = namespace.wait_stalled("arena", "AmbiguousHost")
        said = condition(found, "Stalled")["message"]
        assert machine.name in said
        assert name in said
        assert machine.main_pid() == 0
    finally:
        # What the message asks for: a different address, or one of them is deleted.
        address(NOBODY)
    namespace.wait_running("arena")
    pid = machine.main_pid()
    assert pid
    address(machine.host.address)
    namespace.wait_stalled("arena", "AmbiguousHost")
    kubectl("delete", "gamehost", name, "--timeout=60s")
    namespace.wait_running("arena")
    assert machine.main_pid() == pid
