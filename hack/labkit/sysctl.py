"""
The kernel's limit on inotify instances: raised while labs run, put back when the last goes.

Its default (128 a user) is used up by about 20 systemds, all of them root's.
"""

from __future__ import annotations

from pathlib import Path

from labkit import locks, paths, state

_SETTING = Path("/proc/sys/fs/inotify/max_user_instances")
_ENOUGH = 8192


def raise_limit() -> None:
    """Raise the limit if it is low, and remember what it was."""
    with locks.held("sysctl", limit_seconds=60.0):
        before = _SETTING.read_text().strip()
        if int(before) < _ENOUGH:
            paths.labs().mkdir(parents=True, exist_ok=True)
            _memory().write_text(before)
            _SETTING.write_text(str(_ENOUGH))


def restore_limit() -> None:
    """Put the old limit back if no lab is left, and remove the folder of the labs."""
    with locks.held("sysctl", limit_seconds=60.0):
        if state.names():
            return
        if _memory().exists():
            _SETTING.write_text(_memory().read_text())
            _memory().unlink()
        if paths.labs().exists() and not any(paths.labs().iterdir()):
            paths.labs().rmdir()


def _memory() -> Path:
    return paths.labs() / "inotify-instances-before"
