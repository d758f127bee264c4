"""The whole thing, for real: the operator's process, an API server, machines with the game."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial

import pytest
import yaml

from demokit import account, demo, overlay
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit import paths
from labkit.cluster import Cluster
from labkit.lab import Lab
from tests.conftest import MakeHost, MakeOperator
from tests.e2e import scenes
from tests.e2e.world import API, Machine, Namespace, Object, ready, wait_for
from tests.health import records
from tests.health.watch import Watch
from tests.health.witness import Witness

KINDS = ("gameinstances", "gamehosts", "games")
TENANT = "warlock.dev/tenant"


# They judge what the others have done.
LAST = ("tests.e2e.test_secrecy", "tests.e2e.test_states", "tests.e2e.test_least_privilege")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that look back at the whole run behind all others."""
    items.sort(key=lambda item: LAST.index(_module(item)) if _module(item) in LAST else -1)


LOOSE = pytest.StashKey[set[str]]()
"""Namespaces of objects that were served by another schema than ours, for a while."""
UNRECORDED = pytest.StashKey[list[str]]()
"""Records that a run would add: see :mod:`tests.health.records`."""


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which states had no record; they were judged, and nobody can look them up."""
    names = config.stash.get(UNRECORDED, [])
    if names:
        terminalreporter.section("states without a record")
        for name in [*names, f"to add them: {records.REWRITE}"]:
            terminalreporter.write_line(name)


def _module(item: pytest.Item) -> str:
    return ".".join(item.nodeid.partition(".py::")[0].split("/"))


@pytest.fixture(scope="session", autouse=True)
def audit_begin(lab: Lab) -> int:
    """Where the audit log ends before this suite: earlier ones use the operator's account too."""
    return scenes.audit_position(lab)


@pytest.fixture(scope="session", autouse=True)
def witness(lab: Lab) -> Iterator[Witness]:
    """Asks the machine whenever a GameInstance is called done."""
    made = Witness(lab)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session", autouse=True)
def watches(
    lab: Lab, witness: Witness, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Watch]]:
    """Every version of every object from here on, by the kinds' plural names."""
    assert isinstance(lab.cluster, Cluster)
    folder = tmp_path_factory.mktemp("versions")
    tell = {"gameinstances": witness.told}
    made = {
        plural: Watch(lab.cluster, plural, folder / plural, tell.get(plural, lambda found: None))
        for plural in KINDS
    }
    for watch in made.values():
        watch.start()
    yield made
    for watch in made.values():
        watch.end()
    for watch in made.values():
        watch.stop()


@pytest.fixture(scope="session")
def kubectl(lab: Lab, admin_kubectl: Kubectl) -> Kubectl:
    """The administrator's kubectl, where the operator's manifests are applied and no object is."""
    demo.install(lab, admin_kubectl)
    remove_objects(admin_kubectl)
    return admin_kubectl


@pytest.fixture(scope="session")
def machines(lab_hosts: MakeHost) -> dict[str, Machine]:
    """Two machines that have the game's package: game-a and game-b."""
    return {name: Machine(lab_hosts(name)) for name in ("game-a", "game-b")}


@pytest.fixture(scope="session")
def machine(machines: dict[str, Machine]) -> Machine:
    """The first of them."""
    return machines["game-a"]


@pytest.fixture(scope="module")
def operator(
    kubectl: Kubectl, machines: dict[str, Machine], operator_process: MakeOperator
) -> Iterator[Operator]:
    """The operator, with the game and both machines declared and reached."""
    kubectl("apply", "-k", paths.REPOSITORY / "manifests/games")
    for each in machines.values():
        declare(kubectl, each)
    started = operator_process()
    for name in machines:
        wait_host(kubectl, name)
    yield started
    started.start()  # a test may have ended it, and it is what lets the machines go
    kubectl("delete", "gamehosts", "--all", "--timeout=60s")
    started.stop()
    remove_objects(kubectl)


@pytest.fixture
def namespace(kubectl: Kubectl, operator: Operator) -> Iterator[Namespace]:
    """A namespace of the test's own; what is in it afterwards is deleted, and waited for."""
    made = make_namespace(kubectl)
    yield made
    empty_namespace(made)


