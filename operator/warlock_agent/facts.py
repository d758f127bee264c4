"""
What kind of machine this is: its identity, and facts for people.

Read from files, in less than a millisecond. Called by serve (hello) and observe. What the machine
enforces is tried by :mod:`features`.
"""

from __future__ import annotations

import os
import platform

from .digits import number_of
from .files import read_regular
from .journal import printable
from .model import Facts


def machine_id(root: str = "/") -> str:
    """Give /etc/machine-id: 32 hex digits; empty where there is none."""
    return _read(os.path.join(root, "etc/machine-id")).strip()


def boot_id(root: str = "/") -> str:
    """Give the kernel's id of this boot, as 32 hex digits."""
    return _read(os.path.join(root, "proc/sys/kernel/random/boot_id")).strip().replace("-", "")


def parse_os_release(text: str) -> dict[str, str]:
    """Read os-release(5): shell-like assignments, quoted or not."""
    fields = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            fields[name] = _unescape(value)
    return fields


def _unescape(value: str) -> str:
    """Drop the backslash of the four characters that a shell needs it for."""
    for char in '"$`\\':
        value = value.replace("\\" + char, char)
    return value


def parse_meminfo(text: str) -> int:
    """Give MemTotal of /proc/meminfo in bytes; 0 where it is missing."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "MemTotal:":
            return (number_of(words[1]) or 0) * 1024
    return 0


def facts(systemd_version: str = "", root: str = "/") -> Facts:
    """Give the facts of this machine. systemd_version: as :meth:`systemd.Systemd.version` says."""
    system = os.uname()
    release = parse_os_release(
        _read(os.path.join(root, "etc/os-release"))
        or _read(os.path.join(root, "usr/lib/os-release"))
    )
    return Facts(
        hostname=system.nodename,
        os=printable(release.get("PRETTY_NAME") or release.get("NAME", "")),
        kernel=system.release,
        systemd=systemd_version,
        python=platform.python_version(),
        architecture=system.machine,
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=parse_meminfo(_read(os.path.join(root, "proc/meminfo"))),
    )


def uptime_seconds(root: str = "/") -> float:
    """Give the seconds since boot, as the kernel counts them; suspended time counts."""
    word = _read(os.path.join(root, "proc/uptime")).partition(" ")[0]
    try:
        return float(word)
    except ValueError:
        return 0.0


def _read(path: str, limit: int = 65536) -> str:
    """Read a small file; empty where it can't be."""
    try:
        return read_regular(path, limit, follow=True).decode("utf-8", "replace")
    except OSError:
        return ""
