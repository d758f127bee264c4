"""
From an object of the apiserver to a model. A spec is read strictly, a status leniently.

A status is only what we wrote last time; whatever stands there must not make an object broken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from warlock_operator.api.names import Kind
from warlock_operator.api.rules import Model, StatusModel
from warlock_operator.api.v1alpha1.game import Game, GameStatus
from warlock_operator.api.v1alpha1.gamehost import GameHost, GameHostStatus
from warlock_operator.api.v1alpha1.gameinstance import GameInstance
from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus
from warlock_operator.errors import InvalidObject

M = TypeVar("M", bound=Model)

MODELS: Mapping[Kind, type[Game | GameHost | GameInstance]] = {
    Kind.GAME: Game,
    Kind.GAME_HOST: GameHost,
    Kind.GAME_INSTANCE: GameInstance,
}
STATUSES: Mapping[Kind, type[StatusModel]] = {
    Kind.GAME: GameStatus,
    Kind.GAME_HOST: GameHostStatus,
    Kind.GAME_INSTANCE: GameInstanceStatus,
}

MAX_SHOWN = 80
"""Characters of an offending value in a message."""

MAX_FAULTS = 5
"""Faults in one message; more help nobody."""


def parse(kind: Kind | str, raw: Mapping[str, Any]) -> Game | GameHost | GameInstance:
    """
    Read an object as the apiserver gives it.

    Raises:
        InvalidObject: the object is not what the schema says; the message names each field
            (the first five), its value, and what would be right.
    """
    kind = Kind(kind)
    read = {
        "metadata": _plain({**(raw.get("metadata") or {}), "managedFields": None}),
        "spec": _plain(raw.get("spec") or {}),
    }
    status = parse_status(kind, raw.get("status"))
    try:
        made = _read(MODELS[kind], read)
    except ValidationError as error:
        raise InvalidObject(_faults(error)) from error
    return made if status is None else made.model_copy(update={"status": status})


def parse_status(kind: Kind, raw: object) -> StatusModel | None:
    """Read what can be read of a status; None where there is none, or nothing of it can."""
    if not isinstance(raw, Mapping):
        return None
    model, fields = STATUSES[kind], _plain(raw)
    try:
        return _read(model, fields)
    except ValidationError as error:
        bad = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
    try:
        return _read(model, {name: value for name, value in fields.items() if name not in bad})
    except ValidationError:
        return None


def _read(model: type[M], fields: Mapping[str, Any]) -> M:
    # By way of JSON: there strict means JSON's own types ("22" is no number, true no port), while
    # enums, tuples and times are still read.
    return model.model_validate_json(json.dumps(fields), strict=True, by_alias=True, by_name=False)


_SCALARS = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    """Make dicts and lists of kopf's read-only views, and drop nulls as the apiserver does."""
    if type(value) in _SCALARS:  # nearly all, and the other questions are dear
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _faults(error: ValidationError) -> str:
    details = error.errors(include_url=False)
    told = [_fault(detail) for detail in details[:MAX_FAULTS]]
    if len(details) > MAX_FAULTS:
        told.append(f"and {len(details) - MAX_FAULTS} more")
    return "; ".join(told)


def _fault(detail: ErrorDetails) -> str:
    blamed = detail.get("ctx", {}).get("field", "")
    where = _path((*detail["loc"], blamed) if blamed else detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{where}: there is no such field; remove it"
    if detail["type"] == "missing":
        return f"{where}: is required"
    if blamed or not isinstance(detail["input"], str | int | float | bool):
        return f"{where}: {detail['msg']}"
    return f"{where}: {_shown(detail['input'])}: {detail['msg']}"


def _path(location: Iterable[int | str]) -> str:
    # A key of a map is the writer's own text.
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in location]
    return "".join(parts).removeprefix(".")


def _key(text: str) -> str:
    plain = text.isascii() and text.isprintable() and len(text) <= MAX_SHOWN
    return text if plain else _shown(text)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
