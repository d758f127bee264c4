"""
The lab's control plane: etcd, kube-apiserver and kube-controller-manager, on loopback alone.

No scheduler and no kubelet: nothing of ours runs in a pod. The controller-manager runs only
what deletion and new namespaces need.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from labkit import pki
from labkit.cgroups import Group
from labkit.errors import LabError
from labkit.state import LabState

_READY_SECONDS = 240.0  # 3 is usual; an emulated machine is slow
_POLL_SECONDS = 0.05
_END_SECONDS = 1.0  # the API server would wait a minute for watches to end by themselves
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
)
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]},
        # The API server's own housekeeping would be most of the file.
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "Metadata"},
    ],
}


class Cluster:
    """A control plane of our own; every part can be stopped and started alone."""

    def __init__(self, state: LabState, folder: Path, binaries: Path) -> None:
        self._state = state
        self._binaries = binaries
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.kubectl = binaries / "kubectl"
        self.audit_log = folder / "audit.log"
        self.server = f"https://127.0.0.1:{state.apiserver_port}"
        self.etcd_url = f"http://127.0.0.1:{state.etcd_port}"

    def start(self) -> None:
        """Start what does not run and return when the API server is ready."""
        self._prepare()
        self.start_etcd()
        self.start_apiserver()
        self.start_controller_manager()

    def stop(self) -> None:
        """End all three; their data stays."""
        for part in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._group(part).terminate(_END_SECONDS)

    def start_etcd(self) -> None:
        """Start etcd, with its data of before."""
        client, peer = self.etcd_url, f"http://127.0.0.1:{self._state.etcd_peer_port}"
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--auto-compaction-retention=1h",
        )
        self._wait("etcd", f"{client}/health", None)

    def stop_etcd(self) -> None:
        """End etcd alone; the API server has nobody to ask meanwhile."""
        self._group("etcd").terminate(_END_SECONDS)

    def start_apiserver(self) -> None:
        """Start the API server and return when it says that it is ready."""
        # Extended tokens: an operator that is tested for hours must not lose its identity.
        self._start(
            "kube-apiserver",
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._state.apiserver_port}",
            f"--advertise-address=198.18.{self._state.subnet}.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=198.19.0.0/16",
            f"--client-ca-file={self.folder / 'ca.crt'}",
            f"--tls-cert-file={self.folder / 'apiserver.crt'}",
            f"--tls-private-key-file={self.folder / 'apiserver.key'}",
            "--authorization-mode=RBAC",
            "--enable-admission-plugins=PodSecurity",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'service-accounts.key'}",
            f"--service-account-signing-key-file={self.folder / 'service-accounts.key'}",
            "--service-account-max-token-expiration=8760h",
            f"--audit-policy-file={self.folder / 'audit-policy.json'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=200",
            "--audit-log-maxbackup=2",
            "--profiling=false",
        )
        self._wait("kube-apiserver", f"{self.server}/readyz", self.folder / "ca.crt")

    def stop_apiserver(self) -> None:
        """End the API server alone; watches break, etcd keeps what was written."""
        self._group("kube-apiserver").terminate(_END_SECONDS)

    def start_controller_manager(self) -> None:
        """Start garbage collection and the few other controllers that matter here."""
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.folder / 'controller-manager.kubeconfig'}",
            f"--controllers={','.join(_CONTROLLERS)}",
            f"--root-ca-file={self.folder / 'ca.crt'}",
            # Each controller by its own account: the manager's own may delete next to nothing.
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def running(self) -> dict[str, bool]:
        """Return which parts run."""
        parts = ("etcd", "kube-apiserver", "kube-controller-manager")
        return {part: self._group(part).alive() for part in parts}

    def _prepare(self) -> None:
        """Write the keys and files that the parts read, where they are missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        pki.authority(self.folder)
        pki.service_account_key(self.folder)
        names = ["DNS:localhost", "DNS:kubernetes.default.svc", "IP:127.0.0.1", "IP:198.19.0.1"]
        pki.certificate(self.folder, "apiserver", "kube-apiserver", alternatives=names)
        pki.certificate(self.folder, "admin", "lab-admin", group="system:masters")
        pki.certificate(self.folder, "controller-manager", "system:kube-controller-manager")
        pki.kubeconfig(self.folder, "admin", self.server, self.kubeconfig)
        file = self.folder / "controller-manager.kubeconfig"
        pki.kubeconfig(self.folder, "controller-manager", self.server, file)
        (self.folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))

    def _start(self, part: str, *flags: str) -> None:
        if not self._group(part).alive():
            self._group(part).spawn([self._binaries / part, *flags], self._log(part))

    def _wait(self, part: str, url: str, authority: Path | None) -> None:
        """Return when *url* answers 200; raises LabError where it does not, or the part ends."""
        deadline = time.monotonic() + _READY_SECONDS
        context = ssl.create_default_context(cafile=authority) if authority else None
        if context:
            context.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        while not _answers(url, context):
            if not self._group(part).alive():
                raise LabError(
                    f"{part} ended at once: see {self._log(part)}; down and up start afresh"
                )
            if time.monotonic() > deadline:
                raise LabError(f"{part} is not ready: see {self._log(part)}")
            time.sleep(_POLL_SECONDS)

    def _group(self, part: str) -> Group:
        return Group(self._state.name, part)

    def _log(self, part: str) -> Path:
        return self.folder / f"{part}.log"


def _answers(url: str, context: ssl.SSLContext | None) -> bool:
    # No proxy from the environment: this is loopback.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=5.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
