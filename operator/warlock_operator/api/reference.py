"""The API reference in Markdown, from the CRDs alone: what a user of kubectl can rely on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from warlock_operator.api.crd import COLUMNS, SELECTABLE, SHORT_NAMES, crd
from warlock_operator.api.names import API_VERSION, CATEGORY, Annotation, Kind
from warlock_operator.api.rules import VALIDATIONS

Schema = dict[str, Any]

_HEAD = f"""\
# API reference: {API_VERSION}

Generated from the CRDs by `hack/generate`; edits here are overwritten. The same texts come from
`kubectl explain KIND.FIELD`, such as `kubectl explain gi.spec.ports`.

In the tables, `a.b` is field b of a, `a[].b` a field of each item of the list a. A field without
a default may be left out unless it is required.

All three kinds are of the category `{CATEGORY}`, so `kubectl get {CATEGORY} -A` lists hosts,
instances and catalogue together; `kubectl get game` lists the catalogue alone.
"""

_ANNOTATIONS = {
    Annotation.RESTART: ("GameInstance", "anything new", "Restart once."),
    Annotation.RECONCILE: (
        "GameInstance, GameHost",
        "anything new",
        "Retry now; the waiting time after failures starts anew.",
    ),
    Annotation.PAUSED: (
        "GameInstance, GameHost",
        "`true`",
        "Touch nothing of it on the machine. A deletion waits, and says so.",
    ),
    Annotation.FORCE_DELETE: (
        "GameInstance, GameHost",
        "`true`",
        "Let a deleted object go although its machine can't be cleaned; what is left is listed.",
    ),
    Annotation.TAKE_OVER: (
        "GameHost",
        "`<owner displaced>/<anything new>`",
        "Take the machine over from another cluster, once.",
    ),
    Annotation.REMOVE_ORPHAN: (
        "GameHost",
        "`<guid>/<instance_id>/<uid>` as in `status.orphans`; several with commas between them",
        "Stop and unregister what the machine has and no GameInstance names. Its files stay.",
    ),
    Annotation.ACCEPT_HOST: (
        "GameHost",
        "`<machine-id>`",
        "Accept another machine at the address.",
    ),
}


def reference() -> str:
    """The whole document."""
    parts = [_HEAD, *(_kind(kind) for kind in Kind), _annotations()]
    return "\n".join(parts)


def _kind(kind: Kind) -> str:
    definition = crd(kind)["spec"]
    version = definition["versions"][0]
    root: Schema = version["schema"]["openAPIV3Schema"]
    names = [definition["names"]["plural"], definition["names"]["singular"], SHORT_NAMES[kind]]
    lines = [
        f"## {kind}",
        "",
        root["description"],
        "",
        f"Scope: {definition['scope']}. Names for kubectl: "
        + ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        + ".",
    ]
    if SELECTABLE[kind]:
        fields = ", ".join(f"`{path[1:]}`" for path in SELECTABLE[kind])
        lines.append(f"Field selectors: {fields}.")
    lines += [f"Rule: {rule['message']}." for rule in root.get(VALIDATIONS, ())]
    columns = [f"{each.name} (wide)" if each.wide else each.name for each in COLUMNS[kind]]
    lines += ["", f"Columns: {', '.join(columns)}.", ""]
    for part in ("spec", "status"):
        lines += _table(part, root["properties"][part])
    return "\n".join(lines)


def _table(part: str, schema: Schema) -> Iterator[str]:
    yield from (f"### {part}", "", schema["description"], "")
    yield "| field | type | default | what |"
    yield "|---|---|---|---|"
    for path, required, field in _fields("", schema):
        default = "required" if required else _default(field)
        yield f"| `{path}` | {_type(field)} | {default} | {_text(field)} |"
    yield ""


def _fields(prefix: str, schema: Schema) -> Iterator[tuple[str, bool, Schema]]:
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, name in schema.get("required", ()), field
        yield from _fields(f"{path}.", field)
        if "items" in field:
            yield from _fields(f"{path}[].", field["items"])


def _type(field: Schema) -> str:
    kind = field["type"]
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if kind == "array":
        keys = field.get("x-kubernetes-list-map-keys")
        unique = f", unique by `{keys[0]}`" if keys else ""
        if field["x-kubernetes-list-type"] == "set":
            unique = ", unique"
        return f"list of {_type(field['items'])}{unique}; {_bounds(field, 'Items')} items"
    if kind == "string":
        if field.get("format") == "date-time":
            return "time"
        return f"string; {_bounds(field, 'Length')} characters" if "maxLength" in field else kind
    if kind in ("integer", "number") and "maximum" in field:
        return f"{kind}; {field['minimum']} to {field['maximum']}"
    if "additionalProperties" in field:
        return f"map to {_type(field['additionalProperties'])}"
    return str(kind)


def _bounds(field: Schema, what: str) -> str:
    low, high = field.get(f"min{what}", 0), field[f"max{what}"]
    return f"{low} to {high}" if low else f"at most {high}"


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    default = field["default"]
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    if isinstance(default, dict):
        return ", ".join(f"{name} `{value}`" for name, value in default.items())
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _text(field: Schema) -> str:
    rules = [*field.get(VALIDATIONS, ()), *field.get("items", {}).get(VALIDATIONS, ())]
    told = [field["description"]]
    for rule in rules:
        blamed = rule.get("fieldPath", "")[1:]
        subject = f"`{blamed}` " if blamed else ""
        text = f"{subject}{rule['message']}."
        told.append(text[0].upper() + text[1:])
    return " ".join(told).replace("|", "\\|").replace("<", "&lt;")


def _annotations() -> str:
    lines = [
        "## Annotations",
        "",
        "Requests that are no part of the desired state.",
        "",
        "| annotation | on | value | what |",
        "|---|---|---|---|",
    ]
    for name, (kinds, value, what) in _ANNOTATIONS.items():
        lines.append(f"| `{name}` | {kinds} | {value} | {what} |")
    return "\n".join(lines) + "\n"
