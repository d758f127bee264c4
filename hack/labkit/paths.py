"""Where things lie: the cache that labs share, and the folder of each lab."""

from __future__ import annotations

import os
import re
from pathlib import Path

from labkit.errors import LabError

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / "hack" / "tools"

# 20 characters: the name goes into the machine names of systemd-nspawn (64 at most).
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")


def cache() -> Path:
    """Return the folder of what is built once and shared by all labs."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "warlock-operator"


def labs() -> Path:
    """Return the folder that holds one folder a lab; gone when no lab is left."""
    return Path("/var/lib/warlock-lab")


def runtime() -> Path:
    """Return the folder of the lock files."""
    return Path("/run/warlock-lab")


def lab_folder(name: str) -> Path:
    """Return the folder of lab *name*, which need not exist; raises LabError for a bad name."""
    return labs() / checked_name(name, "lab")


def checked_name(name: str, what: str) -> str:
    """Return *name*, or raise LabError where it can't be a folder, cgroup and host name."""
    if not _NAME.fullmatch(name):
        raise LabError(
            f"{what} name {name!r}: use 1 to 20 lower case letters, digits and dashes, "
            "with no dash at either end"
        )
    return name
