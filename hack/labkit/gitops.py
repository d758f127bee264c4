"""
Argo CD beside the lab's control plane: redis, repo-server, application-controller, API server.

It asks nobody for a password: it listens on loopback alone. It is told to look often and to wait
for nothing, which production does not: there it polls every two to three minutes.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from labkit import argocd, pki, redis
from labkit.cgroups import Group
from labkit.cluster import Cluster
from labkit.commands import attempt, clean_environment, run
from labkit.errors import LabError
from labkit.paths import REPOSITORY
from labkit.state import LabState

NAMESPACE = "argocd"
PARTS = ("redis", "argocd-repo-server", "argocd-application-controller", "argocd-server")
POLL_SECONDS = 3  # how often it looks at git by itself
# Behind those of the control planes, which have eight a lab; below the ephemeral range.
_FIRST_PORT = 23000
_PORTS_A_LAB = 8
_READY_SECONDS = 120.0
_LOOK_SECONDS = 0.05
_USER = "argocd-application-controller"
_EMPTY = ("rbac-cm", "cmd-params-cm", "ssh-known-hosts-cm", "tls-certs-cm", "gpg-keys-cm")
_CUSTOMIZATIONS = REPOSITORY / "manifests" / "argo-cd" / "argocd-cm.yaml"
_FOLDERS = ("tls", "ssh", "gpg/source", "gpg/keys", "plugins", "tmp", "home", "redis")


class ArgoCD:
    """The processes of one lab, and the bare git repository that it reads."""

    def __init__(self, state: LabState, folder: Path, cluster: Cluster) -> None:
        self._state = state
        self._cluster = cluster
        self.folder = folder
        self.repository = folder / "repository.git"
        self.repository_url = f"file://{self.repository}"
        first = _FIRST_PORT + _PORTS_A_LAB * state.subnet
        self._ports = {part: first + number for number, part in enumerate(PARTS)}
        self._repo_metrics, self._server_metrics = first + len(PARTS), first + len(PARTS) + 1
        self._redis = f"127.0.0.1:{self._ports['redis']}"
        self._repo_server = f"127.0.0.1:{self._ports['argocd-repo-server']}"
        self.server = f"127.0.0.1:{self._ports['argocd-server']}"
        # The controller has no other port.
        self.metrics_url = (
            f"http://127.0.0.1:{self._ports['argocd-application-controller']}/metrics"
        )

    def start(self) -> None:
        """Start what does not run and return when all parts answer; the API server must run."""
        programs = argocd.programs()
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._make_repository()
        pki.certificate(self._cluster.folder, "argocd", _USER)
        kubeconfig = self.folder / "kubeconfig"
        pki.kubeconfig(self._cluster.folder, "argocd", self._cluster.server, kubeconfig)
        self._apply(programs / "crds")
        self._start_redis()
        self._start_repo_server(programs)
        self._start_controller(programs)
        self._start_server(programs)
        for part in PARTS:
            self._wait(part)

    def stop(self) -> None:
        """End all parts; what is in the cluster and in git stays."""
        for part in reversed(PARTS):
            self._group(part).terminate()

    def cli(self, *words: str, codes: Collection[int] = (0,)) -> str:
        """Return what the command line tool says; raises LabError for another exit code."""
        home = str(self.folder / "home")
        environment = {**argocd.cli_environment(), "HOME": home, "ARGOCD_CONFIG_DIR": home}
        where = ("--server", self.server, "--plaintext")
        done = attempt(argocd.expected() / "argocd", *words, *where, env=environment)
        if done.returncode not in codes:
            said = (done.stderr or done.stdout).strip()[-500:]
            raise LabError(f"argocd {' '.join(words[:3])} ({done.returncode}): {said}")
        return done.stdout

    def running(self) -> dict[str, bool]:
        """Return which parts run."""
        return {part: self._group(part).alive() for part in PARTS}

    def _start_redis(self) -> None:
        program, environment = redis.program()
        argv: list[str | Path] = [
            program,
            *("--bind", "127.0.0.1", "--port", str(self._ports["redis"])),
            *("--dir", str(self.folder / "redis"), "--save", "", "--appendonly", "no"),
        ]
        self._start("redis", argv, {**clean_environment(), **environment})

    def _start_repo_server(self, programs: Path) -> None:
        port = str(self._ports["argocd-repo-server"])
        argv: list[str | Path] = [
            programs / "argocd",
            *("--address", "127.0.0.1", "--port", port, "--disable-tls", "--client-ca-path", ""),
            *("--metrics-address", "127.0.0.1", "--metrics-port", str(self._repo_metrics)),
            *("--redis", self._redis, "--revision-cache-expiration", "1s"),
        ]
        self._start_argocd("argocd-repo-server", argv, programs)

    def _start_controller(self, programs: Path) -> None:
        argv: list[str | Path] = [
            programs / "argocd",
            # It has no option for the address: the only port of a lab that is not on loopback.
            *("--metrics-port", str(self._ports["argocd-application-controller"])),
            *("--redis", self._redis),
            *("--repo-server", self._repo_server, "--repo-server-plaintext"),
            *("--app-resync", str(POLL_SECONDS), "--app-resync-jitter", "0"),
            *("--self-heal-backoff-timeout-seconds", "1", "--self-heal-backoff-factor", "1"),
            *("--self-heal-backoff-cap-seconds", "1", "--persist-resource-health"),
        ]
        self._start_argocd("argocd-application-controller", argv, programs)

    def _start_server(self, programs: Path) -> None:
        argv: list[str | Path] = [
            programs / "argocd",
            *("--address", "127.0.0.1", "--port", str(self._ports["argocd-server"])),
            *("--metrics-address", "127.0.0.1", "--metrics-port", str(self._server_metrics)),
            *("--redis", self._redis, "--repo-server", self._repo_server),
            *("--repo-server-plaintext", "--insecure", "--disable-auth"),
        ]
        self._start_argocd("argocd-server", argv, programs)

    def _start_argocd(self, part: str, argv: list[str | Path], programs: Path) -> None:
        base = clean_environment()
        environment = {
            **{key: text for key, text in base.items() if not key.startswith("ARGOCD_")},
            "PATH": f"{programs}:{base['PATH']}",
            "ARGOCD_BINARY_NAME": part,
            # Or the destination in-cluster would be sought by a pod's means.
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "ARGOCD_SYNC_WAVE_DELAY": "0",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(self.folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(self.folder / "ssh"),
            "ARGOCD_GPG_DATA_PATH": str(self.folder / "gpg/source"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(self.folder / "plugins"),
            "GNUPGHOME": str(self.folder / "gpg/keys"),
            "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder / "home"),
            # Its number among the controllers, which it takes from a pod's name.
            "HOSTNAME": f"{_USER}-0",
        }
        # The repo-server asks no API server.
        namespace = [] if part == "argocd-repo-server" else ["--namespace", NAMESPACE]
        self._start(part, [*argv, *namespace, "--logformat", "text"], environment)

    def _start(self, part: str, argv: list[str | Path], environment: dict[str, str]) -> None:
        if not self._group(part).alive():
            self._group(part).spawn(argv, self._log(part), environment)

    def _wait(self, part: str) -> None:
        """Return when the part takes connections; raises LabError where it ends or never does."""
        deadline = time.monotonic() + _READY_SECONDS
        while not _listens(self._ports[part]):
            if not self._group(part).alive():
                raise LabError(f"{part} ended at once: see {self._log(part)}")
            if time.monotonic() > deadline:
                raise LabError(f"{part} is not ready: see {self._log(part)}")
            time.sleep(_LOOK_SECONDS)

    def _make_repository(self) -> None:
        if not (self.repository / "HEAD").exists():
            run("git", "init", "--quiet", "--bare", "--initial-branch=main", self.repository)

    def _apply(self, crds: Path) -> None:
        """Apply what an installation of Argo CD has, and our health rules and actions."""
        kinds = ["crd/applications.argoproj.io", "crd/appprojects.argoproj.io"]
        # Too long for the annotation that client-side apply keeps.
        self._kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
        self._wait_established(kinds)
        whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": self._objects()})
        self._kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=whole)
        if _CUSTOMIZATIONS.exists():
            patch = ("patch", "configmap", "argocd-cm", f"--patch-file={_CUSTOMIZATIONS}")
            self._kubectl("--namespace", NAMESPACE, *patch)

    def _wait_established(self, kinds: list[str]) -> None:
        """Ask again where ``kubectl wait`` fails at once, as for a kind that has no status yet."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self._kubectl("wait", "--for=condition=Established", "--timeout=60s", *kinds)
            except LabError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_SECONDS)
            else:
                return

    def _objects(self) -> list[dict[str, Any]]:
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _USER},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"kind": "User", "name": _USER, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        project = {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        }
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            binding,
            *(_object("v1", "ConfigMap", f"argocd-{name}") for name in _EMPTY),
            _object(
                "v1", "ConfigMap", "argocd-cm",
                data={
                    "application.resourceTrackingMethod": "annotation",
                    # As its own installation has it: a status alone wakes it by another health.
                    "resource.customizations.ignoreResourceUpdates.all": "jsonPointers: [/status]",
                },
            ),
            _object(
                "v1", "Secret", "argocd-secret", stringData={"server.secretkey": self._key()}
            ),
            _object("argoproj.io/v1alpha1", "AppProject", "default", spec=project),
        ]  # fmt: skip

    def _key(self) -> str:
        """Return the key that sessions are signed by: one a lab."""
        file = self.folder / "server.secretkey"
        if not file.exists():
            file.touch(0o600)
            file.write_text(secrets.token_hex(16))
        return file.read_text()

    def _kubectl(self, *arguments: str | Path, stdin: str | None = None) -> None:
        program = (self._cluster.kubectl, f"--kubeconfig={self._cluster.kubeconfig}")
        run(*program, *arguments, stdin=stdin)

    def _group(self, part: str) -> Group:
        return Group(self._state.name, part)

    def _log(self, part: str) -> Path:
        return self.folder / f"{part}.log"


def _object(api: str, kind: str, name: str, **fields: object) -> dict[str, Any]:
    """Return an object of Argo CD's own namespace; it finds its settings by the label."""
    labels = {"app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/name": name}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
