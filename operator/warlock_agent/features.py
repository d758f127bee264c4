"""
What this machine does of what units ask for: tried in a transient unit, never guessed.

systemd accepts every directive of a unit that it knows, also where the kernel (or the container
around it) does nothing of the kind. So a unit is started that asks for all of them, and looks at
itself from within. Once a boot: the answer is kept under /run. Called by :mod:`serve` (hello); the
unit runs ``__main__ probe``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import Any, Optional

from . import names
from .cgroup import control_group_of
from .dbus import DBusError
from .files import read_regular
from .marshal import Variant
from .model import Feature
from .operations import agent_command
from .systemd import Systemd, service_properties

FILE = "features.json"
STATES = ENFORCED, ADVISORY, UNSUPPORTED = "Enforced", "Advisory", "Unsupported"
LIMITS = ("MemoryMax", "TasksMax", "CPUQuota")
SANDBOX = ("ProtectSystem", "PrivateTmp", "NoNewPrivileges", "SystemCallFilter")
WAIT_SECONDS = 15.0
MEMORY_BYTES = 256 * 1024 * 1024
TASKS = 77  # unlike any default
CPU_USEC_A_SECOND = 3_000_000  # so much that the probe is not held up
_UNIT = "warlock-probe.service"
_PROBE_FILE = "/usr/.warlock-probe"

# what is asked for -> where a kernel that enforces it shows it: cgroup v2, then v1
_SHOWN = {
    "MemoryMax": (("", "memory.max"), ("memory", "memory.limit_in_bytes")),
    "TasksMax": (("", "pids.max"), ("pids", "pids.max")),
    "CPUQuota": (("", "cpu.max"), ("cpu,cpuacct", "cpu.cfs_quota_us")),
}
_VALUES = {"MemoryMax": str(MEMORY_BYTES), "TasksMax": str(TASKS), "CPUQuota": "300000"}


def features(systemd: Systemd, root: str = "") -> tuple[Feature, ...]:
    """
    Give the features of this machine, sorted as in :data:`LIMITS` and :data:`SANDBOX`.

    What could not be tried is Unsupported; a machine where nothing can be tried has only those.
    """
    path = f"{root}{names.RUN_DIR}/{FILE}"
    known = _read(path)
    if known is None:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        known = _try(systemd, path, sandbox=True) or _try(systemd, path, sandbox=False) or {}
    return tuple(Feature(name, known.get(name, UNSUPPORTED)) for name in (*LIMITS, *SANDBOX))


def _try(systemd: Systemd, path: str, sandbox: bool) -> Optional[dict[str, str]]:
    """Run the probe; None where the unit could not be started as it was asked for."""
    command = (*agent_command(), "probe", f"--output={path}", *(["--sandbox"] if sandbox else []))
    properties = service_properties(
        command, description="Warlock: what this machine enforces", timeout_seconds=10
    )
    properties += [
        ("MemoryMax", Variant("t", MEMORY_BYTES)),
        ("TasksMax", Variant("t", TASKS)),
        ("CPUQuotaPerSecUSec", Variant("t", CPU_USEC_A_SECOND)),
    ]
    if sandbox:
        properties += [
            ("ProtectSystem", Variant("s", "strict")),
            ("PrivateTmp", Variant("b", True)),
            ("NoNewPrivileges", Variant("b", True)),
            ("SystemCallFilter", Variant("(bas)", (False, ["@reboot"]))),
            ("ReadWritePaths", Variant("as", [os.path.dirname(path)])),
        ]
    try:
        job = systemd.start_transient(_UNIT, properties)
    except DBusError:  # one that runs already, of another agent, leaves its answer for the next
        return None
    systemd.wait_jobs((job,), WAIT_SECONDS)
    return _read(path)


def _read(path: str) -> Optional[dict[str, str]]:
    try:
        plain: Any = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(plain, dict):
        return None
    return {name: state for name, state in plain.items() if state in STATES}


# --- within the unit ------------------------------------------------------------------


def probe(output: str, sandbox: bool) -> None:
    """Look at this very process and its group, and write what is in force to *output*."""
    found = {name: _enforced(_limit(name)) for name in LIMITS}
    if sandbox:
        status = _status()
        found["ProtectSystem"] = _enforced(_is_read_only())
        found["PrivateTmp"] = _enforced(_has_own_tmp())
        found["NoNewPrivileges"] = _enforced(status.get("NoNewPrivs") == "1")
        found["SystemCallFilter"] = _enforced(status.get("Seccomp") == "2")
    temporary = f"{output}.tmp"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(json.dumps(found))
    os.rename(temporary, output)


def _enforced(holds: bool) -> str:
    return ENFORCED if holds else ADVISORY


def _limit(name: str, root: str = "/sys/fs/cgroup") -> bool:
    group = control_group_of(_text("/proc/self/cgroup"))
    shown = (_text(os.path.join(root, tree, group.strip("/"), file)) for tree, file in _SHOWN[name])
    return any(text.split()[:1] == [_VALUES[name]] for text in shown)


def _status() -> dict[str, str]:
    lines = (line.partition(":") for line in _text("/proc/self/status").splitlines())
    return {name: value.strip() for name, _, value in lines}


def _is_read_only() -> bool:
    try:
        os.close(os.open(_PROBE_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        return error.errno == errno.EROFS
    os.unlink(_PROBE_FILE)
    return False


def _has_own_tmp() -> bool:
    rows = (line.split() for line in _text("/proc/self/mountinfo").splitlines())
    return any(row[4] == "/tmp" and "systemd-private" in row[3] for row in rows if len(row) > 4)  # noqa: S108


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(1024 * 1024).decode("utf-8", "replace")
    return ""
