"""
What Argo CD's own program makes of an object with our customizations: no server, no cluster.

A missing or invalid script also exits 0, so that only what is printed counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from customizations import CONFIG_MAP
from labkit import argocd, paths
from labkit.commands import run

# In place of diff(1): what the object is after the action, and not what differs.
_SHOW_RESULT = "sh -c 'cat \"$2\"' show"
_CHANGED = "Following fields have been changed:"


@dataclass(frozen=True)
class ArgoCD:
    """The program, and a folder that it may write to."""

    program: Path
    folder: Path
    config_map: Path = paths.REPOSITORY / CONFIG_MAP

    def health(self, file: Path) -> dict[str, str]:
        """Give the status and the message of an object."""
        said = self._run("health", file)
        status, _, message = said.partition("\n")
        assert status.startswith("STATUS: "), said
        assert message.startswith("MESSAGE: "), said
        return {
            "status": status.removeprefix("STATUS: "),
            "message": message.removeprefix("MESSAGE: ").removesuffix("\n"),
        }

    def actions(self, file: Path) -> list[dict[str, Any]]:
        """Give what is offered, by name."""
        head, *lines = self._run("list-actions", file).splitlines()
        assert head.split() == ["NAME", "DISABLED"], head
        rows = [line.split() for line in lines]
        return [{"name": name, "disabled": disabled == "true"} for name, disabled in rows]

    def run_action(self, file: Path, action: str) -> Mapping[str, Any]:
        """Give the object as the action leaves it."""
        said = self._run("run-action", file, action)
        assert said.startswith(_CHANGED), said
        made: Mapping[str, Any] = yaml.safe_load(said.removeprefix(_CHANGED))
        return made

    def validated(self) -> str:
        """Give what it says of the settings as a whole."""
        return self._settings("validate", "--group", "resource-overrides")

    def _run(self, verb: str, file: Path, *more: str) -> str:
        return self._settings("resource-overrides", verb, file, *more)

    def _settings(self, *words: str | Path) -> str:
        return run(
            *(self.program, "admin", "settings", *words, "--argocd-cm-path", self.config_map),
            env={
                **argocd.cli_environment(),
                "HOME": str(self.folder),
                "TMPDIR": str(self.folder),
                "ARGOCD_CONFIG_DIR": str(self.folder),
                "KUBECTL_EXTERNAL_DIFF": _SHOW_RESULT,
            },
        )
