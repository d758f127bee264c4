"""Log lines are JSON with known fields, and no secret gets through."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_operator import log as fields

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    fields.configure("info", stream)
    yield stream
    root.handlers[:], root.level = before


def test_a_line_is_json_with_time_level_message_and_fields(lines: io.StringIO) -> None:
    logging.getLogger("warlock_operator.x").info(
        "host converged", extra={fields.HOST: "host-a", fields.STEPS: 3}
    )
    line = json.loads(lines.getvalue())
    assert line["time"].endswith("Z")
    assert {k: line[k] for k in ("level", "logger", "message", "host", "steps")} == {
        "level": "info",
        "logger": "warlock_operator.x",
        "message": "host converged",
        "host": "host-a",
        "steps": 3,
    }


def test_a_field_without_a_name_of_ours_is_left_out(lines: io.StringIO) -> None:
    logging.getLogger("x").info("m", extra={"private_key": "abc"})
    assert "private_key" not in lines.getvalue()


def test_an_exception_stays_on_the_line(lines: io.StringIO) -> None:
    try:
        raise RuntimeError(KEY)
    except RuntimeError:
        logging.getLogger("x").exception("task ended")
    assert len(lines.getvalue().splitlines()) == 1
    assert "RuntimeError" in json.loads(lines.getvalue())["exception"]
    assert "b3Blb" not in lines.getvalue()


def test_libraries_speak_from_warning_on(lines: io.StringIO) -> None:
    logging.getLogger("asyncssh").info("Auth for user root succeeded")
    assert lines.getvalue() == ""


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY[:50],  # cut off in the middle
        "Authorization: Bearer abcdefghijklmnop",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln",
        "https://user:hunter2@198.18.0.1/",
        "password=hunter2",
        "PASSPHRASE: hunter2",
        "api_key = abcdef",
    ],
)
def test_what_looks_like_a_secret_is_redacted(text: str) -> None:
    cleaned = fields.redact(f"before {text} after")
    assert cleaned.startswith("before")
    assert fields.REDACTED in cleaned
    assert not any(word in cleaned for word in ("hunter2", "abcdef", "b3Blb", "eyJpc3"))


@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"]), max_size=200))
def test_plain_text_is_not_touched(text: str) -> None:
    assert fields.redact(text) == text or "bearer " in text.lower()
