"""
Every string of every custom resource, by its path: from the schema, and in a manifest that has all.

``spec.ports[].name`` is a pattern; ``spec.ports.0.name`` the place in a manifest.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tests.unit.api.objects import Manifest, changed, sample
from warlock_operator.api.crd import root_schema
from warlock_operator.api.names import Annotation, Kind

Schema = Mapping[str, Any]
_PORT, _TEXT = {"name": "game", "port": 27961}, {"name": "SERVER_NAME", "value": "a"}
_SELECTOR = {
    "matchLabels": {"tenant": "a"},
    "matchExpressions": [{"key": "tenant", "operator": "In", "values": ["a"]}],
}

# What the samples leave out; a field that is new is missing here until it is named.
_MORE: dict[Kind, dict[str, object]] = {
    Kind.GAME: {"spec.manager": "Native"},
    Kind.GAME_HOST: {
        "spec.namespaceSelector": _SELECTOR,
        "spec.ssh.become": "None",
        "spec.ssh.user": "root",
    },
    Kind.GAME_INSTANCE: {
        "spec.instance_id": "550e8400-e29b-41d4-a716-446655440000",
        "spec.instance_name": "a",
        "spec.path": "/opt/a",
        "spec.ports": [_PORT],
        "spec.env": [_TEXT],
        "spec.state": "Running",
    },
}


def string_patterns(kind: Kind) -> set[str]:
    """Name every string that the schema of a kind's spec has, keys of maps included."""
    return set(_strings(root_schema(kind)["properties"]["spec"], "spec"))


def _strings(schema: Schema, path: str) -> Iterator[str]:
    if schema.get("type") == "string":
        yield path
    for name, child in schema.get("properties", {}).items():
        yield from _strings(child, f"{path}.{name}")
    if "items" in schema:
        yield from _strings(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield f"{path}{{key}}"
        yield from _strings(schema["additionalProperties"], f"{path}{{}}")


def whole(kind: Kind) -> Manifest:
    """Give a manifest in which every field stands that the schema has."""
    return copy.deepcopy(_whole(kind))


@cache
def _whole(kind: Kind) -> Manifest:
    made = sample(str(kind))
    for path, value in _MORE[kind].items():
        made = changed(made, path, value)
    annotations = {str(annotation): "a" for annotation in Annotation}
    made = changed(made, "metadata.annotations", annotations)
    return changed(made, "metadata.labels", {"tenant": "a"})


@cache
def places(kind: Kind) -> dict[str, tuple[str | int, ...]]:
    """Give one place in :func:`whole` for every pattern that it has, metadata's included."""
    found: dict[str, tuple[str | int, ...]] = {"metadata.name": ("metadata", "name")}
    made = whole(kind)
    _walk(made["spec"], ("spec",), "spec", string_patterns(kind), found)
    for annotation in made["metadata"]["annotations"]:
        found[f"metadata.annotations.{annotation}"] = ("metadata", "annotations", annotation)
    found["metadata.labels{}"] = ("metadata", "labels", "tenant")
    return found


def _walk(
    value: Any,
    place: tuple[str | int, ...],
    pattern: str,
    known: set[str],
    found: dict[str, tuple[str | int, ...]],
) -> None:
    if isinstance(value, str):
        found.setdefault(pattern, place)
    if isinstance(value, list):
        # The last: the first word of a command line is a program, and has rules of its own.
        for at in reversed(range(len(value))):
            _walk(value[at], (*place, at), f"{pattern}[]", known, found)
    if isinstance(value, dict):
        free = f"{pattern}{{key}}" in known
        for name, child in value.items():
            if free:
                found.setdefault(f"{pattern}{{key}}", (*place, name))
            _walk(child, (*place, name), f"{pattern}{{}}" if free else f"{pattern}.{name}",
                  known, found)  # fmt: skip


def planted(kind: Kind, pattern: str, value: str) -> Manifest:
    """Give the whole manifest with *value* at the place of *pattern*; as a key, for a map's key."""
    made = whole(kind)
    *above, last = places(kind)[pattern]
    at: Any = made
    for part in above:
        at = at[part]
    if pattern.endswith("{key}"):
        at[value] = at.pop(last)
    else:
        at[last] = value
    return made


def status_patterns(kind: Kind) -> list[str]:
    """Name every string of a kind's status."""
    return sorted(set(_strings(root_schema(kind)["properties"]["status"], "status")))


def status_with(pattern: str, value: str) -> Any:
    """Give a status that has nothing but *value* at the place of *pattern*."""
    made: Any = value
    for part in reversed(pattern.split(".")[1:]):
        name = part.removesuffix("[]")
        made = {name: [made] if part.endswith("[]") else made}
    return made
