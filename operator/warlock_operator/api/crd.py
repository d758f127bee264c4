"""
From the models to CustomResourceDefinitions; pure. Run as a module, it prints them.

pydantic's JSON schema is not structural, so it is lowered:

    $ref                    inlined (a structural schema has none)
    anyOf [X, null]         X: the apiserver prunes a null of a field that is not nullable
    exclusiveMinimum n      minimum n + 1 (integers); the same for the maximum
    const                   enum of one
    uniqueItems             x-kubernetes-list-type: set
    additionalProperties    dropped where false: unknown fields are pruned, or refused if strict
    title                   dropped
    a list without a kind   x-kubernetes-list-type: atomic
    properties {}           dropped: so does the apiserver, and Argo CD would see drift for ever
    default                 kept where it says something; in a status NOT_YET_OBSERVED alone
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from warlock_operator.api.names import CATEGORY, GROUP, PLURALS, VERSION, Kind
from warlock_operator.api.rules import VALIDATIONS
from warlock_operator.api.v1alpha1.parse import MODELS

Schema = dict[str, Any]

NOT_YET_OBSERVED: Schema = {"observedGeneration": 0}
"""
What a status is served as until the operator has written one; a generation begins with 1.

kstatus takes an object without ``status.observedGeneration`` and conditions for Current: whoever
waits for a new object would not wait at all.
"""


@dataclass(frozen=True)
class Column:
    """A column of ``kubectl get``; *wide* ones only with ``-o wide``."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def lowered(self) -> Schema:
        """As an entry of ``additionalPrinterColumns``; the apiserver drops a priority of 0."""
        made = {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
        }
        return {**made, "priority": 1} if self.wide else made


