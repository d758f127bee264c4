"""
One D-Bus message to bytes and back; where one ends in a stream.

Called by :mod:`dbus`. Source: D-Bus specification, "Message Format".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Union

from .marshal import DBusProtocolError, Variant, marshal, pad
from .unmarshal import unmarshal

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # D-Bus allows 128 MiB; systemd's answers are far below
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
_LITTLE, _VERSION, _REPLY_SERIAL = ord("l"), 1, 5
_HEAD = struct.Struct("<BBBBII")  # byte order, kind, flags, version, bytes of body, serial
_USUAL_HEAD_BYTES = 1024  # a larger one is not worth remembering
_FIELDS = {1: "path", 2: "interface", 3: "member", 4: "error_name", 5: "reply_serial"}
_FIELDS.update({6: "destination", 7: "sender", 8: "signature"})
_FIELD_SIGNATURES = {1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 6: "s", 7: "s", 8: "g", 9: "u"}


@dataclass(frozen=True)
class Message:
    """
    One message. *body* is still bytes: most signals are looked at by name and dropped.

    kind: CALL, RETURN, ERROR or SIGNAL. An absent field is empty or 0.
    """

    kind: int
    serial: int
    body: bytes = b""
    path: str = ""
    interface: str = ""
    member: str = ""
    error_name: str = ""
    reply_serial: int = 0
    destination: str = ""
    sender: str = ""
    signature: str = ""

    def arguments(self) -> tuple[Any, ...]:
        """Read the body. Raises: DBusProtocolError."""
        return unmarshal(self.signature, self.body)[0]


def encode(message: Message) -> bytes:
    """Write a message whole. Raises: DBusProtocolError."""
    fields = tuple((code, getattr(message, name)) for code, name in _FIELDS.items())
    head = (_LITTLE, message.kind, 0, _VERSION, len(message.body), message.serial)
    data = _HEAD.pack(*head) + _encode_fields(fields) + message.body
    if len(data) > MAX_MESSAGE_BYTES:
        raise DBusProtocolError("message is too long")
    return data


@lru_cache(maxsize=256)
def _encode_fields(fields: tuple[tuple[int, Any], ...]) -> bytes:
    """Write the header's array of fields, padded. A batch repeats them: all but serial and body."""
    present = [(code, Variant(_FIELD_SIGNATURES[code], value)) for code, value in fields if value]
    out = bytearray(4)  # as it would lie behind the fixed part, which ends 4 bytes off alignment
    out += marshal("ua(yv)", (0, present))[4:]
    pad(out, 8)
    return bytes(out[4:])


def message_length(data: Union[bytes, bytearray]) -> int:
    """
    Say how many bytes the message at the begin of *data* has; 0 while too few are there to know.

    Raises:
        DBusProtocolError: no message begins here, or one over the size limit.
    """
    if len(data) < 16:
        return 0
    endian, _, _, version, body_bytes, _, fields_bytes = struct.unpack_from("<BBBBIII", data)
    if endian != _LITTLE or version != _VERSION:
        raise DBusProtocolError("not a little-endian D-Bus message of version 1")
    length = 16 + fields_bytes + (-fields_bytes % 8) + body_bytes
    if length > MAX_MESSAGE_BYTES:
        raise DBusProtocolError(f"message of {length} bytes is over the limit")
    return int(length)


def decode(data: bytes) -> Message:
    """Read one whole message. Raises: DBusProtocolError."""
    if not data or len(data) != message_length(data):
        raise DBusProtocolError("message is cut off")
    _, kind, _, _, body_bytes, serial = _HEAD.unpack_from(data)
    if not CALL <= kind <= SIGNAL or serial == 0:
        raise DBusProtocolError("message has no type or no serial")
    body_at = len(data) - body_bytes
    head = data[_HEAD.size : body_at]
    read = _decode_fields if len(head) <= _USUAL_HEAD_BYTES else _decode_fields.__wrapped__
    fields = read(head)
    return Message(kind, serial, data[body_at:], **fields)


@lru_cache(maxsize=1024)
def _decode_fields(data: bytes) -> dict[str, Any]:
    """Read the header's array of fields. Of signals they are the same again and again."""
    known: dict[str, Any] = {}
    ((_, fields), _) = unmarshal("ua(yv)", b"\0\0\0\0" + data)  # aligned as in the message
    for code, value in fields:
        name = _FIELDS.get(code)
        if name is not None:
            if not isinstance(value, int if code == _REPLY_SERIAL else str):
                raise DBusProtocolError(f"header field {name} has the wrong type")
            known[name] = value
    return known
