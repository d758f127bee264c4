"""Schemas that refuse nothing, for tests of what becomes of objects that no schema has seen."""

from __future__ import annotations

import copy
from typing import Any

OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PLURALS = ("games", "gamehosts", "gameinstances")


def loosened(crd: dict[str, Any]) -> dict[str, Any]:
    """Give a copy of a CRD that takes any spec; selectable fields must stay declared."""
    made = copy.deepcopy(crd)
    for version in made["spec"]["versions"]:
        fields = version.pop("selectableFields", ())
        names = [each["jsonPath"].rpartition(".")[2] for each in fields]
        spec = {**OPEN, "properties": {name: {"type": "string"} for name in names}}
        version["schema"] = {"openAPIV3Schema": {**OPEN, "properties": {"spec": spec}}}
        if fields:
            version["selectableFields"] = fields
    return made
