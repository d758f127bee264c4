"""
docs/gitops.md, typed by a person: every command of the page, in its order, in one shell.

Argo CD's own kinds are there, and its controllers are not: after each push this test applies what
was pushed, as its sync would. The operator and the git repository are real, the machine is in
memory and runs the real planner. With Argo CD and a real machine: tests/e2e/test_gitops.py.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demokit.kubectl import Kubectl
from labkit import argocd, paths
from tests.cluster.kube.conftest import FAST, installed
from tests.cluster.operator.conftest import Running
from tests.e2e.conftest import remove_objects
from tests.e2e.world import Object, wait_for
from tests.page import PAGE, SAMPLE, SECONDS, Typist, blocks
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.web.server import Health

__all__ = ["installed"]  # a fixture of that suite, used here too

ADDRESS = "198.18.1.90"
HOST_KEY = "ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43
CONFIG = ("argocd-cm", "argocd-cmd-params-cm", "argocd-notifications-cm")


@pytest.fixture
def argo_cd(admin_kubectl: Kubectl, installed: None) -> Iterator[Kubectl]:
    """An Argo CD as it comes, without its processes; objects of ours are gone before and after."""
    remove_objects(admin_kubectl)
    crds = argocd.programs() / "crds"
    admin_kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
    served = ("get", "applications.argoproj.io", "-A")
    wait_for(lambda: admin_kubectl.attempt(*served).returncode == 0, 30.0, "Applications")
    admin_kubectl.apply(_named("Namespace", "argocd"))
    admin_kubectl.apply(*(_named("ConfigMap", name, namespace="argocd") for name in CONFIG))
    # The page begins without it; what is the operator's account there is not used here.
    admin_kubectl("delete", "namespace", "warlock-system", "--timeout=60s")
    try:
        yield admin_kubectl
    finally:
        remove_objects(admin_kubectl)
        # Nobody is there who would do what the finalizer of the Application waits for.
        let_go = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        admin_kubectl.attempt("-n", "argocd", "patch", "application", "game-servers", *let_go)
        gone = ("--ignore-not-found", "--wait=false")
        admin_kubectl("delete", "namespace", "argocd", "games", *gone)
        admin_kubectl("delete", "-f", crds, *gone)
        operator = paths.REPOSITORY / "manifests/operator"
        admin_kubectl("apply", "--server-side", "--force-conflicts", "-k", operator)


def _named(kind: str, name: str, **metadata: str) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}


@pytest.fixture
def operator(argo_cd: Kubectl) -> Iterator[FixtureLinks]:
    """The operator, waiting for what the page makes; gives the machines."""
    settings = replace(
        FAST, kubeconfig=str(argo_cd.kubeconfig), namespace="warlock-system",
        intake_quiet_seconds=0.1, watch_seconds=60.0, api_page_size=500, query_seconds=0.2,
    )  # fmt: skip
    links = FixtureLinks(settings)
    running = Running(settings, links, Health())
    yield links
    for kind in ("gameinstances", "gamehosts"):
        argo_cd("delete", kind, "--all", *(["-A"] if kind == "gameinstances" else []))
    running.stop()


def test_the_commands_of_the_page_lead_to_servers_that_run(
    argo_cd: Kubectl, operator: FixtureLinks, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("of a machine in memory")
    typist = Typist(tmp_path, argo_cd, ADDRESS, HOST_KEY, key, argo_cd=False)
    done = typist.type(SECONDS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    machine = operator.machine_at(ADDRESS)
    assert {each.name for each in machine.state.ledger.instances} == {"arena", "practice"}
    running = [unit for unit in machine.state.units if unit.main_pid]
    assert len(running) == 2
    wait_for(
        lambda: argo_cd.get("gh", "host-a")["spec"]["ssh"]["hostKeys"] == [HOST_KEY], 1.0, "our key"
    )
    made = argo_cd.items("applications", "-n", "argocd")
    assert {each["spec"]["source"]["repoURL"] for each in made} == {typist.repository}
    assert {each["metadata"]["name"] for each in made} == {"game-servers", "warlock-operator"}
    said = argo_cd.get("configmap", "argocd-cm", "-n", "argocd")["data"]
    assert any("warlock.dev_GameInstance" in key for key in said)


def test_only_what_waits_for_argo_cd_itself_is_left_out() -> None:
    (left_out,) = blocks("sh argocd")
    commands = left_out.replace("\\\n", "").splitlines()
    assert {line.split(" --")[0] for line in commands} == {
        "kubectl -n argocd wait application/game-servers"
    }
    fences = re.findall(r"^```(\S.*)$", PAGE.read_text(), re.MULTILINE)
    assert set(fences) == {"sh", "sh argocd"}
    assert len(blocks("sh")) == fences.count("sh") >= 9


def test_every_file_that_the_page_names_is_there() -> None:
    text = PAGE.read_text()
    named = re.findall(r"`((?:docs|manifests|tests|overlays|argo-cd|base)/[\w./-]*)`", text)
    assert len(named) > 5
    for path in named:
        places = (paths.REPOSITORY / path, paths.REPOSITORY / SAMPLE / path)
        assert any(place.exists() for place in places), path
    assert "docs/gitops.md" in (paths.REPOSITORY / "README.md").read_text()


APPLICATION = """
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: game-servers, namespace: argocd}
spec: {project: default}
status:
  health: {status: Unknown}
  resources:
  - {version: v1, kind: Namespace, name: games}
  - {group: warlock.dev, kind: GameHost, name: host-a, health: {status: Unknown}}
  - {group: warlock.dev, kind: GameInstance, name: arena, namespace: games, health: HEALTH}
"""


@pytest.mark.parametrize(
    ("health", "told"),
    [
        ("{status: Degraded, message: the game ends again and again}", True),
        ("{status: Progressing}", False),
        ("{status: Healthy}", False),
    ],
)
def test_argo_cd_tells_of_a_degraded_server_and_of_no_other(
    admin_kubectl: Kubectl, tmp_path: Path, health: str, told: bool
) -> None:
    """Its own program judges the trigger, where another object hides the server's health."""
    file = tmp_path / "application.yaml"
    file.write_text(APPLICATION.replace("HEALTH", health))
    said = notifications(admin_kubectl, "trigger", "run", "on-game-server-degraded", file)
    assert said.split()[-1] == str(told).lower(), said
    if told:
        text = notifications(admin_kubectl, "template", "notify", "game-server-degraded", file)
        assert "GameInstance arena: the game ends again and again" in text
        assert "host-a" not in text


def notifications(kubectl: Kubectl, *arguments: str | Path) -> str:
    """What ``argocd admin notifications`` prints."""
    config = paths.REPOSITORY / SAMPLE / "argo-cd/notifications.yaml"
    argv = [argocd.programs() / "argocd", "admin", "notifications", *arguments]
    done = subprocess.run(
        [*map(str, argv), "--config-map", str(config), "--secret", ":empty"],
        env={**argocd.cli_environment(), "KUBECONFIG": str(kubectl.kubeconfig)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
