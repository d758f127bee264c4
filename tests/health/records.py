"""
Objects as a real operator left them, one a state, in the tree that Argo CD's own tests read.

A record is written once and then stays, so that a new run changes nothing that is right:
``hack/test tests/e2e --write-states`` adds what is missing; to record one anew, delete its file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from customizations import TREE
from labkit import paths
from tests.e2e.world import GUID
from tests.health.states import Object, State

GROUP_FOLDER = paths.REPOSITORY / TREE / "warlock.dev"
REWRITE = "hack/test tests/e2e --write-states"

_INSTANT = "2026-01-01T00:00:00Z"
_UUID = "550e8400-e29b-41d4-a716-446655440000"
_NOISE = (
    (re.compile(rf"(?!{GUID})[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"), _UUID),
    (re.compile(r"\b(uid|machine) [0-9a-f]{32}\b"), r"\1 " + "0" * 32),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "0" * 32),
    (re.compile(r"(?<!-)\b[0-9a-f]{12}\b"), "0" * 12),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), _INSTANT),
    (re.compile(r"\b198\.1[89]\.\d+\.\d+\b"), "192.0.2.10"),
    (re.compile(r"\b(e2e|scene|fault)-[0-9a-f]{8}\b"), r"\1-00000000"),
    (re.compile(r"(SHA256:)[A-Za-z0-9+/]+"), r"\1" + "A" * 43),
    (re.compile(r"\b(pid|process) \d+\b"), r"\1 4321"),
    (re.compile(r"(\[)\d+(\]:)"), r"\g<1>4321\g<2>"),
    (re.compile(r"(ssh-ed25519 )AAAA[A-Za-z0-9+/=]+"), r"\1AAAA"),
)
_FIXED: dict[str, object] = {
    "mainPID": 4321,
    "cpuMillicores": 19,
    "memoryBytes": 36000000,
    "tasks": 5,
    "kernel": "6.1.0-28-amd64",
}
_METADATA = ("name", "namespace", "generation", "deletionTimestamp", "finalizers", "annotations")


def sanitized(found: Object) -> Object:
    """Give the object without what differs from run to run and means nothing."""
    meta = {key: found["metadata"][key] for key in _METADATA if found["metadata"].get(key)}
    ours = {k: v for k, v in meta.get("annotations", {}).items() if k.startswith("warlock.dev/")}
    meta = {**meta, "annotations": ours} if ours else _without(meta, "annotations")
    made = {**{key: found[key] for key in ("apiVersion", "kind")}, "metadata": meta}
    made |= {key: found[key] for key in ("spec", "status") if key in found}
    clean: Object = _clean(json.loads(json.dumps(made)))
    return clean


def _without(fields: Object, name: str) -> Object:
    return {key: value for key, value in fields.items() if key != name}


def _clean(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _clean(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if key in _FIXED and value:
        return _FIXED[key]
    if isinstance(value, str):
        for pattern, plain in _NOISE:
            value = pattern.sub(plain, value)
    return value


def file_of(state: State) -> Path:
    """Say where the record of a state lies."""
    return GROUP_FOLDER / state.kind / "testdata" / f"{state.name}.yaml"


def load(file: Path) -> Object:
    """Read a record."""
    found: Object = yaml.load(file.read_text(), Loader=_Loader)
    return found


class _Loader(yaml.SafeLoader):
    """Reads a time as the text that it is in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def files(kind: str = "*") -> list[Path]:
    """Give every record, of one kind or of all."""
    return sorted(GROUP_FOLDER.glob(f"{kind}/testdata/*.yaml"))


def missing(states: Iterable[State]) -> list[State]:
    """Give those that have no record."""
    return sorted(state for state in set(states) if not file_of(state).exists())


def write(state: State, found: Object) -> None:
    """Record an object."""
    file = file_of(state)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text(sanitized(found)))


def text(value: object) -> str:
    """Give it as the text of a file that people read too."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes messages of several lines as such, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _lines(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _lines)


def kinds() -> Iterator[str]:
    """Give the kinds that have a folder."""
    return (folder.name for folder in sorted(GROUP_FOLDER.iterdir()))
