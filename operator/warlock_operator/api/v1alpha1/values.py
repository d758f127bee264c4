"""
The small types that the three kinds share: what an id, a name, a path, a word may look like.

Names, ids, hosts and paths take ``A-Za-z0-9._/-`` only, so that none of them means anything to a
shell, a unit file or a URL. Text takes any printable character and is inert on the machine.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer

from warlock_operator.api.rules import Rule, cel_string, matches

MAX_PORTS = 16
MAX_VARIABLES = 64
MAX_VALUES_CHARACTERS = 8192
"""Of all values of an instance: 12 bytes each at most in the message to its host."""
MAX_PATH = 1024
MAX_TEXT = 1024
MAX_MESSAGE = 4096
MAX_SHORT = 256

# Lengths are a little wider than what the rules allow, so that the rule's message is seen and
# not "Too long".

_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
# The last label of a DNS name holds a letter; "999.1.1.1" is a mistyped address, no name.
_DNS_NAME = rf"({_LABEL}\.)*([a-z0-9-]*[a-z][a-z0-9-]*)"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

Guid = Annotated[
    str,
    Field(max_length=64),
    matches(
        _UUID,
        "must be a lower-case UUID, such as 550e8400-e29b-41d4-a716-446655440000",
    ),
]

InstanceId = Annotated[
    str,
    Field(max_length=64),
    matches(
        f"{_UUID}|default",
        "must be a lower-case UUID, such as 550e8400-e29b-41d4-a716-446655440000; "
        "leave it out for the default instance",
    ),
]

ObjectName = Annotated[
    str,
    Field(max_length=253),
    matches(
        _SUBDOMAIN,
        "must be the name of an object: lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends",
    ),
]

PortName = Annotated[
    str,
    Field(max_length=64),
    matches(
        "[a-z]([a-z0-9-]{0,30}[a-z0-9])?",
        "must be 1 to 32 lower-case letters, digits and '-', starting with a letter, "
        "such as game or rcon",
    ),
]

ServiceName = Annotated[
    str,
    Field(max_length=128),
    matches(
        "[A-Za-z]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?",
        "must be 1 to 64 letters, digits, '-' and '_', starting with a letter, without '@' "
        "and '.service', such as warlock-openarena",
    ),
]

PortNumber = Annotated[int, Field(ge=1, le=65535)]


def is_canonical_address(text: str) -> bool:
    """Say whether *text* is an IP address in its usual form (no zone, no mapped IPv4)."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = address.version == 6 and address.ipv4_mapped is not None
    return not mapped and "%" not in text and str(address) == text


def _address(names: str, message: str) -> Rule:
    by_name = matches(names, message)
    assert by_name.holds is not None
    name_holds = by_name.holds
    return Rule(
        cel=f"(isIP(self) && ip.isCanonical(self)) || {by_name.cel}",
        message=message,
        holds=lambda text: is_canonical_address(text) or name_holds(text),
    )


Address = Annotated[
    str,
    Field(max_length=253),
    _address(
        _DNS_NAME,
        "must be an IP address in its usual form or a DNS name in lower case, without port, "
        "user or scheme, such as 198.18.1.1 or games1.example.org",
    ),
    matches(
        r"[^.]{0,63}(\.[^.]{0,63})*",
        "must have at most 63 characters between two dots, as DNS names do",
    ),
]

HostReference = Annotated[
    str,
    Field(max_length=253),
    _address(
        _SUBDOMAIN,
        "must be the name or the address of a GameHost: lower-case letters, digits, '-' and '.', "
        "or an IP address",
    ),
]

# A segment is neither "." nor ".."; RE2 has no look-ahead, so the three shapes are spelt out.
_SEGMENT = r"([A-Za-z0-9_-][A-Za-z0-9._-]*|\.[A-Za-z0-9_-][A-Za-z0-9._-]*|\.\.[A-Za-z0-9._-]+)"

ABSOLUTE_PATH = f"(/{_SEGMENT})+"