@pytest.fixture
def other_namespace(kubectl: Kubectl, operator: Operator) -> Iterator[Namespace]:
    """A second one."""
    made = make_namespace(kubectl)
    yield made
    empty_namespace(made)


def make_namespace(kubectl: Kubectl) -> Namespace:
    """Make a namespace whose instances every host of the tests admits."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    metadata = {"name": name, "labels": {TENANT: "games"}}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return Namespace(name, kubectl)


def empty_namespace(made: Namespace) -> None:
    """Delete its instances, wait until the operator has let them go, and delete it."""
    made.kubectl("-n", made.name, "delete", "gameinstances", "--all", "--wait=false")
    wait_for(
        lambda: not made.kubectl.items("gameinstances", "-n", made.name),
        90.0,
        f"no instance is left in {made.name}",
        lambda: made.kubectl.items("gameinstances", "-n", made.name),
    )
    made.kubectl("delete", "namespace", made.name, "--wait=false")


def game_host(machine: Machine, **spec: object) -> Object:
    """Give a GameHost for the machine; *spec* replaces fields."""
    host = machine.host
    made = {
        "address": host.address,
        "ssh": {
            "user": "root",
            "keySecret": {"name": f"{host.name}-ssh"},
            "hostKeyPolicy": "Pinned",
            "hostKeys": [host.host_key],
        },
        "ports": {"ranges": [{"from": 27960, "to": 28959}], "reserved": [28000]},
        "pathRoots": ["/opt", "/srv"],
        **spec,
    }
    return {"apiVersion": API, "kind": "GameHost", "metadata": {"name": host.name}, "spec": made}


def plain_game(words: list[str]) -> Object:
    """Give a Game of its own that installs nothing and runs *words*."""
    name = f"scene-{uuid.uuid4().hex[:8]}"
    spec = {
        "guid": str(uuid.uuid4()),
        "title": "Scene",
        "install": {"none": {}},
        "services": [{"name": f"warlock-{name}", "exec": words}],
    }
    return {"apiVersion": API, "kind": "Game", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def sleeper(kubectl: Kubectl, namespace: Namespace) -> Iterator[Object]:
    """A second Game, that installs nothing, declares no variable and sleeps."""
    made = plain_game(["/bin/sleep", "1000"])
    kubectl.apply(made)
    yield made
    kubectl("-n", namespace.name, "delete", "gi", "--all", "--timeout=60s")
    kubectl("delete", "game", made["metadata"]["name"])


def declare(kubectl: Kubectl, machine: Machine, **spec: object) -> None:
    """Apply the machine's GameHost and the Secret with the key to it."""
    secret = overlay.key_secret(machine.host, account.NAMESPACE)
    kubectl.apply(secret, game_host(machine, **spec))


def wait_host(kubectl: Kubectl, name: str, seconds: float = 60.0) -> Object:
    """Give the GameHost once it is Ready for its newest generation."""
    last: Object = {}

    def look() -> bool:
        nonlocal last
        last = kubectl.get("gamehost", name)
        return ready(last)

    wait_for(look, seconds, f"GameHost {name}: Ready", lambda: last.get("status", last))
    return last


def samples() -> list[Object]:
    """Give the sample instances as their file has them."""
    text = (paths.REPOSITORY / "manifests/samples/instances.yaml").read_text()
    return [each for each in yaml.safe_load_all(text) if each]


def remove_objects(kubectl: Kubectl) -> None:
    """
    Remove every object of the three kinds by force; the machines are not asked.

    What an earlier suite has left names machines that are not there, and would not go by itself.
    """
    for kind in KINDS:
        everywhere = ("-A",) if kind == "gameinstances" else ()
        kubectl("delete", kind, "--all", *everywhere, "--wait=false")
        for each in kubectl.items(kind, "-A"):
            meta = each["metadata"]
            scope = ("-n", meta["namespace"]) if "namespace" in meta else ()
            let_go = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')
            kubectl.attempt(*scope, "patch", kind, meta["name"], *let_go)
        wait_for(partial(_none_of, kubectl, kind), 30.0, f"no {kind} is left")


def _none_of(kubectl: Kubectl, kind: str) -> bool:
    return not kubectl.items(kind, "-A")
