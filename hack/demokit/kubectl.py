"""kubectl with one kubeconfig: what the demo and the tests do, a user can type."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.commands import attempt
from labkit.errors import LabError

LIMIT_SECONDS = 120.0
_ESTABLISHED_SECONDS = 30.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Kubectl:
    """The program and whose kubeconfig it uses."""

    program: Path
    kubeconfig: Path

    def __call__(
        self, *arguments: str | Path, stdin: str | None = None, limit_seconds: float = LIMIT_SECONDS
    ) -> str:
        """Return what it printed; raises LabError with what it said where it fails."""
        done = self.attempt(*arguments, stdin=stdin, limit_seconds=limit_seconds)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"kubectl {' '.join(map(str, arguments[:3]))}: {said}")
        return done.stdout

    def attempt(
        self, *arguments: str | Path, stdin: str | None = None, limit_seconds: float = LIMIT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run it and return how it went."""
        argv = (self.program, f"--kubeconfig={self.kubeconfig}", *arguments)
        return attempt(*argv, stdin=stdin, limit_seconds=limit_seconds)

    def get(self, *arguments: str) -> Any:
        """Return the parsed JSON of ``kubectl get``."""
        return json.loads(self("get", "-o", "json", *arguments))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects of a list."""
        found: list[dict[str, Any]] = self.get(*arguments)["items"]
        return found

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects server-side; they go by standard input and never into an argument."""
        whole = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self(*APPLY, "-f", "-", stdin=json.dumps(whole))

    def wait_established(self, *plurals: str) -> None:
        """
        Return when the kinds of our group are served; raises LabError where they never are.

        kubectl gives up at once on a definition so new that its list of conditions is null.
        """
        crds = [f"crd/{plural}.warlock.dev" for plural in plurals]
        wait = ("wait", "--for=condition=Established", "--timeout=30s", *crds)
        deadline = time.monotonic() + _ESTABLISHED_SECONDS
        while self.attempt(*wait).returncode != 0:
            if time.monotonic() > deadline:
                self(*wait)  # and so says what is wrong
            time.sleep(_POLL_SECONDS)


APPLY = ("apply", "--server-side", "--force-conflicts")
