"""Objects to start from: the samples themselves, and ways to spoil them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
SAMPLE_FILES = ("games/openarena.yaml", "samples/hosts.yaml", "samples/instances.yaml")

Manifest = dict[str, Any]


def samples() -> list[Manifest]:
    """Every custom resource of the samples, in the order in which they are applied."""
    texts = ((ROOT / "manifests" / name).read_text() for name in SAMPLE_FILES)
    return [manifest for text in texts for manifest in yaml.safe_load_all(text)]


def sample(kind: str) -> Manifest:
    """The sample of that kind that says the most."""
    return max((each for each in samples() if each["kind"] == kind), key=lambda one: len(str(one)))


ABSENT = object()
"""As a new value: the field is taken away."""


def changed(manifest: Manifest, path: str, value: object) -> Manifest:
    """A copy with the field at *path* (``spec.ports.0.port``) set, made or taken away."""
    made = copy.deepcopy(manifest)
    *above, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    at: Any = made
    for part in above:
        at = at[part] if isinstance(part, int) else at.setdefault(part, {})
    if value is ABSENT:
        del at[last]
    else:
        at[last] = value
    return made
