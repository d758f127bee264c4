"""
The demo: from nothing to three game servers on two machines, and back to nothing.

Each step finds what an earlier run has left, done or half done, and goes on from there.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from demokit import account, overlay, watching
from demokit.kubectl import APPLY, Kubectl
from demokit.operator import Operator
from labkit import lab, locks, machine, paths, progress, state
from labkit.errors import LabError

NAME = "demo"
KINDS = ("games", "gamehosts", "gameinstances")
# Somebody is watching: a player who joins or leaves is shown within seconds, not a minute.
_SETTINGS = {
    "WARLOCK_STATUS_MEASUREMENT_SECONDS": "5",
    "WARLOCK_QUERY_SECONDS": "5",
    "WARLOCK_SAMPLE_SECONDS": "5",
}
_RUNNING_SECONDS = 900.0  # two minutes are usual: a package installation on each machine


def up(name: str, tell: progress.Callback) -> None:
    """Make everything, and return when all three instances run; raises LabError."""
    machine.check()
    paths.checked_name(name, "lab")
    with locks.held(f"demo-{name}"):
        _environment(tell)
        made = lab.up(name, hosts=2, progress_to=tell)
        kubectl = _kubectl(made)
        with progress.step("kinds, account and roles of the operator", tell):
            install(made, kubectl)
        with progress.step("operator", tell) as step:
            step.detail = _start(Operator(made, kubectl))
        with progress.step("kubectl apply -k manifests/samples", tell) as step:
            folder = overlay.samples(made.folder / "samples", made.hosts.values())
            said = kubectl("apply", "-k", folder)
            step.detail = f"{len(said.splitlines())} objects"
        watching.wait_for_all(kubectl, _RUNNING_SECONDS, tell)
    _show(made, kubectl)


def down(name: str, tell: progress.Callback) -> None:
    """Remove operator and lab with every trace; absent is fine."""
    machine.check()
    paths.checked_name(name, "lab")
    with locks.held(f"demo-{name}"):
        if name in state.names():
            found = lab.load(name)
            if found.cluster is not None:
                operator = Operator(found, _kubectl(found))
                if operator.running:
                    with progress.step("operator ends", tell):
                        operator.stop()
        lab.down(name, tell)


def install(made: lab.Lab, kubectl: Kubectl) -> None:
    """Apply manifests/operator and the Secrets with the keys of the lab's machines."""
    kubectl(*APPLY, "-k", overlay.operator(made.folder / "manifests"))
    kubectl.wait_established(*KINDS)
    secrets = [overlay.key_secret(host, account.NAMESPACE) for host in made.hosts.values()]
    if secrets:
        kubectl.apply(*secrets)


def _environment(tell: progress.Callback) -> None:
    """Make .venv from the lock; nothing where it is there."""
    with progress.step("virtual environment", tell) as step:
        step.update("the locked packages")
        done = subprocess.run(
            [paths.REPOSITORY / "hack" / "venv"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise LabError(done.stderr.strip() or "hack/venv failed")
        step.detail = "made from the lock" if done.stderr else "is there"


def _kubectl(made: lab.Lab) -> Kubectl:
    assert made.cluster is not None, "made with a control plane"
    return Kubectl(made.cluster.kubectl, made.kubeconfig)


def _start(operator: Operator) -> str:
    """Start the operator, or again where it runs other code than lies here; say which."""
    wanted, file = _code_digest(), operator.folder / "code"
    was = file.read_text() if file.exists() else ""
    if operator.running and was == wanted:
        operator.wait_ready()
        return f"is running, log {operator.log}"
    operator.stop()
    operator.start(_SETTINGS)
    file.write_text(wanted)
    operator.wait_ready()
    return f"log {operator.log}"


def _code_digest() -> str:
    """Return what changes with the operator's code."""
    digest = hashlib.sha256()
    for file in sorted((paths.REPOSITORY / "operator").rglob("*.py")):
        digest.update(f"{file.relative_to(paths.REPOSITORY)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _show(made: lab.Lab, kubectl: Kubectl) -> None:
    print(flush=True)
    print(kubectl("get", "gameinstances", "-A", "-o", "wide"))
    end = "make demo-down" if made.name == NAME else f"hack/demo --down --name {made.name}"
    print(f"It runs until `{end}`. To try next:")
    print()
    print(f"    export KUBECONFIG=$(hack/lab kubeconfig --name {made.name})")
    for command in _next_commands(made.name, kubectl.program):
        print(f"    {command}")
    sys.stdout.flush()


def _next_commands(name: str, program: Path) -> tuple[str, str, str]:
    known = machine.which("kubectl")
    word = "kubectl" if known else str(program)
    return (
        f"{word} get gameinstances -A --watch",
        f"hack/lab ssh --name {name} host-a systemctl kill -s KILL 'warlock-openarena@*'",
        f"{word} -n games annotate gameinstance arena warlock.dev/restart=$(date +%s) --overwrite",
    )
