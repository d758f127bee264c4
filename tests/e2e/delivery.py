"""A git repository that Argo CD reads, and what Argo CD says and does: for the tests of GitOps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from demokit.kubectl import Kubectl
from labkit import paths
from labkit.commands import run
from labkit.gitops import NAMESPACE, ArgoCD
from tests.e2e.world import Machine, Object, wait_for

SAMPLE = Path("manifests/samples/gitops")
_TREES = (Path("crds"), Path("manifests/games"), SAMPLE)
_AUTHOR = ("-c", "user.name=Player One", "-c", "user.email=one@example.org")
_COLUMNS = "{.status.sync.status}|{.status.health.status}|{.status.operationState.startedAt}"
_SYNC_SECONDS = 30.0


@dataclass(frozen=True)
class Repository:
    """A clone that is written to, of the bare repository that Argo CD reads."""

    folder: Path
    url: str

    @classmethod
    def seeded(cls, folder: Path, argocd: ArgoCD, machine: Machine) -> Repository:
        """Make it of our sample, with the machine's address and host key filled in."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(argocd.repository)
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", argocd.repository)
        made = cls(folder, argocd.repository_url)
        run("git", "clone", "--quiet", made.url, folder)
        for tree in _TREES:
            shutil.copytree(paths.REPOSITORY / tree, folder / tree, dirs_exist_ok=True)
        values = {
            "/spec/address": machine.host.address,
            "/spec/ssh/hostKeys/0": machine.host.host_key,
        }

        def fill(overlay: Object) -> None:
            operations = [{"op": "replace", "path": p, "value": v} for p, v in values.items()]
            overlay["patches"][0]["patch"] = yaml.safe_dump(operations)

        made.edit(SAMPLE / "overlays/one-site/kustomization.yaml", fill)
        return made

    def edit(self, file: Path, change: Callable[[Object], None], name: str = "") -> None:
        """Change the object of that name in a file; without a name its only one."""
        path = self.folder / file
        objects = [each for each in yaml.safe_load_all(path.read_text()) if each]
        for each in objects:
            if not name or each["metadata"]["name"] == name:
                change(each)
        path.write_text(yaml.safe_dump_all(objects, sort_keys=False))

    def edit_instance(self, name: str, change: Callable[[Object], None]) -> None:
        """Change an instance's spec."""
        self.edit(SAMPLE / "site/instances.yaml", lambda found: change(found["spec"]), name)

    def write(self, file: Path, objects: list[Object]) -> None:
        """Replace a file."""
        (self.folder / file).write_text(yaml.safe_dump_all(objects, sort_keys=False))

    def read(self, file: Path) -> list[Object]:
        """Give the objects of a file."""
        return [each for each in yaml.safe_load_all((self.folder / file).read_text()) if each]

    def commit(self, message: str) -> str:
        """Commit everything and push it; gives the commit's hash."""
        self.git("add", "--all")
        self.git(*_AUTHOR, "commit", "--quiet", "--message", message)
        return self._pushed()

    def revert(self, commits: int = 1) -> str:
        """Revert the newest commits and push that."""
        self.git(*_AUTHOR, "revert", "--no-edit", f"HEAD~{commits}..HEAD")
        return self._pushed()

    def git(self, *words: str) -> str:
        """Run git in the clone."""
        return run("git", "-C", self.folder, *words)

    def _pushed(self) -> str:
        self.git("push", "--quiet", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD").strip()


@dataclass(frozen=True)
class Application:
    """One Application, by kubectl and by Argo CD's own metrics and command line."""

    name: str
    kubectl: Kubectl
    argocd: ArgoCD

    def get(self) -> Object:
        """Give the object; empty where it is gone."""
        argv = ("get", "application", self.name, "-o", "json", "--ignore-not-found")
        text = self.kubectl("-n", NAMESPACE, *argv)
        found: Object = json.loads(text) if text.strip() else {}
        return found

    def annotate(self, **values: str) -> None:
        """Set ``argocd.argoproj.io/<key>`` annotations, ``_`` for ``-``."""
        pairs = [f"argocd.argoproj.io/{k.replace('_', '-')}={v}" for k, v in values.items()]
        self.kubectl("-n", NAMESPACE, "annotate", "application", self.name, "--overwrite", *pairs)

    def refresh(self) -> None:
        """Have it look at git now, as a webhook would."""
        self.annotate(refresh="normal")

    def confirm(self) -> None:
        """Confirm what waits to be pruned or deleted, as the button does."""
        self.annotate(deletion_approved=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")

    def wait(self, fact: Callable[[Object], Any], what: str, seconds: float = 30.0) -> Object:
        """Give the object once *fact* is true of it."""
        last: Object = {}

        def look() -> bool:
            nonlocal last
            last = self.get()
            return bool(fact(last))

        wait_for(look, seconds, f"{self.name}: {what}", lambda: last.get("status", last))
        return last

    def wait_synced(self, revision: str, seconds: float = _SYNC_SECONDS) -> Object:
        """Give it once that commit has been synced to its end and nothing differs."""
        self.refresh()
        return self.wait(lambda found: synced(found, revision), f"synced to {revision}", seconds)

    def wait_healthy(self, seconds: float = 60.0) -> Object:
        """Give it once it is Healthy and nothing differs."""
        return self.wait(
            lambda found: health(found) == "Healthy" and status_of(found) == "Synced",
            "Healthy and Synced", seconds,
        )  # fmt: skip

    def reconciles(self) -> int:
        """How often it was compared with git; the counter is of all, and it is the only one."""
        found = self._counter("argocd_app_reconcile_count", f'namespace="{NAMESPACE}"')
        assert found, "it was compared at least once"
        return found

    def syncs(self) -> int:
        """How many sync operations have ended."""
        return self._counter("argocd_app_sync_total", f'name="{self.name}"')

    def said(self) -> str:
        """Give what the controller has logged."""
        return (self.argocd.folder / "argocd-application-controller.log").read_text()

    def diff(self, *options: str) -> str:
        """Give what ``argocd app diff`` prints: nothing where nothing differs."""
        # 1: there is a difference
        return self.argocd.cli("app", "diff", self.name, *options, codes=(0, 1)).strip()

    @contextmanager
    def watched(self) -> Iterator[Watched]:
        """Fill a record of all that is said of it meanwhile; by a watch, so nothing is missed."""
        argv = (
            *(self.kubectl.program, f"--kubeconfig={self.kubectl.kubeconfig}", "-n", NAMESPACE),
            *("get", "application", self.name, "--watch", "-o", f'jsonpath={_COLUMNS}{{"\\n"}}'),
        )
        record = Watched()
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            record.first = process.stdout.readline().strip()
            try:
                yield record
            finally:
                process.terminate()
                record.lines += [line.strip() for line in process.stdout]

    def _counter(self, name: str, label: str) -> int:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.argocd.metrics_url, timeout=10.0) as answer:
            text = answer.read().decode()
        mine = re.findall(rf"^{name}{{([^}}]*)}} (\S+)$", text, re.MULTILINE)
        return sum(int(float(n)) for labels, n in mine if label in labels.split(","))


@dataclass
class Watched:
    """What a watch of an Application has said: ``sync|health|start of the last sync`` a line."""

    first: str = ""
    lines: list[str] = field(default_factory=list)

    def column(self, number: int) -> set[str]:
        """Give the values of a column: 0 sync status, 1 health, 2 start of the last sync."""
        return {line.split("|")[number] for line in [self.first, *self.lines] if line}


def status_of(found: Object) -> str:
    """Give Synced, OutOfSync or Unknown."""
    return str(found.get("status", {}).get("sync", {}).get("status", ""))


def health(found: Object) -> str:
    """Give the Application's health, empty where it has none yet."""
    return str(found.get("status", {}).get("health", {}).get("status", ""))


def operation(found: Object) -> Object:
    """Give the last or the current sync operation."""
    made: Object = found.get("status", {}).get("operationState", {})
    return made


def synced(found: Object, revision: str) -> bool:
    """Whether the sync of that very commit has succeeded and nothing differs."""
    done = operation(found)
    return (
        found.get("status", {}).get("sync", {}).get("revision") == revision
        and status_of(found) == "Synced"
        and done.get("phase") == "Succeeded"
        and done.get("syncResult", {}).get("revision") == revision
    )


def resource_health(found: Object, kind: str, name: str) -> Object:
    """Give the health of one resource, with the message."""
    for each in found.get("status", {}).get("resources", ()):
        if (each["kind"], each["name"]) == (kind, name):
            made: Object = each.get("health", {})
            return made
    return {}


def application(repository: Repository) -> Object:
    """Give the sample's Application, reading that repository; a failed sync is tried again soon."""
    path = repository.folder / SAMPLE / "argo-cd/servers.yaml"
    found: Object = yaml.safe_load(path.read_text())
    found["spec"]["source"]["repoURL"] = repository.url
    found["spec"]["syncPolicy"]["retry"]["backoff"] = {"duration": "1s", "factor": 2}
    return found
