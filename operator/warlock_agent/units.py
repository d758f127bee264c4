"""
Names of units: which are valid, and how they look in paths of D-Bus objects and in patterns. Pure.

Source: systemd.unit(5), "String escaping for inclusion in unit names".
"""

from __future__ import annotations

MAX_UNIT_NAME = 255
_TYPES = frozenset(
    (
        "service",
        "socket",
        "target",
        "device",
        "mount",
        "automount",
        "swap",
        "timer",
        "path",
        "slice",
        "scope",
    )
)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_NAME = _LETTERS | _DIGITS | frozenset(":-_.\\@")
_PLAIN = _LETTERS | _DIGITS | frozenset(":_.")
_UNIT_OBJECTS = "/org/freedesktop/systemd1/unit/"


def valid_unit(name: str) -> bool:
    """Say whether *name* can be a unit: ``prefix[@instance].type``."""
    prefix, dot, kind = name.rpartition(".")
    if not dot or kind not in _TYPES or len(name) > MAX_UNIT_NAME:
        return False
    return bool(prefix) and not prefix.startswith("@") and _NAME.issuperset(prefix)


def escape(text: str) -> str:
    r"""Write any text so that it can stand in a unit's name: ``/`` is ``-``, others ``\x2d``."""
    out = []
    for index, byte in enumerate(text.encode()):
        char = chr(byte)
        if char == "/":
            out.append("-")
        elif char in _PLAIN and not (index == 0 and char == "."):
            out.append(char)
        else:
            out.append(f"\\x{byte:02x}")
    return "".join(out)


def unescape(name: str) -> str:
    """Undo :func:`escape`. Raises: ValueError."""
    out = bytearray()
    position = 0
    while position < len(name):
        char = name[position]
        if name.startswith("\\x", position):
            out.append(int(name[position + 2 : position + 4], 16))
            position += 4
            continue
        out += b"/" if char == "-" else char.encode()
        position += 1
    return out.decode()


def object_path(unit: str) -> str:
    """Give the D-Bus object of a unit: everything but letters and digits is ``_`` and two hex."""
    out = []
    for index, byte in enumerate(unit.encode()):
        char = chr(byte)
        if char in _LETTERS or (char in _DIGITS and index > 0):
            out.append(char)
        else:
            out.append(f"_{byte:02x}")
    return _UNIT_OBJECTS + "".join(out)


def unit_of_path(path: str) -> str:
    """Undo :func:`object_path`; empty for a path of something else."""
    if not path.startswith(_UNIT_OBJECTS):
        return ""
    head, *rest = path[len(_UNIT_OBJECTS) :].split("_")
    try:
        data = head.encode() + b"".join(bytes.fromhex(p[:2]) + p[2:].encode() for p in rest)
        return data.decode()
    except ValueError:
        return ""


def pattern_of(unit: str) -> str:
    """Write a unit's name as an fnmatch(3) pattern that matches it alone."""
    return "".join("\\" + char if char in "*?[\\" else char for char in unit)