_absolute = matches(
    ABSOLUTE_PATH,
    "must be an absolute path such as /opt/openarena-2: letters, digits, '.', '_', '-' and '/' "
    "only, without '.' or '..' as a part, '//' or a '/' at the end",
)
_short_parts = matches("(/[^/]{1,255})*", "must have at most 255 characters between two '/'")

# Neither a root nor an instance lies there: the machine's own state, and ours.
_SYSTEM_DIRECTORIES = (
    "boot",
    "dev",
    "etc",
    "proc",
    "run",
    "sys",
    "var/lib/warlock",
    "var/backups/warlock",
)
_SYSTEM_PATTERN = f"/({'|'.join(_SYSTEM_DIRECTORIES)})(/.*)?"

_no_system_directory = Rule(
    cel=f"!self.matches({cel_string(f'^(?:{_SYSTEM_PATTERN})$')})",
    message="must not be in a directory of the system's own; use one such as /srv or /opt/games",
    holds=lambda path: (
        not any(f"{path}/".startswith(f"/{taken}/") for taken in _SYSTEM_DIRECTORIES)
    ),
)

PathRoot = Annotated[str, Field(max_length=256), _absolute, _short_parts, _no_system_directory]

InstancePath = Annotated[
    str, Field(max_length=MAX_PATH), _absolute, _short_parts, _no_system_directory
]

# Refused in text: C0 and C1 controls and DEL (they end a line of an environment file or drive a
# terminal), what can't be seen (line separators, zero-width and bidirectional marks, tags), and
# what is no character: systemd drops the line of a unit, and the environment file, that has one.
_NO_CHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17)
)
_UNPRINTABLE = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    f"\U000e0000-\U000e007f{_NO_CHARACTERS}"
)

_printable = matches(
    f"[^{_UNPRINTABLE}]*",
    "must be printable text in one line: no control characters, line breaks, zero-width or "
    "bidirectional marks",
)

Text = Annotated[str, Field(max_length=MAX_TEXT), _printable]

Title = Annotated[str, Field(min_length=1, max_length=128), _printable]

_VARIABLE_PATTERN = "[A-Za-z_][A-Za-z0-9_]*"
_RESERVED_PATTERN = "(PORT|WARLOCK|LD)_.*|PATH|HOME"
_name_is_variable = matches(
    "[A-Za-z_][A-Za-z0-9_]{0,63}",
    "must be the name of an environment variable: at most 64 letters, digits and '_', not "
    "starting with a digit, such as SERVER_NAME",
)
_is_reserved = matches(_RESERVED_PATTERN, "")

VariableName = Annotated[
    str,
    Field(max_length=128),
    _name_is_variable,
    Rule(
        cel=f"!{_is_reserved.cel}",
        message="must not be PATH or HOME nor start with PORT_, WARLOCK_ or LD_: the operator and "
        "the machine set those; choose another name (a port's number is in PORT_<NAME>)",
        holds=lambda name: not (_is_reserved.holds and _is_reserved.holds(name)),
    ),
]


MAX_COUNT = 2**53
"""Beyond it JSON's numbers are not exact, and the apiserver's no integers."""


def said(text: str, limit: int) -> str:
    """Make what a machine says fit to be shown: printable but for line breaks, cut at *limit*."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text_within(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda text: said(text, limit) if isinstance(text, str) else text)


def _number_within(low: int, high: int) -> BeforeValidator:
    return BeforeValidator(lambda n: min(max(n, low), high) if isinstance(n, int) else n)


# Of statuses: whatever a machine says becomes what the schema takes, or one machine's nonsense
# would be an error in the task that serves it.
ShortText = Annotated[str, Field(max_length=MAX_SHORT), _text_within(MAX_SHORT)]
PathText = Annotated[str, Field(max_length=MAX_PATH), _text_within(MAX_PATH)]
LongText = Annotated[str, Field(max_length=MAX_MESSAGE), _text_within(MAX_MESSAGE)]
Count = Annotated[int, Field(ge=0), _number_within(0, MAX_COUNT)]
Percent = Annotated[int, Field(ge=0, le=100), _number_within(0, 100)]


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[AwareDatetime, PlainSerializer(_rfc3339, when_used="json")]
"""A time with a zone; written as Kubernetes does: UTC, whole seconds, ``Z``."""
