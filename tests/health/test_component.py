"""The component puts our customizations into an Argo CD that kustomize installs."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from customizations import CONFIG_MAP
from labkit import binaries, paths, progress
from labkit.commands import run

MANAGED = "application.resourceTrackingMethod"


def test_the_component_adds_to_the_config_map_and_keeps_what_is_there(tmp_path: Path) -> None:
    own = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd"},
        "data": {MANAGED: "annotation"},
    }
    component = os.path.relpath((paths.REPOSITORY / CONFIG_MAP).parent, tmp_path)
    kustomization = {"resources": ["cm.yaml"], "components": [component]}
    (tmp_path / "cm.yaml").write_text(yaml.safe_dump(own))
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    kubectl = binaries.control_plane(progress.silent) / "kubectl"
    made = yaml.safe_load(run(kubectl, "kustomize", tmp_path))
    ours = yaml.safe_load((paths.REPOSITORY / CONFIG_MAP).read_text())["data"]
    assert made["data"] == {MANAGED: "annotation", **ours}
    assert made["metadata"] == own["metadata"]
