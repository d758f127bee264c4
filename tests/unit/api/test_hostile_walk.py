"""No string of a custom resource is forgotten, and what is admitted is what the models read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tests.hostile.corpus import CORPUS
from tests.hostile.walk import (
    places,
    planted,
    status_patterns,
    status_with,
    string_patterns,
    whole,
)
from warlock_operator.api.names import Kind
from warlock_operator.api.v1alpha1.parse import MODELS, parse
from warlock_operator.errors import InvalidObject


@pytest.mark.parametrize("kind", Kind)
def test_the_walk_has_a_place_for_every_string_of_the_schema(kind: Kind) -> None:
    assert string_patterns(kind) - places(kind).keys() == set()
    parse(kind, whole(kind))


def _strings(annotation: Any, path: str) -> Iterator[str]:
    """Name the strings of a model, by its own fields and not by its schema."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from _strings(field.annotation, f"{path}.{field.alias or name}")
    elif isinstance(annotation, type) and issubclass(annotation, str):
        yield path
    elif getattr(annotation, "__origin__", None) is not None and "Mapping" in str(annotation):
        _, value = get_args(annotation)
        yield from (f"{path}{{key}}", *_strings(value, f"{path}{{}}"))
    elif getattr(annotation, "__metadata__", None):
        yield from _strings(annotation.__origin__, path)
    else:
        many = getattr(annotation, "__origin__", None) is tuple
        for each in get_args(annotation):
            if each not in (type(None), Ellipsis):
                yield from _strings(each, f"{path}[]" if many else path)


@pytest.mark.parametrize("kind", Kind)
def test_models_and_schema_have_the_same_strings(kind: Kind) -> None:
    assert set(_strings(MODELS[kind].model_fields["spec"].annotation, "spec")) == string_patterns(
        kind
    )


CASES = [(kind, pattern) for kind in Kind for pattern in places(kind)]


@pytest.mark.parametrize(("kind", "pattern"), CASES, ids=str)
def test_every_value_is_read_or_named_in_a_bounded_message(kind: Kind, pattern: str) -> None:
    for message in (_refusal(kind, pattern, value) for value in CORPUS):
        assert len(message) < 4096
        assert message == "" or message.isprintable()


def _refusal(kind: Kind, pattern: str, value: str) -> str:
    """Say why the models refuse it; empty where they read it."""
    try:
        parse(kind, planted(kind, pattern, value))
    except InvalidObject as error:
        return str(error)
    return ""


STATUS_CASES = [(kind, pattern) for kind in Kind for pattern in status_patterns(kind)]


@pytest.mark.parametrize(("kind", "pattern"), STATUS_CASES, ids=str)
def test_a_status_that_somebody_wrote_makes_no_object_unreadable(kind: Kind, pattern: str) -> None:
    made = whole(kind)
    for value in CORPUS:
        made["status"] = status_with(pattern, value)
        parse(kind, made)
