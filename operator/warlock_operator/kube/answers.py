"""
What the apiserver's answers mean: HTTP status and ``Status`` object to an error of ours.

    404              ObjectGone       the object, or its whole kind, is not there
    409              Conflict         changed meanwhile, or exists already
    410              ApiExpired       list or watch too old: list again
    429, 5xx         ApiUnavailable   with what Retry-After says
    any other 4xx    ApiRefused       credentials, RBAC, schema

Pure; used by ``client``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from warlock_operator.errors import (
    ApiExpired,
    ApiRefused,
    ApiUnavailable,
    Conflict,
    ObjectGone,
    OperatorError,
)

MESSAGE_LIMIT = 1000  # characters: a refused CR can be quoted whole in the answer


def error_of(
    code: int, message: str, what: str, retry_after_seconds: float | None = None
) -> OperatorError:
    """
    The error for an answer that is no success.

    Args:
        code: HTTP status, or ``code`` of the Status object in a watch's ERROR event.
        message: the Status object's message, or the body's text.
        what: verb and path, for the reader.
        retry_after_seconds: as the answer's header says.
    """
    text = f"{what}: {code} {message[:MESSAGE_LIMIT]}".rstrip()
    if code == 404:
        return ObjectGone(text)
    if code == 409:
        return Conflict(text)
    if code == 410:
        return ApiExpired(text)
    if code == 429 or code >= 500:
        return ApiUnavailable(text, retry_after_seconds, code)
    return ApiRefused(text, code)


def message_of(body: bytes) -> str:
    """The ``message`` of a Status object, else the text as it is (a proxy's page)."""
    try:
        status = json.loads(body)
        return str(status["message"])
    except (ValueError, TypeError, KeyError):
        return body.decode("utf-8", "replace").strip()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for; None: not given, or a date (no apiserver does)."""
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def failed_test(error: OperatorError) -> bool:
    """
    Whether a JSON Patch may have failed because one of its ``test`` operations did not hold.

    The apiserver answers 422 "the server rejected our request due to an error in our request",
    as for a path that does not exist; only a look at the object tells which (measured, 1.36).
    """
    return isinstance(error, ApiRefused) and error.status_code == 422


def watch_error(status: Mapping[str, Any], what: str) -> OperatorError:
    """The error for an ``ERROR`` event in a watch, whose object is a Status."""
    return error_of(int(status.get("code", 500)), str(status.get("message", "")), what)
