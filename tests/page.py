"""What docs/gitops.md has a person type, as a script, and what it takes for granted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from demokit.kubectl import Kubectl
from labkit import paths

PAGE = paths.REPOSITORY / "docs/gitops.md"
SAMPLE = "manifests/samples/gitops"
SECONDS = 120


@dataclass(frozen=True)
class Typist:
    """
    A person with a shell.

    Attributes:
        folder: empty; the page's repositories are made there.
        address, host_key, key: of the machine; the last is a file.
        argo_cd: whether Argo CD is there, and is waited for where the page says so.
    """

    folder: Path
    kubectl: Kubectl
    address: str
    host_key: str
    key: Path
    argo_cd: bool

    @property
    def repository(self) -> str:
        """Where Argo CD reads."""
        return f"file://{self.folder}/remote.git"

    def type(self, limit_seconds: float) -> subprocess.CompletedProcess[str]:
        """Make the repositories and run every command of the page, in its order, in one shell."""
        environment = self._environment()
        self._repositories(environment)
        return subprocess.run(
            ["sh", "-c", self._script()],
            cwd=self.folder, env=environment, capture_output=True, text=True,
            timeout=limit_seconds, check=False,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "kubectl").symlink_to(self.kubectl.program)
        config = self.folder / "gitconfig"
        config.write_text("[user]\nname = Ann\nemail = ann@example.org\n")
        return {
            **os.environ,
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH": f"{programs}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.kubectl.kubeconfig),
            "SOURCE": str(self.folder / "source"),
            "REPOSITORY": self.repository,
            "IMAGE": "registry.example.org/other:1",
            "HOST": self.address,
            "HOST_KEY": self.host_key,
            "KEY": str(self.key),
        }

    def _script(self) -> str:
        if self.argo_cd:
            return "\n".join(["set -eux", *blocks("sh(?: argocd)?")])
        # Nobody syncs: what was pushed is applied, as a sync would.
        read = self.folder / "read"
        sync = f"""
synced() {{
    rm -rf {read}
    git clone -q -b main "$REPOSITORY" {read}
    for wave in operator overlays/one-site; do
        kubectl apply --server-side --force-conflicts -k {read}/{SAMPLE}/$wave
    done
}}
"""
        made, applied = ["set -eux", sync], False
        for block in blocks("sh"):
            made.append(block)
            applied = applied or "kubectl apply -k argo-cd" in block
            if applied and ("git push" in block or "apply -k argo-cd" in block):
                made.append("synced")
        return "\n".join(made)

    def _repositories(self, environment: dict[str, str]) -> None:
        """Make the product's own repository, as far as the page needs it, and an empty one."""
        source = self.folder / "source"
        for part in ("crds", "manifests"):
            shutil.copytree(paths.REPOSITORY / part, source / part)
        for argv in (
            ["init", "-q", "-b", "main", str(source)],
            ["-C", str(source), "add", "."],
            ["-C", str(source), "commit", "-q", "-m", "The product"],
            ["init", "-q", "--bare", "-b", "main", str(self.folder / "remote.git")],
        ):
            subprocess.run(["git", *argv], env=environment, check=True, timeout=SECONDS)


def blocks(kind: str) -> list[str]:
    """Give the fenced commands of the page, of a kind of fence (a pattern)."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
