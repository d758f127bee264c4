"""Find and remove what is mounted below a folder."""

from __future__ import annotations

from pathlib import Path

from labkit.commands import run


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below *folder*, the innermost first."""
    for point in reversed(_points()):
        if point == folder or folder in point.parents:
            run("umount", point)


def _points() -> list[Path]:
    """Return the mount points of this namespace in the order in which they were mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4].encode().decode("unicode_escape")) for line in lines]
