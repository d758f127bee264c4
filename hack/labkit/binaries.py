"""
The control plane's programs, built from the Go modules that ``hack/tools/go.mod`` pins.

``KUBEBUILDER_ASSETS`` short-cuts it where all four lie there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from labkit import cachebuild, golang, paths, progress
from labkit.errors import LabError

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
    return paths.cache() / f"control-plane-{_kubernetes_version()}-{_digest()}"


def control_plane(tell: progress.Callback) -> Path:
    """Return the folder with the four programs, built where they are not in the cache."""
    folder, version = expected(), _kubernetes_version()
    if folder.parent != paths.cache():
        return folder
    title = f"Kubernetes {version} and etcd from source"
    return cachebuild.item(folder.name, title, lambda build: _make(build, version, tell), tell)


def _make(build: cachebuild.Build, version: str, tell: progress.Callback) -> None:
    go = golang.go(tell)
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    expected = _fetch(build, go, env)
    major, minor = version.removeprefix("v").split(".")[:2]
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    variables = " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in told.items())
    # All in one go: they share most packages.
    options = ["-v", "-buildvcs=false", "-trimpath", "-ldflags", f"-s -w {variables}"]
    argv: list[str | Path] = [go, "build", *options, "-o", f"{build.folder}/", *_PACKAGES.values()]
    build.run(argv, on_line=_counter(build.step, "packages", expected), cwd=paths.TOOLS, env=env)
    # go names a program after its module's last folder, v3 aside.
    (build.folder / "server").rename(build.folder / "etcd")


def _fetch(build: cachebuild.Build, go: Path, env: dict[str, str]) -> int:
    """Download the modules and return how many packages there are to compile."""
    names: list[str] = []
    requirements = len(re.findall(r"^\t\S+ v\S+", (paths.TOOLS / "go.mod").read_text(), re.M))
    count = _counter(build.step, "modules", requirements)

    def on_line(line: str) -> None:
        if line.startswith("go: downloading"):
            count(line.removeprefix("go: downloading "))
        elif not line.startswith("go: "):
            names.append(line)

    build.run([go, "list", "-deps", *_PACKAGES.values()], on_line, cwd=paths.TOOLS, env=env)
    return len(names)


def _counter(step: progress.Step, what: str, expected: int) -> Callable[[str], None]:
    """Return a reader of lines that draws their number against *expected* as progress."""
    seen = 0

    def on_line(line: str) -> None:
        nonlocal seen
        seen += 1
        step.update(f"{seen}/{max(expected, seen)} {what} {line}", seen / max(expected, seen, 1))

    return on_line


def _kubernetes_version() -> str:
    found = re.search(r"^\tk8s\.io/kubernetes (v\S+)", (paths.TOOLS / "go.mod").read_text(), re.M)
    if not found:
        raise LabError("hack/tools/go.mod names no version of k8s.io/kubernetes")
    return found[1]


def _digest() -> str:
    """Return what changes whenever another source would be built."""
    content = b"".join((paths.TOOLS / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(content).hexdigest()[:12]
