"""
A canary key and a canary passphrase: used for real, then looked for wherever they must not be.

The key opens a machine for the operator; a broken one and a wrong passphrase make it complain.
"""

from __future__ import annotations

import base64
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from demokit import account
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit.lab import Lab
from tests.e2e.conftest import declare, wait_host
from tests.e2e.world import Machine, is_true, wait_for

NEEDLE_CHARACTERS = 40
READ_BYTES = 1024 * 1024
ON_MACHINE = (
    "/var/lib/warlock /etc/warlock /run/warlock /etc/systemd /opt /srv /tmp /var/tmp /var/log"
    " /var/lib/systemd /root"
)


@dataclass(frozen=True)
class Canary:
    """A key that only this test has, its passphrase, and what either looks like when it leaks."""

    passphrase: str = field(default_factory=lambda: f"canary-{uuid.uuid4().hex}")
    key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )

    def secrets(self) -> dict[str, dict[str, str]]:
        """Give Secrets by name: of a broken key, of a wrong passphrase, and the right one."""
        whole = self._sealed()
        head, *body, foot = whole.splitlines()
        broken = "\n".join((head, *reversed(body), foot))
        return {
            "canary-broken": {"ssh-privatekey": broken, "passphrase": self.passphrase},
            "canary-wrong": {"ssh-privatekey": whole, "passphrase": f"{self.passphrase}-not"},
            "canary": {"ssh-privatekey": whole, "passphrase": self.passphrase},
        }

    def _sealed(self) -> str:
        return self._sealed_once[0]

    _sealed_once: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sealed = self.key.export_private_key("openssh", passphrase=self.passphrase)
        self._sealed_once.append(sealed.decode())

    def needles(self) -> list[str]:
        """Give what to look for: both as they are, in base64, and the key without passphrase."""
        plain = self.key.export_private_key("openssh").decode()
        lines = [*plain.splitlines()[2:-1], *self._sealed().splitlines()[2:-2]]
        encoded = base64.b64encode(self._sealed().encode()).decode()
        at = len(encoded) // 2
        return [
            self.passphrase,
            base64.b64encode(self.passphrase.encode()).decode()[:NEEDLE_CHARACTERS],
            encoded[at : at + NEEDLE_CHARACTERS],
            *(line[:NEEDLE_CHARACTERS] for line in lines if len(line) >= NEEDLE_CHARACTERS),
        ]


@pytest.fixture(scope="module")
def canary(kubectl: Kubectl, machine: Machine, operator: Operator) -> Iterator[Canary]:
    """The canary, after the operator has worked with it in every way."""
    made = Canary()
    public = made.key.export_public_key("openssh").decode()
    machine.host.run(["sh", "-c", "cat >> /root/.ssh/authorized_keys"], stdin=public)
    for name, data in made.secrets().items():
        kubectl.apply(_secret(name, data))
        declare(kubectl, machine, ssh=_ssh(machine, name))
        wait_for(
            lambda right=name == "canary": _reached(kubectl, machine) == right, 60.0, name,
            lambda: kubectl.get("gamehost", machine.name),
        )  # fmt: skip
    wait_host(kubectl, machine.name)
    yield made
    declare(kubectl, machine)
    wait_host(kubectl, machine.name)
    kubectl("-n", account.NAMESPACE, "delete", "secret", *made.secrets())


def _secret(name: str, data: dict[str, str]) -> dict[str, object]:
    metadata = {"name": name, "namespace": account.NAMESPACE}
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/ssh-auth"}
    return {**kind, "metadata": metadata, "stringData": data}


def _ssh(machine: Machine, secret: str) -> dict[str, object]:
    pinned = {"hostKeyPolicy": "Pinned", "hostKeys": [machine.host.host_key]}
    return {"user": "root", "keySecret": {"name": secret}, **pinned}


def _reached(kubectl: Kubectl, machine: Machine) -> bool:
    found = kubectl.get("gamehost", machine.name)
    observed = found.get("status", {}).get("observedGeneration")
    return is_true(found, "Reachable") and bool(observed == found["metadata"]["generation"])


def _files_with(needles: list[str], folder: Path) -> list[str]:
    """Name the files beneath *folder* that have one of *needles* in them."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and _has(path, needles):
            found.append(str(path.relative_to(folder)))
    return found


def _has(path: Path, needles: list[str]) -> bool:
    tail = b""
    try:
        with path.open("rb") as stream:
            while data := stream.read(READ_BYTES):
                whole = tail + data
                if any(needle.encode() in whole for needle in needles):
                    return True
                tail = data[-200:]
    except OSError:  # a process that has ended
        return False
    return False


def test_neither_is_in_a_log_nor_in_any_object_but_the_secret(
    lab: Lab, kubectl: Kubectl, canary: Canary
) -> None:
    needles = canary.needles()
    found = _files_with(needles, lab.folder)
    # Where Secrets are at home: the proof that what is looked for is the right thing.
    assert [each for each in found if each.startswith("cluster/etcd/")] != []
    assert [each for each in found if not each.startswith("cluster/etcd/")] == []
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    asked = ",".join(kind for kind in kinds if kind != "secrets")
    objects = kubectl("get", asked, "-A", "-o", "json", "--show-managed-fields")
    assert '"kind": "Event"' in objects
    assert [needle for needle in needles if needle in objects] == []


def test_neither_is_in_a_command_line_or_an_environment(canary: Canary) -> None:
    needles = canary.needles()
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            assert not _has(process / name, needles), process


def test_neither_is_on_the_machine(machine: Machine, canary: Canary) -> None:
    needles = "\n".join(canary.needles())
    script = f"""
    cat > /run/needles
    grep -aFlsf /run/needles /proc/[0-9]*/cmdline /proc/[0-9]*/environ
    journalctl -q -a -o export --no-pager | grep -acFf /run/needles | grep -v '^0$'
    grep -arFlsf /run/needles {ON_MACHINE}
    grep -aFlsf /run/needles /run/needles
    rm /run/needles
    """
    said = machine.host.run(["sh", "-c", script], stdin=needles, check=False).stdout
    assert said.split() == ["/run/needles"]


def test_a_crash_of_the_operator_leaves_no_core(operator: Operator, canary: Canary) -> None:
    process = operator.pid
    limits = Path(f"/proc/{process}/limits").read_text().splitlines()
    (core,) = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
    assert core == ["0", "0"]
    folder = Path(f"/proc/{process}/cwd").resolve()
    before = {*folder.glob("core*")}
    os.kill(process, signal.SIGABRT)
    wait_for(lambda: not Path(f"/proc/{process}").exists(), 30.0, "it has ended")
    assert {*folder.glob("core*")} == before
    assert [*Path("/var/lib/systemd/coredump").glob("*")] == []
    wait_for(operator.ready, 60.0, "it is back")
