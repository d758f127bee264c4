"""
The real kubectl against a real apiserver and the whole operator, used as people use it.

Machines are in memory and run the real planner: what kubectl shows is what an operator wrote.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from demokit.kubectl import Kubectl
from tests.cluster.kube.conftest import FAST, installed, kubectl
from tests.cluster.operator.conftest import Running, plain_game
from tests.e2e.world import Object, wait_for
from tests.unit.core.worlds import host
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.transport.machine import Machine
from warlock_operator.web.server import Health

__all__ = ["installed", "kubectl"]  # fixtures of that suite, used here too

API = "warlock.dev/v1alpha1"


@dataclass(frozen=True)
class Tenant:
    """A namespace whose instances a machine of its own serves, and kubectl there."""

    kubectl: Kubectl
    namespace: str
    guid: str
    host: str
    address: str
    links: FixtureLinks

    def __call__(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What kubectl printed; a failure is an error."""
        return self.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def refused(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What kubectl said when it failed; a success is an error."""
        done = self.kubectl.attempt("-n", self.namespace, *arguments, stdin=stdin)
        assert done.returncode == 1, done.stdout
        return done.stderr

    def manifest(self, name: str, **spec: Any) -> Object:
        """A GameInstance on the machine."""
        return {
            "apiVersion": API,
            "kind": "GameInstance",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"guid": self.guid, "host": self.host, **spec},
        }

    def apply(self, manifest: Object, *options: str) -> str:
        """``kubectl apply`` of one object; gives what it printed."""
        return self("apply", *options, "-f", "-", stdin=json.dumps(manifest))

    def get(self, name: str, kind: str = "gi") -> Object:
        """The object, whose fields' managers are there too."""
        found: Object = json.loads(self("get", kind, name, "-o", "json", "--show-managed-fields"))
        return found

    def wait_ready(self, *names: str) -> None:
        """Wait as people do."""
        objects = [f"gi/{name}" for name in names]
        self("wait", "--for=condition=Ready", "--timeout=20s", *objects)

    def wait_gone(self, kind: str, name: str) -> None:
        """Wait until an object is no more."""
        self("wait", "--for=delete", "--timeout=20s", f"{kind}/{name}")

    @property
    def machine(self) -> Machine:
        """The machine."""
        return self.links.machine_at(self.address)


@pytest.fixture(scope="module")
def tenant(admin_kubectl: Kubectl, installed: None, tmp_path_factory: Any) -> Iterator[Tenant]:
    """A tenant with a Game, a GameHost and a running operator; all of it goes with the module."""
    name = f"people-{uuid.uuid4().hex[:8]}"
    settings = replace(
        FAST, kubeconfig=str(admin_kubectl.kubeconfig), namespace=name, intake_quiet_seconds=0.1,
        watch_seconds=60.0, api_page_size=500, query_seconds=0.2, sample_seconds=0.2,
    )  # fmt: skip
    made = Tenant(
        admin_kubectl, name, str(uuid.uuid4()), f"{name}-host", "198.18.1.77",
        FixtureLinks(settings),
    )  # fmt: skip
    admin_kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    admin_kubectl.apply(*furniture(made))
    health = Health()
    health.waiting_for = "its start"
    operator = Running(settings, made.links, health)
    try:
        wait_for(lambda: not health.waiting_for, 20.0, "the operator is ready")
        admin_kubectl("wait", "--for=condition=Ready", "--timeout=20s", f"gh/{made.host}")
        yield made
        made("delete", "gi", "--all", "--timeout=20s")
        made("delete", "gh", made.host, "--timeout=20s")
    finally:
        operator.stop()
    made("delete", "game", name)
    made("delete", "namespace", name, "--wait=false")


def furniture(tenant: Tenant) -> tuple[Object, ...]:
    """The key, the Game and the GameHost of a tenant."""
    metadata = {"name": "host-key", "namespace": tenant.namespace}
    key: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/ssh-auth",
        "stringData": {"ssh-privatekey": uuid.uuid4().hex},
    }
    game = plain_game(tenant.namespace)
    game["metadata"] = {"name": tenant.namespace}
    game["spec"]["guid"] = tenant.guid
    game["spec"]["query"] = {"protocol": "Quake3", "port": "game"}
    ssh = {"keySecret": {"name": "host-key"}, "hostKeyPolicy": "TrustOnFirstUse"}
    machine = host(tenant.host, tenant.address, ssh=ssh)
    machine["metadata"] = {"name": tenant.host}
    return key, game, machine
