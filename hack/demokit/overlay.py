"""
The repository's manifests with what only a lab knows: kustomizations of their own, beside the lab.

They show what a user of the samples would write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from labkit import paths
from labkit.host import Host

API = "kustomize.config.k8s.io/v1beta1"


def operator(folder: Path) -> Path:
    """Write one for manifests/operator with no replica: no kubelet runs it here, a process does."""
    content = {"replicas": [{"name": "warlock-operator", "count": 0}]}
    return _write(folder, "manifests/operator", content)


def samples(folder: Path, hosts: Iterable[Host]) -> Path:
    """Write one for manifests/samples with the address and the host key of each machine."""
    return _write(folder, "manifests/samples", {"patches": [_patch(host) for host in hosts]})


def key_secret(host: Host, namespace: str) -> dict[str, Any]:
    """Return the Secret by which the operator reaches *host*, as the samples name it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{host.name}-ssh", "namespace": namespace},
        "type": "kubernetes.io/ssh-auth",
        "stringData": {"ssh-privatekey": host.client_key_path.read_text()},
    }


def _patch(host: Host) -> dict[str, Any]:
    operations = [
        {"op": "replace", "path": "/spec/address", "value": host.address},
        {"op": "replace", "path": "/spec/ssh/hostKeys", "value": [host.host_key]},
    ]
    return {"target": {"kind": "GameHost", "name": host.name}, "patch": json.dumps(operations)}


def _write(folder: Path, resource: str, content: dict[str, Any]) -> Path:
    """Write a kustomization (JSON is YAML) over one of the repository's directories."""
    folder.mkdir(parents=True, exist_ok=True)
    # kustomize takes directories by relative path alone.
    relative = os.path.relpath(paths.REPOSITORY / resource, folder.resolve())
    whole = {"apiVersion": API, "kind": "Kustomization", "resources": [relative], **content}
    (folder / "kustomization.yaml").write_text(json.dumps(whole, indent=2) + "\n")
    return folder
