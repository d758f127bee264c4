"""
JSON-lines logging: one object a line on stderr, facts as fields, no secrets.

``log.warning("host not converged", extra={HOST: host, REASON: error.reason})``. The message is
constant, so that a log store can count it; what varies stands in fields, named by the constants
below. A field outside ``FIELDS`` is left out: it can't leak, and a test sees it missing.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
from typing import Final, TextIO

# field names: the only spelling of each
HOST: Final = "host"
INSTANCE: Final = "instance"  # namespace/name of a GameInstance
GAME: Final = "game"
KIND: Final = "kind"
NAMESPACE: Final = "namespace"
NAME: Final = "object_name"  # "name" is taken: logging's own attribute
UID: Final = "uid"
GENERATION: Final = "generation"
REASON: Final = "reason"
DETAIL: Final = "detail"  # the message of an error of ours: written to be read, never a secret
STEP: Final = "step"
STEPS: Final = "steps"
COUNT: Final = "count"
SECONDS: Final = "seconds"
BYTES: Final = "bytes"
TOKEN: Final = "fencing_token"  # noqa: S105  (a number, no secret)
HOLDER: Final = "holder"
OWNER: Final = "owner"
DIGEST: Final = "digest"
VERSION: Final = "version"
ADDRESS: Final = "address"
UNIT: Final = "unit"
FEATURE: Final = "feature"
OPERATION: Final = "operation"
VARIABLE: Final = "variable"
STATUS_CODE: Final = "status_code"
TASK: Final = "task"

FIELDS: Final = frozenset(
    {
        HOST, INSTANCE, GAME, KIND, NAMESPACE, NAME, UID, GENERATION, REASON, DETAIL, STEP, STEPS,
        COUNT, SECONDS, BYTES, TOKEN, HOLDER, OWNER, DIGEST, VERSION, ADDRESS, UNIT, FEATURE,
        OPERATION, VARIABLE, STATUS_CODE, TASK,
    }
)  # fmt: skip

REDACTED: Final = "[redacted]"
TEXT_LIMIT: Final = 4096  # characters of one field: a game's journal can be long

# What must never be printed, whatever text it sits in: keys, tokens, passwords in an assignment.
_SECRETS: Final = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S),
        (r"\bbearer\s+[A-Za-z0-9._~+/=-]{8,}", re.I),
        (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", 0),  # a JSON web token
        (r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)", 0),  # user:password in an address
        (r"(?i)\b(?:password|passphrase|secret|token|api[_-]?key)\s*[=:]\s*[^\s,;]+", 0),
    )
)


def redact(text: str) -> str:
    """*text* without anything that looks like a key, a token or a password."""
    for pattern in _SECRETS:
        text = pattern.sub(REDACTED, text)
    return text


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time (UTC, RFC 3339), level, logger, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(record.getMessage()),
        }
        line |= {
            name: _clean(value)
            for name, value in vars(record).items()
            if name in FIELDS and value is not None
        }
        if record.exc_info:
            line["exception"] = _clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure(level: str, stream: TextIO | None = None) -> None:
    """
    Send everything at *level* and above to *stream* (stderr) as JSON lines.

    Libraries speak from warning on only: asyncssh tells every login, kopf every event.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in ("asyncssh", "kopf", "aiohttp", "kubernetes", "asyncio", "opengsq"):
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))


def _timestamp(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clean(value: object) -> object:
    """Numbers and booleans as they are; all else as text, redacted and bounded."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in list(value)[:100]]
    text = redact(str(value))
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"
