"""Absence is never deletion, on a real machine: what is lost or not admitted runs on."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from demokit import account
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.conftest import QUICK
from tests.e2e.conftest import declare, empty_namespace, plain_game
from tests.e2e.front import Front
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

    wait_for(
        lambda: [each["name"] for each in orphans(kubectl, machine)] == ["arena"],
        30.0,
        "it is an orphan",
    )
    assert (machine.managed(), machine.main_pids()) == before
    # As a backup has it: another uid, no status, no port.
    namespace.instance("arena", instance_id=arena["spec"]["instance_id"])
    found = namespace.wait_running("arena")
    assert found["status"]["ports"][0]["port"] == port
    assert (machine.managed(), machine.main_pids()) == before
    assert found["metadata"]["uid"] != arena["metadata"]["uid"]


MANY = 200
KEPT_BACK = 100
RETRIES = {"WARLOCK_API_RETRY_CAP_SECONDS": "1"}


@pytest.fixture
def many(kubectl: Kubectl, namespace: Namespace) -> Iterator[list[str]]:
    """So many instances of a Game that sleeps, all running; gives their names."""
    game = plain_game(["/bin/sleep", "100000"])
    kubectl.apply(game)
    made = [
        namespace.manifest(
            f"many-{number}",
            {"guid": game["spec"]["guid"], "host": "game-a", "instance_id": str(uuid.uuid4())},
        )
        for number in range(MANY)
    ]
    kubectl.apply(*made)
    wait_for(partial(all_run, namespace), 120.0, "all run", lambda: states(namespace))
    yield [each["metadata"]["name"] for each in made]
    empty_namespace(namespace)
    kubectl("delete", "game", game["metadata"]["name"])


def states(namespace: Namespace) -> Counter[str]:
    """Count the instances by their state."""
    found = namespace.kubectl.items("gameinstances", "-n", namespace.name)
    return Counter(each.get("status", {}).get("state", "") for each in found)


def all_run(namespace: Namespace) -> bool:
    return states(namespace) == {"Running": MANY}


def test_half_an_intake_changes_nothing_until_it_is_whole(
    namespace: Namespace, machine: Machine, operator: Operator, many: list[str]
) -> None:
    seen, hidden = many[0], frozenset(many[-KEPT_BACK:])
    before = processes(machine)
    assert len(before) == MANY
    operator.stop()
    front = Front(operator.kubeconfig).start().keep_back(hidden)
    try:
        settings = {"KUBECONFIG": str(front.kubeconfig(operator.folder)), **RETRIES}
        operator.start({**QUICK, **settings})
        wait_for(lambda: front.asked, 60.0, "what the intake lacks is asked for")
        # Of what it has seen it could do this at once, and forget the others.
        namespace.patch(seen, {"spec": {"state": "Stopped"}})
        rounds = len(front.asked) + 3
        wait_for(lambda: len(front.asked) >= rounds, 60.0, "it is asked for again")
        assert not operator.ready()
        assert processes(machine) == before
        front.heal()
        operator.wait_ready()
        namespace.wait(seen, lambda found: found["status"]["state"] == "Stopped", "it is stopped")
        gone = before.items() - processes(machine).items()
        assert len(gone) == 1
        assert processes(machine).items() <= before.items()
        assert not orphans(namespace.kubectl, machine)
    finally:
        operator.stop()
        front.stop()
        operator.start(QUICK)
        operator.wait_ready()


def processes(machine: Machine) -> dict[str, str]:
    """Give the control group of each process that sleeps on the machine."""
    script = "for p in $(pgrep -x sleep); do echo $p $(cat /proc/$p/cgroup); done"
    pairs = (line.partition(" ") for line in machine.shell(script).splitlines())
    return {pid: group.rpartition("/")[2] for pid, _, group in pairs if "warlock-scene" in group}


def orphans(kubectl: Kubectl, machine: Machine) -> list[Object]:
    """Give what the GameHost lists as orphans."""
    return list(kubectl.get("gamehost", machine.name)["status"].get("orphans", ()))
