"""
The control plane by kind, for machines with Docker.

Not run by the tests: it needs a container engine. Same interface as ``cluster.Cluster``,
without the parts that can be stopped alone.
"""

from __future__ import annotations

from pathlib import Path

from labkit import machine, paths
from labkit.commands import attempt, run
from labkit.errors import CannotCarry
from labkit.state import LabState

_READY = "180s"
_LIMIT_SECONDS = 900.0


class KindCluster:
    """A kind cluster of the lab's own, from ``hack/kind.yaml``."""

    def __init__(self, state: LabState, folder: Path) -> None:
        self._name = f"warlock-{state.name}"
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.kubectl = Path(machine.which("kubectl") or "kubectl")
        self.server = f"kind cluster {self._name}"

    @staticmethod
    def check() -> None:
        """Raise CannotCarry where kind, Docker or kubectl is missing."""
        for tool in ("docker", "kind", "kubectl"):
            if not machine.which(tool):
                raise CannotCarry(
                    f"--cluster kind needs {tool}: install it or take --cluster local"
                )
        if attempt("docker", "info").returncode != 0:
            raise CannotCarry("--cluster kind needs a running Docker: start it (docker info)")

    def start(self) -> None:
        """Create the cluster unless it is there, and write its kubeconfig."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._name not in run("kind", "get", "clusters").split():
            config = paths.REPOSITORY / "hack" / "kind.yaml"
            run(
                *("kind", "create", "cluster", "--name", self._name, "--config", config),
                *("--kubeconfig", self.kubeconfig, "--wait", _READY),
                limit_seconds=_LIMIT_SECONDS,
            )
        run("kind", "export", "kubeconfig", "--name", self._name, "--kubeconfig", self.kubeconfig)

    def remove(self) -> None:
        """Delete the cluster; absent is fine."""
        if machine.which("kind"):
            run("kind", "delete", "cluster", "--name", self._name, limit_seconds=_LIMIT_SECONDS)

    def running(self) -> dict[str, bool]:
        """Return whether the cluster is there."""
        return {"kind": self._name in attempt("kind", "get", "clusters").stdout.split()}
