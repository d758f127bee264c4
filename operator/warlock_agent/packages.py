"""
Which Debian packages are installed, read from dpkg's own file without starting a process.

Called by observe. What installs them is :mod:`install`. Source: deb-control(5), dpkg(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Optional

from .files import Signature, Tree
from .model import ObservedPackage

STATUS_PATH = "/var/lib/dpkg/status"
_MAX_STATUS_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def valid_package(name: str) -> bool:
    """Say whether *name* is a Debian package's (and can't be an option, a path or a version)."""
    return len(name) <= 128 and _NAME.fullmatch(name) is not None


def parse_status(text: str) -> dict[str, str]:
    """
    Read dpkg's status: installed packages and the names that they provide, with versions.

    A package that is unpacked only, or that has left its configuration behind, is not installed.
    """
    versions: dict[str, str] = {}
    provided: dict[str, str] = {}
    for stanza in text.split("\n\n"):
        fields = _fields(stanza)
        if fields.get("Status", "").split()[-1:] != ["installed"]:
            continue
        version = fields.get("Version", "")
        versions[fields.get("Package", "")] = version
        for name in fields.get("Provides", "").split(","):
            provided[name.strip().partition(" ")[0].partition(":")[0]] = version
    provided.update(versions)  # a real package goes before one that only provides its name
    provided.pop("", None)
    return provided


_WANTED = ("Package", "Status", "Version", "Provides")


def _fields(stanza: str) -> dict[str, str]:
    """Read the few fields that matter; continued lines belong to none of them."""
    fields = {}
    for line in stanza.split("\n"):
        name, colon, value = line.partition(":")
        if colon and name in _WANTED:
            fields[name] = value.strip()
    return fields


class Packages:
    """dpkg's status beneath *tree*. Keep it: the file is read again only when it has changed."""

    def __init__(self, tree: Optional[Tree] = None) -> None:
        """Touch nothing yet."""
        self._tree = tree or Tree()
        self._signature: Optional[Signature] = None
        self._installed: dict[str, str] = {}

    def installed(self, names: Iterable[str]) -> tuple[ObservedPackage, ...]:
        """Give those of *names* that are installed, sorted. Raises: FileError."""
        self._refresh()
        wanted = sorted(set(names) & self._installed.keys())
        return tuple(ObservedPackage(name, self._installed[name]) for name in wanted)

    def _refresh(self) -> None:
        signature = self._tree.signature(STATUS_PATH)
        if signature is None:  # not a Debian: nothing is installed
            self._installed = {}
        elif signature != self._signature:
            data = self._tree.read(STATUS_PATH, _MAX_STATUS_BYTES)
            self._installed = parse_status(data.decode("utf-8", "replace"))
        self._signature = signature
