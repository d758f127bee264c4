"""
Argo CD's one program, kustomize beside it, and what of its source it needs to run.

Built from the Go modules that ``hack/tools/argocd/go.mod`` pins. The program takes the role that
``ARGOCD_BINARY_NAME`` names.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from labkit import cachebuild, gobuild, golang, paths, progress

_SOURCE = paths.TOOLS / "argocd"
_MODULE = "github.com/argoproj/argo-cd/v3"
_PACKAGES = {
    "argocd": f"{_MODULE}/cmd",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
}
# The repo-server executes them beside git, by name.
_WRAPPERS = ("git-verify-wrapper.sh", "gpg-wrapper.sh", "git-ask-pass.sh")


def expected() -> Path:
    """Return the folder in which the programs are, or will be once they are built."""
    return paths.cache() / f"argocd-{version()}-{gobuild.digest(_SOURCE)}"


def programs(tell: progress.Callback = progress.silent) -> Path:
    """
    Return a folder to put on ``PATH``, built where it is not in the cache.

    In it are ``argocd``, ``kustomize``, the scripts around git and gpg, and ``crds/``.
    """
    title = f"Argo CD {version()} from source"
    return cachebuild.item(expected().name, title, lambda build: _make(build, tell), tell)


def cli_environment() -> dict[str, str]:
    """Return the environment in which the program is the command line tool ``argocd``."""
    return {**os.environ, "ARGOCD_BINARY_NAME": "argocd"}


def version() -> str:
    """Return the version, such as v3.6.1."""
    return gobuild.required_version(_SOURCE, _MODULE)


def _make(build: cachebuild.Build, tell: progress.Callback) -> None:
    told = {f"{_MODULE}/common.version": version().removeprefix("v")}
    gobuild.programs(build, _SOURCE, _PACKAGES, tell, told)
    source = gobuild.module_folder(build, _SOURCE, _MODULE, golang.go(tell, _SOURCE))
    (build.folder / "crds").mkdir()
    for file in sorted((source / "manifests" / "crds").glob("*-crd.yaml")):
        shutil.copyfile(file, build.folder / "crds" / file.name)
    for name in _WRAPPERS:
        shutil.copyfile(source / "hack" / name, build.folder / name)
        (build.folder / name).chmod(0o755)
