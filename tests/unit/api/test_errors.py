"""The error tree: reasons are class names, and each says who can heal it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from warlock_agent.reasons import Misspoken
from warlock_agent.reasons import Reason as AgentReason
from warlock_operator import errors
from warlock_operator.errors import (
    BY_REASON,
    FAMILIES,
    OperatorError,
    TerminalError,
    TransientError,
)

OPERATOR = Path(errors.__file__).resolve().parents[1]
SOURCE = "\n".join(
    file.read_text()
    for file in OPERATOR.glob("**/*.py")
    if file.name not in ("errors.py", "reasons.py")
)

ALL = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, OperatorError) and each is not OperatorError
]


@pytest.mark.parametrize("error", ALL, ids=lambda each: each.__name__)
def test_a_reason_is_the_class_name_and_fits_a_condition(error: type[OperatorError]) -> None:
    assert error.reason == error.__name__
    assert len(error.reason) <= 64
    assert error.__doc__
    assert str(error("why")) == "why"
    assert error().message == error.reason


@pytest.mark.parametrize("error", ALL, ids=lambda each: each.__name__)
def test_either_the_world_or_an_edit_heals_it(error: type[OperatorError]) -> None:
    assert issubclass(error, TransientError) != issubclass(error, TerminalError)


def test_every_error_but_the_families_is_a_reason() -> None:
    assert set(BY_REASON.values()) == {*ALL} - FAMILIES


@pytest.mark.parametrize("reason", sorted(BY_REASON))
def test_every_error_is_given_by_somebody(reason: str) -> None:
    assert re.search(rf"\b{reason}\b", SOURCE)


def test_the_agent_names_errors_of_the_operator() -> None:
    assert set(get_args(AgentReason)) <= set(BY_REASON)
    assert not set(get_args(Misspoken)) & set(BY_REASON)
