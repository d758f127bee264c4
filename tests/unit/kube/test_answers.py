"""Every answer of the apiserver becomes the error that says who can heal it."""

from __future__ import annotations

import json

import pytest

from warlock_operator.errors import (
    ApiExpired,
    ApiRefused,
    ApiUnavailable,
    Conflict,
    ObjectGone,
    OperatorError,
    TransientError,
)
from warlock_operator.kube import answers


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, ApiRefused), (401, ApiRefused), (403, ApiRefused), (404, ObjectGone),
        (409, Conflict), (410, ApiExpired), (415, ApiRefused), (422, ApiRefused),
        (429, ApiUnavailable), (500, ApiUnavailable), (503, ApiUnavailable), (504, ApiUnavailable),
    ],
)  # fmt: skip
def test_a_status_code_becomes_its_error(code: int, kind: type[OperatorError]) -> None:
    error = answers.error_of(code, "why", "GET /x", 3.0)
    assert type(error) is kind
    assert isinstance(error, TransientError)
    assert str(error) == f"GET /x: {code} why"


def test_retry_after_is_kept_with_what_is_worth_retrying() -> None:
    error = answers.error_of(429, "", "GET /x", answers.retry_after({"Retry-After": "7"}))
    assert isinstance(error, ApiUnavailable)
    assert (error.retry_after_seconds, error.status_code) == (7.0, 429)
    assert answers.retry_after({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}) is None
    assert answers.retry_after({}) is None


def test_the_message_of_a_status_object_is_told_and_so_is_a_proxys_page() -> None:
    assert answers.message_of(json.dumps({"message": "no such thing"}).encode()) == "no such thing"
    assert answers.message_of(b"<html>bad gateway</html>\n") == "<html>bad gateway</html>"
    assert answers.message_of(b"[]") == "[]"


def test_a_long_message_is_cut() -> None:
    assert len(str(answers.error_of(422, "x" * 100_000, "PATCH /y"))) < 1100


def test_a_watchs_error_event_is_what_its_code_says() -> None:
    assert isinstance(answers.watch_error({"code": 410, "message": "old"}, "watch"), ApiExpired)
    assert isinstance(answers.watch_error({}, "watch"), ApiUnavailable)
