"""
Build the agent's archive from its package: the same bytes for the same source, named by digest.

Source alone, stored without compression. Compiled files would save about half of the start of an
agent, but fit one version of Python, and the archive is pushed once to machines of any; compressed
bytes would differ with the version of zlib, and with them the name.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import warlock_agent

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can say."""

_ENTRY = b"""import sys

from warlock_agent.__main__ import main

sys.exit(main())
"""


@dataclass(frozen=True)
class Archive:
    """The agent as one file. digest: sha256 of *data*, hex; it is the file's name on a host."""

    digest: str
    data: bytes = field(repr=False)


def build(package: Path) -> Archive:
    """Pack the ``*.py`` of *package*, which becomes ``warlock_agent``, beside an entry point."""
    files = {f"warlock_agent/{path.name}": path.read_bytes() for path in package.glob("*.py")}
    files["__main__.py"] = _ENTRY
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever it is built
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
    data = packed.getvalue()
    return Archive(hashlib.sha256(data).hexdigest(), data)


@cache
def agent_archive() -> Archive:
    """The archive of the agent that this operator was shipped with; built once a process."""
    return build(Path(warlock_agent.__file__).parent)
