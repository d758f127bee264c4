"""
A tenant who may edit GameInstances in one namespace, and what is out of reach for it.

On the machine the tenant is worse than in the cluster: its game server was taken over, and runs
whatever the tenant says.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from demokit import account
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.e2e.conftest import TENANT, declare, empty_namespace, make_namespace, wait_host
from tests.e2e.world import Machine, Namespace, wait_for
from tests.hostile import machine as hostile

GUID = "b6c9a1de-0000-4000-8000-0000000000aa"
USER = "tenant-a"
MINE, THEIRS = str(uuid.uuid4()), str(uuid.uuid4())
SECRET_TEXT = "the-neighbour-s-own-words"


_SERVE = (
    'exec python3 -c "import signal, socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);'
    " s.bind(('', ${PORT_GAME})); signal.pause()\""
)


@dataclass(frozen=True)
class Tenant:
    """A person of one namespace, by impersonation: the API server's own judgement."""

    kubectl: Kubectl
    namespace: Namespace

    def refused(self, *arguments: str) -> str:
        """Try something that must be forbidden; gives what was said."""
        done = self.kubectl.attempt(*arguments, f"--as={USER}")
        assert done.returncode != 0, done.stdout
        assert "forbidden" in done.stderr.lower(), done.stderr
        return done.stderr

    def apply(self, name: str, **spec: object) -> None:
        """Apply a GameInstance of the tenant's own; that is allowed."""
        manifest = self.namespace.manifest(name, {"guid": GUID, "host": "game-a", **spec})
        done = self.kubectl.attempt(
            "apply", "--server-side", "-f", "-", f"--as={USER}", stdin=json.dumps(manifest)
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def taken_over(kubectl: Kubectl, machine: Machine, operator: Operator) -> Iterator[None]:
    """A Game whose server does what its instance's variable says."""
    words = ["/bin/sh", "-c", f"{{ ${{SAY}} ; }} > ${{HOME}}/said 2>&1 ; {_SERVE}"]
    made = hostile.game("taken-over", GUID, words, [{"name": "SAY", "default": "id"}], ports=True)
    kubectl.apply(made)
    yield
    kubectl("delete", "games.warlock.dev/taken-over")


@pytest.fixture(scope="module")
def victim(kubectl: Kubectl, taken_over: None, machine: Machine) -> Iterator[Namespace]:
    """Another tenant's namespace, with an instance that runs and has a secret in its directory."""
    made = make_namespace(kubectl)
    try:
        spec = {"guid": GUID, "host": "game-a", "instance_id": THEIRS}
        kubectl.apply(made.manifest("theirs", spec))
        found = made.wait_running("theirs")
        path, user = found["status"]["path"], found["status"]["user"]
        machine.shell(f"umask 022; echo {SECRET_TEXT} > {path}/secret; chown {user}: {path}/secret")
        yield made
    finally:
        empty_namespace(made)


@pytest.fixture
def tenant(kubectl: Kubectl, victim: Namespace, namespace: Namespace) -> Tenant:
    """The tenant, who is games-edit in its own namespace and nothing else."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenant", "namespace": namespace.name},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "games-edit"
        },
        "subjects": [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}],
    }  # fmt: skip
    kubectl.apply(binding)
    made = Tenant(kubectl, namespace)
    wait_for(lambda: _may_edit(made), 10.0, "the binding is in force")
    return made


def _may_edit(tenant: Tenant) -> bool:
    argv = ("auth", "can-i", "update", "gameinstances", "-n", tenant.namespace.name)
    return tenant.kubectl.attempt(*argv, f"--as={USER}").returncode == 0


def test_a_tenant_reads_no_secret(tenant: Tenant) -> None:
    secret = "game-a-ssh"
    for place in (account.NAMESPACE, tenant.namespace.name, "kube-system"):
        tenant.refused("-n", place, "get", "secrets")
        tenant.refused("-n", place, "get", "secret", secret)
    tenant.refused("get", "secrets", "-A")
    tenant.refused("-n", account.NAMESPACE, "create", "token", account.NAME)
    tenant.refused("get", "gamehosts")
    # Nor by way of an object: the one kind that names a Secret is not the tenant's.
    tenant.refused("patch", "gamehost", "game-a", "--type=merge", "-p", '{"spec":{}}')
    tenant.refused("patch", "game", "taken-over", "--type=merge", "-p", '{"spec":{}}')


def test_a_tenant_has_nothing_to_do_with_another_namespace_s_instance(
    tenant: Tenant, victim: Namespace, machine: Machine
) -> None:
    before = machine.main_pid(THEIRS, "warlock-taken-over"), victim.get("theirs")["spec"]
    there = ("-n", victim.name)
    tenant.refused(*there, "get", "gameinstances")
    tenant.refused(*there, "delete", "gameinstance", "theirs")
    tenant.refused(*there, "annotate", "gameinstance", "theirs", "warlock.dev/restart=x")
    tenant.refused("get", "gameinstances", "-A")
    # A status is the operator's alone, in the tenant's own namespace too.
    tenant.apply("mine", instance_id=THEIRS)
    tenant.refused(
        "-n", tenant.namespace.name, "patch", "gameinstance", "mine", "--subresource=status",
        "--type=merge", "-p", '{"status":{"path":"/etc"}}',
    )  # fmt: skip
    # The same identity on the same machine is the one who was there first's.
    tenant.namespace.wait_stalled("mine", "HeldByAnother")
    tenant.namespace.delete("mine")
    assert (machine.main_pid(THEIRS, "warlock-taken-over"), victim.get("theirs")["spec"]) == before


PROBES = {
    "the neighbour's directory": "ls /opt/taken-over-{theirs}",
    "the neighbour's file": "cat /opt/taken-over-{theirs}/secret",
    "the neighbour's environment": "cat /etc/warlock/instances/{guid}.{theirs}.env",
    "its own environment file": "cat /etc/warlock/instances/{guid}.{mine}.env",
    "the ledger": "cat /var/lib/warlock/ledger/ledger.json",
    "the agent": "cat /var/lib/warlock/agent/*",
    "shadow": "cat /etc/shadow",
    "root's home": "ls /root",
    "ssh's keys": "cat /etc/ssh/ssh_host_ed25519_key",
    "a unit": "echo x > /etc/systemd/system/warlock-taken-over@{mine}.service.d/60-x.conf",
    "a registration": "echo x > /var/lib/warlock/{guid}.{theirs}.app",
    "a program": "echo x > /usr/bin/warlock-canary",
    "a cron job": "echo x > /etc/cron.d/warlock-canary",
    "another directory": "mkdir /opt/warlock-canary",
    "a link to the neighbour": "ln -s /opt/taken-over-{theirs} link && ls link/",
    "a hard link": "ln /etc/shadow shadow",
    "a device": "mknod device c 1 3",
    "the neighbour's process": "kill -0 {pid}",
    "the neighbour in /proc": "cat /proc/{pid}/environ",
    "root again": "su -c id",
    "systemd": "systemctl stop warlock-taken-over@{theirs}.service",
}
PROBES_AT_ONCE = 7
"""What fits into the 1024 characters of a variable."""
OWN = "if (touch own) >out 2>&1; then echo reached its own; fi"


def test_a_server_that_was_taken_over_reaches_nothing_of_the_machine_s(
    tenant: Tenant, victim: Namespace, machine: Machine
) -> None:
    fields = {
        "theirs": THEIRS, "mine": MINE, "guid": GUID,
        "pid": machine.main_pid(THEIRS, "warlock-taken-over"),
    }  # fmt: skip
    probes = [
        f"if ({command.format(**fields)}) >out 2>&1; then echo reached {what}; cat out; fi"
        for what, command in ((name.replace("'", "-"), each) for name, each in PROBES.items())
    ]
    for at in range(0, len(probes), PROBES_AT_ONCE):
        end = f"reached its own\nend {at}\n"
        said = " ; ".join((*probes[at : at + PROBES_AT_ONCE], OWN, f"echo end {at}"))
        tenant.apply("mine", instance_id=MINE, env=[{"name": "SAY", "value": said}])
        assert wait_for(partial(_said, machine, f"end {at}\n"), 60.0, f"probes from {at}") == end
    assert machine.main_pid(THEIRS, "warlock-taken-over") == fields["pid"]


def _said(machine: Machine, end: str) -> str:
    text = machine.shell(f"cat /opt/taken-over-{MINE}/said", check=False)
    return text if text.endswith(end) else ""


def test_a_directory_in_another_s_is_refused(tenant: Tenant, victim: Namespace) -> None:
    theirs = victim.get("theirs")["status"]["path"]
    for at, path in enumerate((theirs, f"{theirs}/inside")):
        tenant.apply(f"p{at}", instance_id=str(uuid.uuid4()), path=path)
        tenant.namespace.wait_stalled(f"p{at}", "PathTaken")


def test_a_host_that_leaves_the_namespace_out_serves_it_nothing(
    tenant: Tenant, kubectl: Kubectl, machine: Machine
) -> None:
    before = machine.managed()
    declare(kubectl, machine, namespaceSelector={"matchLabels": {TENANT: "others"}})
    try:
        tenant.apply("left-out", instance_id=str(uuid.uuid4()))
        found = tenant.namespace.wait_stalled("left-out", "NamespaceNotAdmitted")
        assert "path" not in found["status"]
        # Nor can the tenant give its namespace the label.
        tenant.refused("label", "namespace", tenant.namespace.name, f"{TENANT}=others")
        assert machine.managed() == before
    finally:
        declare(kubectl, machine)
        wait_host(kubectl, machine.name)


def test_another_s_port_stays_another_s(
    tenant: Tenant, victim: Namespace, machine: Machine
) -> None:
    taken = victim.get("theirs")["status"]["ports"][0]["port"]
    tenant.apply(
        "thief", instance_id=str(uuid.uuid4()), ports=[{"name": "game", "port": taken}]
    )  # fmt: skip
    tenant.namespace.wait_stalled("thief", "PortTaken")
    assert victim.get("theirs")["status"]["ports"][0]["port"] == taken
