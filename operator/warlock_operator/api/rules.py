"""
A rule is told twice: to the apiserver in CEL, to the operator in Python. Both stand side by side.

The apiserver refuses at ``kubectl apply``; the Python half finds what was written behind the
schema's back (an older CRD, an edit in etcd). Messages say what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

VALIDATIONS = "x-kubernetes-validations"


def cel_string(text: str) -> str:
    """Write *text* as a CEL string literal in printable ASCII."""
    return "'" + "".join(_cel_character(character) for character in text) + "'"


def _cel_character(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if " " <= character <= "~":
        return character
    point = ord(character)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


@dataclass(frozen=True)
class Rule:
    """
    One thing that must hold of a value.

    Attributes:
        cel: the rule over ``self``, and ``oldSelf`` where it is about a change.
        message: what is wrong and what to write instead.
        holds: the same in Python; absent for a rule about a change, which only the apiserver
            can see.
        field: JSON name of the field that is to blame, where the rule is about a whole object.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None
    field: str = ""

    def check(self, value: Any) -> Any:
        """Give *value* back. Raises: PydanticCustomError where the rule does not hold."""
        if self.holds is not None and not self.holds(value):
            # A message is no template here: braces in it are meant.
            raise PydanticCustomError("rule", "{why}", {"why": self.message, "field": self.field})
        return value

    def lowered(self) -> dict[str, str]:
        """One entry of ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": self.message}
        if self.field:
            entry["fieldPath"] = "." + self.field
        return entry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        lowered = handler(schema)
        lowered.setdefault(VALIDATIONS, []).append(self.lowered())
        return lowered


def matches(pattern: str, message: str) -> Rule:
    """
    Require the whole text to match *pattern*, in the syntax that RE2 and Python share.

    Not the schema's own ``pattern``: its message is the pattern alone.
    """
    compiled = re.compile(pattern)
    return Rule(
        cel=f"self.matches({cel_string(f'^(?:{pattern})$')})",
        message=message,
        holds=lambda text: compiled.fullmatch(text) is not None,
    )


@dataclass(frozen=True)
class ListKind:
    """How a list merges under server-side apply, and so what in it must be unique."""

    key: str = ""
    """JSON name of the field that names an item; a set of scalars where empty."""

    def check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Give *items* back. Raises: PydanticCustomError where two are the same."""
        repeated = _first_repeated(getattr(i, self.key) if self.key else i for i in items)
        if repeated is not None:
            what = f"{self.key} {repeated!s}" if self.key else repr(repeated)
            raise PydanticCustomError("repeated", "{what} is there twice", {"what": what})
        return items

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        lowered = handler(schema)
        lowered["x-kubernetes-list-type"] = "map" if self.key else "set"
        if self.key:
            lowered["x-kubernetes-list-map-keys"] = [self.key]
        return lowered


def _first_repeated(items: Iterable[Any]) -> Any | None:
    seen = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


UNIQUE = ListKind()
"""A set of scalars."""

BY_NAME = ListKind("name")
"""A list-map by name: two manifests can each own their entries."""


class _Untold(set[str]):
    """The names of the fields that were written, for models that don't tell: always none."""

    def __copy__(self) -> _Untold:
        return self

    def update(self, *_: Iterable[str]) -> None:
        """Stay empty: every model has this very set."""


_UNTOLD = _Untold()


class Model(BaseModel):
    """
    A part of a spec: frozen, no unknown fields, camelCase in JSON, snake_case in Python.

    ``rules`` are about the object as a whole; a rule about one field stands in its annotation.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=False,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _check_rules(self) -> Model:
        for rule in self.rules:
            rule.check(self)
        # Nobody asks which fields were written and which defaulted, and a set of them each is half
        # of the memory of a small model; a fleet's statuses are two hundred thousand models.
        object.__setattr__(self, "__pydantic_fields_set__", _UNTOLD)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        reference = handler(schema)
        if cls.rules:
            lowered = handler.resolve_ref_schema(reference)
            lowered[VALIDATIONS] = [rule.lowered() for rule in cls.rules]
        return reference

    def to_json(self) -> dict[str, Any]:
        """The object as the apiserver takes it: JSON names, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(Model):
    """A part of a status: unknown fields are skipped, since a newer operator may have written."""

    model_config = ConfigDict(extra="ignore")
