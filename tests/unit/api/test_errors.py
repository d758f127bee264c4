"""The error tree: reasons are class names, and each says who can heal it."""

from __future__ import annotations

import inspect

import pytest

from warlock_operator import errors
from warlock_operator.errors import OperatorError, TerminalError, TransientError

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
