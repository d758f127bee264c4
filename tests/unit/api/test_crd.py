"""The CRDs: as the models say, structural, bounded and explained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from generated import drift, generated
from tests.unit.api.objects import ROOT
from warlock_operator.api.crd import crd, lower, root_schema
from warlock_operator.api.names import PLURALS, Annotation, Kind
from warlock_operator.api.reference import reference
from warlock_operator.api.rules import VALIDATIONS
from warlock_operator.api.v1alpha1.parse import MODELS

Schema = dict[str, Any]
NOT_STRUCTURAL = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "uniqueItems"}


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema below, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


ALL = [
    pytest.param(node, id=f"{kind}{path}")
    for kind in Kind
    for part in ("spec", "status")
    for path, node in nodes(root_schema(kind)["properties"][part], f".{part}")
]


def test_the_tree_has_what_the_models_say() -> None:
    assert "".join(drift()) == "", "run hack/generate"


def test_drift_is_seen(tmp_path: Path) -> None:
    for path in generated():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    assert not list(drift(tmp_path))
    (tmp_path / "crds/games.yaml").write_text("# edited\n")
    (tmp_path / "docs/api.md").unlink()
    assert {line.split()[1] for line in drift(tmp_path) if line.startswith("--- ")} == {
        "crds/games.yaml",
        "docs/api.md",
    }


def test_generating_twice_gives_the_same() -> None:
    assert generated() == generated()


@pytest.mark.parametrize("node", ALL)
def test_every_field_is_structural_bounded_and_explained(node: Schema) -> None:
    faults(node)


def faults(node: Schema) -> None:
    """Fail where a schema is not one that we may ship."""
    assert not NOT_STRUCTURAL & set(node)
    kind = node["type"]
    if kind == "string":
        assert "enum" in node or "format" in node or node["maxLength"] <= 4096
    if kind == "array":
        assert node["maxItems"] <= 256
        assert node["x-kubernetes-list-type"] in ("map", "set", "atomic")
    if "additionalProperties" in node:
        assert node["maxProperties"] <= 256
    for name, child in node.get("properties", {}).items():
        assert child.get("description", "").endswith((".", "…")), name
    for rule in node.get(VALIDATIONS, ()):
        assert len(rule["message"]) > 15
        assert not rule["message"].endswith(".")


@pytest.mark.parametrize(
    "node",
    [
        {"type": "string"},
        {"type": "string", "maxLength": 100_000},
        {"type": "array", "x-kubernetes-list-type": "atomic", "items": {}},
        {"type": "array", "maxItems": 3, "items": {}},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}}},
        {"type": "object", "additionalProperties": {}},
        {"type": "object", "$ref": "#/$defs/A"},
        {"type": "object", VALIDATIONS: [{"rule": "true", "message": "no"}]},
    ],
)
def test_a_planted_fault_is_found(node: Schema) -> None:
    with pytest.raises((AssertionError, KeyError)):
        faults(node)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_status_has_no_default_but_that_nothing_is_observed_yet(kind: Kind) -> None:
    status = root_schema(kind)["properties"]["status"]
    assert status.pop("default") == {"observedGeneration": 0}
    for path, node in nodes(status):
        assert "default" not in node, path


@pytest.mark.parametrize("kind", list(Kind))
def test_every_rule_of_a_model_reaches_its_crd(kind: Kind) -> None:
    spec = MODELS[kind].model_fields["spec"].annotation
    assert spec is not None
    lowered = root_schema(kind)["properties"]["spec"].get(VALIDATIONS, [])
    assert [rule["rule"] for rule in lowered] == [rule.cel for rule in spec.rules]


def test_names_scopes_and_selectable_fields() -> None:
    for kind in Kind:
        made = crd(kind)["spec"]
        assert made["names"]["categories"] == ["games"]
        assert made["names"]["plural"] == PLURALS[kind]
        assert made["versions"][0]["subresources"] == {"status": {}}
    instance = crd(Kind.GAME_INSTANCE)["spec"]
    assert instance["scope"] == "Namespaced"
    assert instance["names"]["shortNames"] == ["gi"]
    assert [field["jsonPath"] for field in instance["versions"][0]["selectableFields"]] == [
        ".spec.host",
        ".spec.guid",
    ]
    assert crd(Kind.GAME)["spec"]["scope"] == crd(Kind.GAME_HOST)["spec"]["scope"] == "Cluster"


def test_columns_are_those_that_people_look_for() -> None:
    columns = crd(Kind.GAME_INSTANCE)["spec"]["versions"][0]["additionalPrinterColumns"]
    by_priority: dict[int, list[str]] = {0: [], 1: []}
    for column in columns:
        by_priority[column.get("priority", 0)].append(column["name"])
    assert by_priority[0] == ["State", "Ready", "Host", "Address", "Players", "Version", "Age"]
    assert by_priority[1] == ["Instance", "Unit", "CPU", "Memory", "Reason"]


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_said_that_the_apiserver_would_drop(kind: Kind) -> None:
    """Whoever compares the file with what is stored, such as Argo CD, would see drift for ever."""
    for column in crd(kind)["spec"]["versions"][0]["additionalPrinterColumns"]:
        assert column.get("priority") != 0
    for path, node in nodes(root_schema(kind)):
        assert all(value not in ({}, [], "") for value in node.values()), path


def test_columns_point_at_fields_that_there_are() -> None:
    for kind in Kind:
        paths = {path.replace("[]", "[0]") for path, _ in nodes(root_schema(kind))}
        for column in crd(kind)["spec"]["versions"][0]["additionalPrinterColumns"]:
            plain = column["jsonPath"]
            if "?(@" in plain:
                plain = plain.split("[?")[0] + "[0]" + plain.rsplit("]")[-1]
            assert plain in paths | {".metadata.creationTimestamp"}, column["name"]


def test_crds_are_yaml_without_anchors() -> None:
    for kind in Kind:
        text = generated()[f"crds/{PLURALS[kind]}.yaml"]
        assert yaml.safe_load(text) == crd(kind)
        assert "&id" not in text


def test_the_reference_has_every_field_and_annotation() -> None:
    text = reference()
    for kind in Kind:
        for part in ("spec", "status"):
            for name in root_schema(kind)["properties"][part]["properties"]:
                assert f"| `{name}` |" in text
    for annotation in Annotation:
        assert f"`{annotation}`" in text


class Leaf(BaseModel):
    word: Annotated[str, Field(max_length=3)]


class Strange(BaseModel):
    above: Annotated[int, Field(gt=0, lt=10)] = 5
    fixed: Literal["x"]
    maybe: Leaf | None = None
    many: tuple[Leaf, ...] = ()
    unlike: frozenset[str] = frozenset()
    named: dict[str, Leaf] = {}


def test_lowering_takes_what_pydantic_writes() -> None:
    made = Strange.model_json_schema()
    fields = lower(made, made["$defs"])["properties"]
    leaf = {
        "type": "object",
        "required": ["word"],
        "properties": {"word": {"type": "string", "maxLength": 3}},
    }
    assert fields["above"] == {"type": "integer", "default": 5, "minimum": 1, "maximum": 9}
    assert fields["fixed"] == {"type": "string", "enum": ["x"]}
    assert fields["maybe"] == leaf
    assert fields["many"] == {"type": "array", "x-kubernetes-list-type": "atomic", "items": leaf}
    assert fields["unlike"]["x-kubernetes-list-type"] == "set"
    assert fields["named"] == {"type": "object", "additionalProperties": leaf}


class Either(BaseModel):
    value: int | str


class Patterned(BaseModel):
    value: Annotated[str, Field(pattern="a")]


@pytest.mark.parametrize("model", [Either, Patterned])
def test_what_is_not_lowered_is_refused_rather_than_written(model: type[BaseModel]) -> None:
    made = model.model_json_schema()
    with pytest.raises(ValueError, match=r"alternatives|not lowered"):
        lower(made, {})
