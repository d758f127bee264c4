"""A whole run: lab, machines, objects; for each size a first start, a second one, and rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demokit import account, demo
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit import lab, progress
from labkit.errors import LabError
from scalekit import objects, population
from scalekit.audit import AuditLog
from scalekit.fleet import Machines
from scalekit.measure import Fleet, Meter

# A lab has eight ports: the control plane takes the first three, operators count from the last.
_PORTS = (3, 4)
_LIMIT_SECONDS = 1800.0
_POLL_SECONDS = 3.0
# The first start ends when every instance shows its metrics: two a second would take hours.
_FIRST = {
    "WARLOCK_STATUS_MEASUREMENT_SECONDS": "1",
    "WARLOCK_STATUS_MEASUREMENTS_PER_SECOND": "1000",
}


@dataclass(frozen=True)
class Plan:
    """What to measure. query: whether players are counted. rest_seconds: before idle begins."""

    name: str
    hosts: Sequence[int]
    per_host: int
    query: bool
    rest_seconds: float
    idle_seconds: float
    keep: bool = False


def run(plan: Plan, tell: progress.Callback) -> list[dict[str, Any]]:
    """
    Measure each size, the smallest first; gives a record a size.

    At the end everything goes; where it is kept, the next run begins with what is there.
    """
    made = lab.up(plan.name, hosts=0, progress_to=tell)
    ports = tuple(made.state.apiserver_port + number for number in _PORTS)
    machines = Machines(plan.name, made.folder / "machines", ports)
    try:
        return _Run(plan, made, machines, tell).records()
    finally:
        Operator(made, _kubectl(made)).stop()
        if not plan.keep:
            with progress.step("everything goes", tell):
                machines.stop()
                lab.down(plan.name)


class _Run:
    def __init__(
        self, plan: Plan, made: lab.Lab, machines: Machines, tell: progress.Callback
    ) -> None:
        self._plan = plan
        self._machines = machines
        self._tell = tell
        self._kubeconfig = made.kubeconfig
        self._kubectl = _kubectl(made)
        self._lab = made
        self._operator = Operator(made, self._kubectl)
        audit = AuditLog(made.folder / "cluster" / "audit.log")
        self._meter = Meter(made, machines, self._operator, audit)

    def records(self) -> list[dict[str, Any]]:
        """One a size."""
        self._operator.stop()  # a run that was kept may have left it
        self._furnish()
        return [self._size(Fleet(hosts, self._plan.per_host)) for hosts in self._plan.hosts]

    def _furnish(self) -> None:
        with progress.step("kinds, account and roles of the operator", self._tell):
            demo.install(self._lab, self._kubectl)
        with progress.step("processes of machines", self._tell) as step:
            self._machines.start()
            step.detail = f"{len(self._machines.ports)}"
        namespace = {"apiVersion": "v1", "kind": "Namespace"}
        self._kubectl.apply(
            {**namespace, "metadata": {"name": objects.NAMESPACE}},
            objects.key_secret(self._machines.client_key, account.NAMESPACE),
        )
        population.declare_game(self._kubeconfig, objects.game(query=self._plan.query))

    def _size(self, fleet: Fleet) -> dict[str, Any]:
        self._populate(fleet)
        record: dict[str, Any] = {"hosts": fleet.hosts, "instances": fleet.instances}
        title = f"{fleet.instances} instances on {fleet.hosts} hosts"
        with progress.step(f"{title}: first start", self._tell) as step:
            record["first"] = self._first(fleet, step)
        self._operator.stop()
        with progress.step(f"{title}: second start", self._tell) as step:
            found = self._meter.start(fleet, {}, _LIMIT_SECONDS, step.update)
            record["start"] = found.plain()
            step.detail = (
                f"settled {found.settled_seconds:.1f} s, {found.cpu_seconds:.1f} s of CPU, "
                f"{found.rss_bytes / 2**20:.0f} MB, {found.writes} writes, {found.changes} changes"
            )
        with progress.step(f"{title}: idle", self._tell) as step:
            time.sleep(self._plan.rest_seconds)
            rest = self._meter.idle(fleet, self._plan.idle_seconds, step.update)
            record["idle"] = rest.plain()
            step.detail = (
                f"{rest.cpu_percent:.1f} % of a core, {rest.writes_per_second:.2f} writes/s, "
                f"{rest.rss_bytes / 2**20:.0f} MB"
            )
        self._operator.stop()
        return record

    def _populate(self, fleet: Fleet) -> None:
        ports, key = self._machines.ports, self._machines.host_key
        guid = objects.game(query=False)["spec"]["guid"]
        hosts = [
            objects.game_host(host, ports[host % len(ports)], key) for host in range(fleet.hosts)
        ]
        instances = [
            objects.game_instance(guid, host, number)
            for host in range(fleet.hosts)
            for number in range(fleet.per_host)
        ]
        with progress.step(f"{len(hosts) + len(instances)} objects", self._tell) as step:
            population.populate(
                self._kubeconfig, hosts, instances,
                lambda done, whole: step.update(f"{done} of {whole}", done / whole),
            )  # fmt: skip

    def _first(self, fleet: Fleet, step: progress.Step) -> dict[str, Any]:
        """Converge what is new, until every status says so."""
        began = time.monotonic()
        first = self._meter.start(fleet, _FIRST, _LIMIT_SECONDS, step.update).plain()
        while True:
            ready, measured = population.rest(population.instances(self._kubeconfig))
            seconds = time.monotonic() - began
            if ready == fleet.instances and "ready_all_seconds" not in first:
                first["ready_all_seconds"] = seconds
            if measured == fleet.instances:
                step.detail = f"all Ready within {first['ready_all_seconds']:.0f} s"
                return first
            if seconds > _LIMIT_SECONDS:
                raise LabError(f"{ready} Ready, {measured} measured: see {self._operator.log}")
            step.update(f"{ready} Ready, {measured} measured", measured / fleet.instances)
            time.sleep(_POLL_SECONDS)


def _kubectl(made: lab.Lab) -> Kubectl:
    assert made.cluster is not None, "made with a control plane"
    return Kubectl(made.cluster.kubectl, made.kubeconfig)
