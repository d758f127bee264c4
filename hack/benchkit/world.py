"""The operator with everything that it needs, and the workload as objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from benchkit import machines, workload
from benchkit.watching import Watch, condition, ready
from demokit import demo
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit import lab, progress
from labkit.host import Host

API = "warlock.dev/v1alpha1"
NAMESPACE = "bench"
READY_SECONDS = 300.0

Object = dict[str, Any]


class World:
    """An operator that serves machines of a lab; with the settings of a Deployment, or others."""

    def __init__(self, made: lab.Lab, hosts: Sequence[Host] = ()) -> None:
        """hosts: all of the lab, unless some are named."""
        assert made.cluster is not None, "made with a control plane"
        self.lab = made
        self.hosts: list[Host] = list(hosts or made.hosts.values())
        self.kubectl = Kubectl(made.cluster.kubectl, made.kubeconfig)
        self.operator = Operator(made, self.kubectl)
        self.watch: Watch

    def up(self, tell: progress.Callback, settings: Mapping[str, str] | None = None) -> None:
        """Apply what an admin would; return when the operator reaches all machines."""
        with progress.step("operator", tell) as step:
            machines.empty(self.hosts)
            demo.install(self.lab, self.kubectl)
            hosts = [game_host(host) for host in self.hosts]
            self.kubectl.apply(namespace(), GAME, *hosts)
            self.operator.start(settings)
            self.operator.wait_ready()
            names = [f"gamehost/{host.name}" for host in self.hosts]
            self.kubectl("wait", "--for=condition=Ready", "--timeout=90s", *names)
            self.watch = Watch(self.kubectl)
            step.detail = f"reaches {len(names)} machines"

    def down(self) -> None:
        """Delete everything in the right order: the operator is what lets the machines go."""
        self.clear()
        self.watch.close()
        self.kubectl("delete", "gamehosts", "--all", "--timeout=60s")
        self.kubectl("delete", "games", "--all", "--timeout=60s")
        self.operator.stop()
        machines.empty(self.hosts)

    def clear(self) -> None:
        """Delete all instances, and wait until they are gone: kubectl asks for five a second."""
        self.kubectl("-n", NAMESPACE, "delete", "gameinstances", "--all", "--wait=false")
        self.watch.until(lambda seen: not seen, READY_SECONDS, "no instance is left")

    def ready_since(self, names: Iterable[str]) -> float:
        """Wait until all are Ready for their newest generations; give the moment."""
        fact = partial(_all_ready, frozenset(names))
        return self.watch.until(fact, READY_SECONDS, "all instances are Ready")

    def main_pid(self, host: Host, number: int) -> int:
        """Give the main process of a server, as its machine counts."""
        argv = ["systemctl", "show", "-P", "MainPID", workload.server(number).unit]
        return int(host.run(argv).stdout)

    def active_at(self, host: Host, number: int) -> float:
        """Give the moment at which a server's unit became active: a machine has our clock."""
        unit = workload.server(number).unit
        argv = ["systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", unit]
        return int(host.run(argv).stdout) / 1_000_000


def _all_ready(names: frozenset[str], seen: dict[str, Object]) -> bool:
    return all(name in seen and ready(seen[name]) for name in names)


def is_false(name: str, kind: str, seen: dict[str, Object]) -> bool:
    """Whether the condition of that instance is False."""
    return name in seen and condition(seen[name], kind) == "False"


def namespace() -> Object:
    """Where the instances are."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def game_host(host: Host) -> Object:
    """Give a machine's GameHost."""
    ssh = {
        "user": "root",
        "keySecret": {"name": f"{host.name}-ssh"},
        "hostKeyPolicy": "Pinned",
        "hostKeys": [host.host_key],
    }
    spec = {
        "address": host.address,
        "ssh": ssh,
        "ports": {"ranges": [{"from": 27960, "to": 28959}]},
        "pathRoots": [workload.ROOT],
    }
    return {"apiVersion": API, "kind": "GameHost", "metadata": {"name": host.name}, "spec": spec}


def instance(host: Host, number: int, revision: int = 1) -> Object:
    """Give the GameInstance that makes the workload's server of that number."""
    server = workload.server(number, revision)
    spec = {
        "guid": workload.GUID,
        "host": host.name,
        "instance_id": server.instance.instance_id,
        "path": server.path,
        "env": [{"name": name, "value": value} for name, value in server.instance.env],
    }
    metadata = {"name": name_of(host, number), "namespace": NAMESPACE}
    return {"apiVersion": API, "kind": "GameInstance", "metadata": metadata, "spec": spec}


def name_of(host: Host, number: int) -> str:
    """Name an instance."""
    return f"{host.name}-{number}"


def instances(hosts: Sequence[Host], count: int) -> list[Object]:
    """Give *count* on each machine."""
    return [instance(host, number) for host in hosts for number in range(count)]


GAME: Object = {
    "apiVersion": API,
    "kind": "Game",
    "metadata": {"name": "bench"},
    "spec": {
        "guid": workload.GUID,
        "title": "Benchmark",
        "install": {"none": {}},
        "services": [{"name": workload.SERVICE, "exec": ["/bin/sleep", "infinity"]}],
        "variables": [
            {"name": "REVISION", "default": "1", "description": "Makes a restart due."},
        ],
    },
}