def _condition(type_: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", "date")
_REASON = Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.", wide=True)

COLUMNS: Mapping[Kind, tuple[Column, ...]] = {
    Kind.GAME: (
        Column("Title", ".spec.title", "The game's name for people."),
        Column("Guid", ".spec.guid", "The game's id."),
        Column("Ready", _condition("Ready"), "Whether instances can be made from it."),
        _AGE,
        Column("Query", ".spec.query.protocol", "How players are counted.", wide=True),
        _REASON,
    ),
    Kind.GAME_HOST: (
        Column("Ready", _condition("Ready"), "Whether instances can be served."),
        Column("Reachable", _condition("Reachable"), "Whether the agent on it answers."),
        Column("Address", ".spec.address", "Address of the machine."),
        Column("Running", ".status.instances.running", "Instances that run.", "integer"),
        Column("Desired", ".status.instances.desired", "Instances that name it.", "integer"),
        _AGE,
        Column("OS", ".status.facts.os", "Distribution.", wide=True),
        Column("Systemd", ".status.facts.systemd", "Version of systemd.", wide=True),
        Column("Machine", ".status.machineID", "The machine's id.", wide=True),
        _REASON,
    ),
    Kind.GAME_INSTANCE: (
        Column("State", ".status.state", "The conditions in one word."),
        Column("Ready", _condition("Ready"), "Whether the machine is as the spec says."),
        Column("Host", ".spec.host", "The GameHost that it runs on."),
        Column("Address", ".status.address", "Where players connect."),
        Column("Players", ".status.players.online", "Players on the server.", "integer"),
        Column("Version", ".status.version", "Version of the game."),
        _AGE,
        Column("Instance", ".status.instance_id", "The instance's id on its host.", wide=True),
        Column("Unit", ".status.services[0].unit", "The main unit on the machine.", wide=True),
        Column("CPU", ".status.metrics.cpuMillicores", "Millicores used.", "integer", wide=True),
        Column("Memory", ".status.metrics.memoryBytes", "Bytes used.", "integer", wide=True),
        _REASON,
    ),
}

SHORT_NAMES: Mapping[Kind, str] = {
    Kind.GAME: "game",
    Kind.GAME_HOST: "gh",
    Kind.GAME_INSTANCE: "gi",
}
SELECTABLE: Mapping[Kind, tuple[str, ...]] = {
    Kind.GAME: (".spec.guid",),
    Kind.GAME_HOST: (),
    Kind.GAME_INSTANCE: (".spec.host", ".spec.guid"),
}


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of *kind*, ready to be written as YAML."""
    plural = PLURALS[kind]
    names: Schema = {
        "plural": plural,
        "singular": kind.lower(),
        "kind": str(kind),
        "listKind": f"{kind}List",
        "categories": [CATEGORY],
    }
    if SHORT_NAMES[kind] != kind.lower():
        # Where the short name is the singular, naming it twice is a ShortNamesConflict.
        names["shortNames"] = [SHORT_NAMES[kind]]
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root_schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.lowered() for column in COLUMNS[kind]],
    }
    if SELECTABLE[kind]:
        version["selectableFields"] = [{"jsonPath": path} for path in SELECTABLE[kind]]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": "Namespaced" if kind is Kind.GAME_INSTANCE else "Cluster",
            "versions": [version],
        },
    }


def root_schema(kind: Kind) -> Schema:
    """The structural schema of the whole object."""
    made = MODELS[kind].model_json_schema(by_alias=True, mode="validation")
    root = lower(made, made.get("$defs", {}))
    properties = {
        "apiVersion": {
            "type": "string",
            "description": f"Version of the schema: {GROUP}/{VERSION}.",
        },
        "kind": {"type": "string", "description": f"Kind of the object: {kind}."},
        # The apiserver knows metadata itself and allows nothing but its type here.
        "metadata": {"type": "object"},
        "spec": root["properties"]["spec"],
        "status": _status_schema(root["properties"]["status"]),
    }
    return {**root, "properties": properties, "required": ["spec"]}


def lower(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Lower one schema and all below it; the rows of the module's table, top to bottom."""
    node = _without_reference(node, definitions)
    node = _without_null(node, definitions)
    node.pop("title", None)
    node.pop("$defs", None)
    _lower_bounds(node)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if not _says_something(node.get("default")):
        node.pop("default", None)
    if node.get("type") == "array":
        _lower_list(node)
        node["items"] = lower(node["items"], definitions)
    if node.get("type") == "object":
        _lower_object(node, definitions)
    return {key: node[key] for key in sorted(node, key=_key_order)}


def _without_reference(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    node = dict(node)
    while "$ref" in node:
        name = node.pop("$ref").removeprefix("#/$defs/")
        node = {**definitions[name], **node}
    return node


def _without_null(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    choices = [choice for choice in node.pop("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return node
    if len(choices) > 1:
        raise ValueError("a structural schema has no alternatives of types")
    return {**_without_reference(choices[0], definitions), **node}


def _lower_bounds(node: Schema) -> None:
    for exclusive, inclusive, step in (
        ("exclusiveMinimum", "minimum", 1),
        ("exclusiveMaximum", "maximum", -1),
    ):
        if exclusive in node:
            node[inclusive] = node.pop(exclusive) + step


def _lower_list(node: Schema) -> None:
    if node.pop("uniqueItems", False):
        node["x-kubernetes-list-type"] = "set"
    node.setdefault("x-kubernetes-list-type", "atomic")


def _lower_object(node: Schema, definitions: Mapping[str, Schema]) -> None:
    if "properties" in node:
        node["properties"] = {
            name: lower(child, definitions) for name, child in node["properties"].items()
        }
        if not node["properties"]:
            del node["properties"]
    node.pop("propertyNames", None)
    if node.get("additionalProperties") in (False, True):
        del node["additionalProperties"]
    elif "additionalProperties" in node:
        node["additionalProperties"] = lower(node["additionalProperties"], definitions)


def _says_something(default: object) -> bool:
    """An empty list, text or count as default is the same as no value: it is not written."""
    return isinstance(default, bool) or bool(default)


_KEYS = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    VALIDATIONS,
    "properties",
    "additionalProperties",
    "items",
)


def _key_order(key: str) -> int:
    """Refuse what nobody has thought about: it might not be structural."""
    if key not in _KEYS:
        raise ValueError(f"{key}: not lowered")
    return _KEYS.index(key)


def _status_schema(node: Schema) -> Schema:
    made = {**without_defaults(node), "default": dict(NOT_YET_OBSERVED)}
    return {key: made[key] for key in sorted(made, key=_key_order)}


def without_defaults(node: Schema) -> Schema:
    """A schema whose fields are absent unless somebody writes them."""
    made = {key: value for key, value in node.items() if key != "default"}
    if "properties" in made:
        made["properties"] = {
            name: without_defaults(child) for name, child in made["properties"].items()
        }
    if "items" in made:
        made["items"] = without_defaults(made["items"])
    return made


class _Dumper(yaml.SafeDumper):
    """Without anchors: readers and other tools take them badly."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def to_yaml(kind: Kind) -> str:
    """The CRD as the text of its file."""
    head = "# Generated from the models by hack/generate; edits here are overwritten.\n"
    return head + yaml.dump(crd(kind), Dumper=_Dumper, sort_keys=False, width=96)


def main() -> None:
    """Print all three."""
    sys.stdout.write("---\n".join(to_yaml(kind) for kind in Kind))


if __name__ == "__main__":
    main()
