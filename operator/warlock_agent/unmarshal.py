"""
D-Bus bytes to values; the other way round, and what a value is, are in :mod:`marshal`.

Whatever the bytes are, what comes of them is a value or :class:`marshal.DBusProtocolError`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Callable

from .marshal import (
    ALIGNMENT,
    CACHED_SIGNATURES,
    FIXED,
    MAX_ARRAY_BYTES,
    MAX_DEPTH,
    DBusProtocolError,
    split_signature,
)

Reader = Callable[[bytes, int, int], tuple[Any, int]]
"""(buffer, position, depth of variants) to (value, position behind it)."""


def unmarshal(signature: str, data: bytes, position: int = 0) -> tuple[tuple[Any, ...], int]:
    """
    Read the values of *signature* from *data*, which is aligned at its own begin.

    Returns:
        The values, and the position behind them.

    Raises:
        DBusProtocolError: the bytes do not hold such values.
    """
    values = []
    try:
        for read in readers(signature):
            value, position = read(data, position, 0)
            values.append(value)
    except (struct.error, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise DBusProtocolError(f"message body: {error}") from error
    if position > len(data):
        raise DBusProtocolError("message body ends early")
    return tuple(values), position


@lru_cache(maxsize=CACHED_SIGNATURES)
def readers(signature: str) -> tuple[Reader, ...]:
    """Give one reader a complete type of *signature*."""
    return tuple(_reader(one) for one in split_signature(signature))


def _reader(kind: str) -> Reader:
    """Compile one complete type."""
    code = kind[0]
    if code in FIXED:
        return _fixed_reader(code)
    if code == "a":
        return _array_reader(kind[1:])
    if code == "(":
        return _struct_reader(kind[1:-1])
    return {"b": _read_bool, "s": _read_string, "o": _read_string, "g": _read_signature}.get(
        code, _read_variant
    )


def _fixed_reader(code: str) -> Reader:
    form, size = FIXED[code]
    unpack = struct.Struct(form).unpack_from
    mask = size - 1

    def read(data: bytes, position: int, depth: int) -> tuple[Any, int]:
        position = (position + mask) & ~mask
        return unpack(data, position)[0], position + size

    return read


_u32 = struct.Struct("<I").unpack_from


def _read_bool(data: bytes, position: int, depth: int) -> tuple[bool, int]:
    position = (position + 3) & ~3
    (value,) = _u32(data, position)
    if value > 1:
        raise DBusProtocolError("boolean is neither 0 nor 1")
    return value == 1, position + 4


def _read_string(data: bytes, position: int, depth: int) -> tuple[str, int]:
    position = (position + 3) & ~3
    (length,) = _u32(data, position)
    start = position + 4
    end = start + length
    if data[end] != 0:
        raise DBusProtocolError("string has no end")
    return str(data[start:end], "utf-8"), end + 1


def _read_signature(data: bytes, position: int, depth: int) -> tuple[str, int]:
    end = position + 1 + data[position]
    if data[end] != 0:
        raise DBusProtocolError("signature has no end")
    return str(data[position + 1 : end], "ascii"), end + 1


def _read_variant(data: bytes, position: int, depth: int) -> tuple[Any, int]:
    if depth >= MAX_DEPTH:
        raise DBusProtocolError("variants nest too deep")
    signature, position = _read_signature(data, position, depth)
    inner = readers(signature)
    if len(inner) != 1:
        raise DBusProtocolError("variant does not hold exactly one type")
    return inner[0](data, position, depth + 1)


def _struct_reader(members: str) -> Reader:
    inner = tuple(_reader(one) for one in split_signature(members))

    def read(data: bytes, position: int, depth: int) -> tuple[tuple[Any, ...], int]:
        position = (position + 7) & ~7
        values = []
        for one in inner:
            value, position = one(data, position, depth)
            values.append(value)
        return tuple(values), position

    return read


def _array_reader(element: str) -> Reader:
    mask = ALIGNMENT[element[0]] - 1
    if element == "y":
        return _read_bytes
    if element[0] == "{":
        return _dict_reader(element)
    inner = _reader(element)

    def read(data: bytes, position: int, depth: int) -> tuple[list[Any], int]:
        position, end = _array_bounds(data, position, mask)
        values = []
        while position < end:
            value, position = inner(data, position, depth)
            values.append(value)
        if position != end:
            raise DBusProtocolError("array element runs over the array's end")
        return values, end

    return read


def _read_bytes(data: bytes, position: int, depth: int) -> tuple[bytes, int]:
    position, end = _array_bounds(data, position, 0)
    return bytes(data[position:end]), end


def _dict_reader(entry: str) -> Reader:
    key_reader, value_reader = _reader(entry[1]), _reader(entry[2:-1])

    def read(data: bytes, position: int, depth: int) -> tuple[dict[Any, Any], int]:
        position, end = _array_bounds(data, position, 7)
        values = {}
        while position < end:
            key, position = key_reader(data, (position + 7) & ~7, depth)
            values[key], position = value_reader(data, position, depth)
        if position != end:
            raise DBusProtocolError("dict entry runs over the dict's end")
        return values, end

    return read


def _array_bounds(data: bytes, position: int, mask: int) -> tuple[int, int]:
    """Read an array's length; give the first element's position and the array's end."""
    position = (position + 3) & ~3
    (length,) = _u32(data, position)
    position = (position + 4 + mask) & ~mask
    end = position + length
    if length > MAX_ARRAY_BYTES or end > len(data):
        raise DBusProtocolError("array is longer than its message")
    return position, end
