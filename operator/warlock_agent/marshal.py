"""
D-Bus values to bytes: all types of the specification, little endian. The way back is
:mod:`unmarshal`'s.

A signature is compiled once into nested functions, which is what makes 100 units cheap to list.
Python sides: integers, ``bool``, ``float``, ``str``; an array is a list (``ay`` is bytes), a struct
a tuple, ``a{..}`` a dict. A variant is written as :class:`Variant` and read as its bare value.

Called by :mod:`message` and :mod:`dbus`. Source: D-Bus specification, "Type system" and
"Marshaling (Wire Format)".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Callable, NamedTuple

MAX_ARRAY_BYTES = 64 * 1024 * 1024
MAX_SIGNATURE = 255
CACHED_SIGNATURES = 512  # systemd uses forty; a peer that sends ever new ones must not grow us
MAX_DEPTH = 32  # of containers in one signature, and of variants in variants

Writer = Callable[[bytearray, Any, int], None]


class DBusProtocolError(Exception):
    """Bytes that are no D-Bus, or a value that does not fit its signature."""


class Variant(NamedTuple):
    """A value with its own single-type signature."""

    signature: str
    value: Any


FIXED: dict[str, tuple[str, int]] = {
    "y": ("<B", 1),
    "n": ("<h", 2),
    "q": ("<H", 2),
    "i": ("<i", 4),
    "u": ("<I", 4),
    "h": ("<I", 4),
    "x": ("<q", 8),
    "t": ("<Q", 8),
    "d": ("<d", 8),
}
ALIGNMENT = {code: size for code, (_, size) in FIXED.items()}
ALIGNMENT.update({"b": 4, "s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8})
_BASIC = frozenset("ynqiuhxtdbsog")


def split_signature(signature: str) -> list[str]:
    """
    Cut a signature into its complete types: ``sa{sv}`` is ``["s", "a{sv}"]``.

    Raises:
        DBusProtocolError: not a valid signature.
    """
    if len(signature) > MAX_SIGNATURE:
        raise DBusProtocolError("signature is too long")
    types, position = [], 0
    while position < len(signature):
        end = _type_end(signature, position, 0)
        types.append(signature[position:end])
        position = end
    return types


def _type_end(signature: str, position: int, depth: int) -> int:
    """Find the end of the complete type that begins at *position*."""
    code = signature[position : position + 1]
    if depth > MAX_DEPTH:
        raise DBusProtocolError("signature nests too deep")
    if code in _BASIC or code == "v":
        return position + 1
    if code == "a":
        if signature[position + 1 : position + 2] == "{":
            return _entry_end(signature, position + 1, depth + 1)
        return _type_end(signature, position + 1, depth + 1)
    if code == "(":
        position += 1
        if signature[position : position + 1] == ")":
            raise DBusProtocolError("struct without members")
        while signature[position : position + 1] != ")":
            position = _type_end(signature, position, depth + 1)
        return position + 1
    raise DBusProtocolError(f"signature has no type at {position}: {signature[:64]!r}")


def _entry_end(signature: str, position: int, depth: int) -> int:
    """Find the end of the dict entry that begins at *position*: a basic key, one value."""
    if signature[position + 1 : position + 2] not in _BASIC:
        raise DBusProtocolError("dict key is not a basic type")
    end = _type_end(signature, position + 2, depth + 1)
    if signature[end : end + 1] != "}":
        raise DBusProtocolError("dict entry does not end after its value")
    return end + 1


def marshal(signature: str, values: Sequence[Any]) -> bytes:
    """
    Write *values* as *signature* says.

    Raises:
        DBusProtocolError: values and signature do not fit each other.
    """
    writers = _writers(signature)
    if len(writers) != len(values):
        raise DBusProtocolError(f"{len(values)} values for signature {signature!r}")
    out = bytearray()
    try:
        for write, value in zip(writers, values):
            write(out, value, 0)
    except (struct.error, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DBusProtocolError(f"value does not fit {signature!r}: {error}") from error
    return bytes(out)


@lru_cache(maxsize=CACHED_SIGNATURES)
def _writers(signature: str) -> tuple[Writer, ...]:
    """Give one writer a complete type of *signature*."""
    return tuple(_writer(one) for one in split_signature(signature))


def _writer(kind: str) -> Writer:
    """Compile one complete type."""
    code = kind[0]
    if code in FIXED:
        return _fixed_writer(code)
    if code == "a":
        return _array_writer(kind[1:])
    if code == "(":
        return _struct_writer(kind[1:-1])
    return {"b": _write_bool, "s": _write_string, "o": _write_string, "g": _write_signature}.get(
        code, _write_variant
    )


def pad(out: bytearray, alignment: int) -> None:
    """Append zero bytes up to a multiple of *alignment*."""
    out.extend(bytes(-len(out) % alignment))


def _fixed_writer(code: str) -> Writer:
    form, size = FIXED[code]
    pack = struct.Struct(form).pack

    def write(out: bytearray, value: Any, depth: int) -> None:
        pad(out, size)
        out.extend(pack(value))

    return write


def _write_bool(out: bytearray, value: Any, depth: int) -> None:
    pad(out, 4)
    out.extend(b"\1\0\0\0" if value else b"\0\0\0\0")


def _write_string(out: bytearray, value: Any, depth: int) -> None:
    data = value.encode("utf-8")
    if b"\0" in data:
        raise DBusProtocolError("string holds a NUL")
    pad(out, 4)
    out.extend(struct.pack("<I", len(data)) + data + b"\0")


def _write_signature(out: bytearray, value: Any, depth: int) -> None:
    split_signature(value)
    data = value.encode("ascii")
    out.extend(bytes((len(data),)) + data + b"\0")


def _write_variant(out: bytearray, value: Any, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise DBusProtocolError("variants nest too deep")
    signature, inner = value
    writers = _writers(signature)
    if len(writers) != 1:
        raise DBusProtocolError("a variant holds exactly one type")
    _write_signature(out, signature, depth)
    writers[0](out, inner, depth + 1)


def _struct_writer(members: str) -> Writer:
    inner = tuple(_writer(one) for one in split_signature(members))

    def write(out: bytearray, value: Any, depth: int) -> None:
        if len(value) != len(inner):
            raise DBusProtocolError(f"{len(value)} members for struct ({members})")
        pad(out, 8)
        for one, member in zip(inner, value):
            one(out, member, depth)

    return write


def _array_writer(element: str) -> Writer:
    alignment = ALIGNMENT[element[0]]
    inner = _struct_writer(element[1:-1]) if element[0] == "{" else _writer(element)

    def write(out: bytearray, value: Any, depth: int) -> None:
        pad(out, 4)
        length_at = len(out)
        out.extend(bytes(4))
        pad(out, alignment)
        start = len(out)
        if element == "y":
            out.extend(value)
        else:
            for one in value.items() if element[0] == "{" else value:
                inner(out, one, depth)
        if len(out) - start > MAX_ARRAY_BYTES:
            raise DBusProtocolError("array is too long")
        struct.pack_into("<I", out, length_at, len(out) - start)

    return write
