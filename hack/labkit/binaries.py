"""
The control plane's programs, built from the Go modules that ``hack/tools/go.mod`` pins.

``KUBEBUILDER_ASSETS`` short-cuts it where all four lie there.
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit import cachebuild, gobuild, paths, progress

# program -> package; the same list as the tool lines of go.mod
_PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}


def expected() -> Path:
    """Return the folder in which the programs are, or will be once they are built."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and all((Path(assets) / program).exists() for program in _PACKAGES):
        return Path(assets)
    return paths.cache() / f"control-plane-{_kubernetes_version()}-{gobuild.digest(paths.TOOLS)}"


def control_plane(tell: progress.Callback) -> Path:
    """Return the folder with the four programs, built where they are not in the cache."""
    folder, version = expected(), _kubernetes_version()
    if folder.parent != paths.cache():
        return folder
    title = f"Kubernetes {version} and etcd from source"
    return cachebuild.item(folder.name, title, lambda build: _make(build, version, tell), tell)


def _make(build: cachebuild.Build, version: str, tell: progress.Callback) -> None:
    major, minor = version.removeprefix("v").split(".")[:2]
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    variables = {f"k8s.io/component-base/version.{key}": value for key, value in told.items()}
    gobuild.programs(build, paths.TOOLS, _PACKAGES, tell, variables)


def _kubernetes_version() -> str:
    return gobuild.required_version(paths.TOOLS, "k8s.io/kubernetes")
