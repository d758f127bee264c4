"""An apiserver with the kinds of an earlier version, or with these, and that version's operator."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from demokit.kubectl import Kubectl
from labkit import paths
from tests.cluster.kube.conftest import installed, kubectl
from tests.cluster.operator.conftest import KEY
from tests.e2e.conftest import remove_objects
from tests.e2e.world import Object, wait_for

__all__ = ["installed", "kubectl"]  # fixtures of that suite, used here too

Schema = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """A tree with ``crds/`` and ``operator/``."""

    tree: Path

    def crds(self) -> dict[str, Schema]:
        """The three CRDs by kind."""
        files = sorted((self.tree / "crds").glob("game*.yaml"))
        found = [yaml.safe_load(file.read_text()) for file in files]
        return {each["spec"]["names"]["kind"]: each for each in found}

    @property
    def settings(self) -> dict[str, str]:
        """What makes an operator's process run this tree's code, with machines in memory."""
        return {"PYTHONPATH": str(self.tree / "operator"), "WARLOCK_TRANSPORT": "fixture"}


NOW = Version(paths.REPOSITORY)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The earlier version, unpacked."""
    tree = tmp_path_factory.mktemp("earlier")
    with tarfile.open(Path(__file__).parent / "earlier.tar.xz") as archive:
        archive.extractall(tree, filter="data")
    return Version(tree)


@pytest.fixture(scope="module")
def cluster(admin_kubectl: Kubectl, installed: None) -> Iterator[Kubectl]:
    """Kubectl for a cluster without objects; afterwards it has these kinds again, and none."""
    remove_objects(admin_kubectl)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": KEY["ssh"]["keySecret"]["name"], "namespace": "warlock-system"},
        "type": "kubernetes.io/ssh-auth",
        "stringData": {"ssh-privatekey": "of a machine in memory"},
    }
    metadata = {"name": "upgrade", "labels": {"warlock.dev/tenant": "games"}}
    admin_kubectl.apply(secret, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield admin_kubectl
    finally:
        serve(admin_kubectl, NOW.crds())
        remove_objects(admin_kubectl)
        admin_kubectl("delete", "namespace", "upgrade", "--wait=false")


def serve(kubectl: Kubectl, crds: dict[str, Schema]) -> None:
    """
    Put these CRDs in place of others, as a person does it, and wait until they are the ones served.

    What is served is read from where ``kubectl explain`` reads it: a mark in a description.
    """
    kubectl.apply(*crds.values())
    for kind, crd in crds.items():
        wait_for(lambda c=crd, k=kind: _served(kubectl, k, c), 20.0, f"the schema of {kind}")


def _served(kubectl: Kubectl, kind: str, crd: Schema) -> bool:
    document = json.loads(kubectl("get", "--raw", "/openapi/v3/apis/warlock.dev/v1alpha1"))
    schema = document["components"]["schemas"][f"dev.warlock.v1alpha1.{kind}"]
    wanted = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return bool(_shape(schema["properties"]["spec"]) == _shape(wanted))


def _shape(schema: Any) -> Any:
    """A schema without what the document leaves out where it is empty."""
    if isinstance(schema, dict):
        return {k: _shape(v) for k, v in schema.items() if v not in ({}, [], "")}
    return [_shape(each) for each in schema] if isinstance(schema, list) else schema


def stored(kubectl: Kubectl, kind: str, name: str) -> Object:
    """What is stored of an object, without what every write changes."""
    found: Object = kubectl.get(kind, name, "-n", "upgrade")
    del found["metadata"]["resourceVersion"]
    return found
