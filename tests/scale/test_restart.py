"""What a start of the operator costs where nothing is to be done: counts, never times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demokit import account, demo
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit.lab import Lab
from scalekit import objects, population
from scalekit.audit import AuditLog
from scalekit.fleet import Machines
from scalekit.measure import Fleet, Meter
from tests.e2e.conftest import remove_objects
from tests.e2e.world import wait_for

FLEET = Fleet(hosts=20, per_host=5)
LIMIT_SECONDS = 120.0
REQUESTS = 40
"""Discovery, the Lease, namespaces, Secrets, two lists and a watch a kind: none an object."""


@pytest.fixture(scope="module")
def machines(lab: Lab) -> Iterator[Machines]:
    """Twenty machines in memory, in a process of their own."""
    made = Machines(lab.name, lab.folder / "machines", (lab.state.apiserver_port + 3,))
    made.stop()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def operator(lab: Lab, admin_kubectl: Kubectl, machines: Machines) -> Iterator[Operator]:
    """The operator's process, not started; five instances are declared on each machine."""
    demo.install(lab, admin_kubectl)
    remove_objects(admin_kubectl)
    game = objects.game(query=False)
    guid, port, key = game["spec"]["guid"], machines.ports[0], machines.host_key
    admin_kubectl.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": objects.NAMESPACE}},
        objects.key_secret(machines.client_key, account.NAMESPACE),
    )
    population.declare_game(lab.kubeconfig, game)
    population.populate(
        lab.kubeconfig,
        [objects.game_host(host, port, key) for host in range(FLEET.hosts)],
        [
            objects.game_instance(guid, host, number)
            for host in range(FLEET.hosts)
            for number in range(FLEET.per_host)
        ],
        lambda done, whole: None,
    )
    made = Operator(lab, admin_kubectl, "scale")
    yield made
    made.stop()
    remove_objects(admin_kubectl)


def test_a_restart_with_nothing_to_do_costs_one_round_trip_a_host_and_no_write(
    lab: Lab, machines: Machines, operator: Operator
) -> None:
    meter = Meter(lab, machines, operator, AuditLog(lab.folder / "cluster" / "audit.log"))
    meter.start(FLEET, {}, LIMIT_SECONDS, lambda text, share: None)
    wait_for(
        lambda: population.rest(population.instances(lab.kubeconfig))[0] == FLEET.instances,
        LIMIT_SECONDS,
        "all are Ready",
    )
    assert machines.told().running == FLEET.instances
    operator.stop()
    again = meter.start(FLEET, {}, LIMIT_SECONDS, lambda text, share: None)
    assert (again.writes, again.changes) == (0, 0), again.requests
    assert (again.greeted, again.round_trips) == (FLEET.hosts, FLEET.hosts)
    assert sum(again.requests.values()) - again.lease_writes <= REQUESTS, again.requests
