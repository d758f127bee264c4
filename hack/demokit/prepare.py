"""
Build what the tests' labs are made of, with progress to be seen; quick where it is in the cache.

A first test would build it too, silently and for minutes. Run by ``hack/test``.
"""

from __future__ import annotations

import sys

from labkit import argocd, binaries, disks, images, kstatus, machine, progress, redis
from labkit.errors import LabError

# (suite, with the game installed)
_IMAGES = (("bookworm", False), ("bookworm", True), ("trixie", False), ("bullseye", False))


def main() -> int:
    """Build; 0, 1 (failed), 2 (the machine can't)."""
    console = progress.Console()
    try:
        machine.check()
        with progress.step("what labs are made of", console):
            machine.provide(console, containers=True, machines=True)
            binaries.control_plane(console)
            kstatus.program(console)
            argocd.programs(console)
            redis.program(console)
            for suite, preinstalled in _IMAGES:
                images.container(suite, preinstalled, console)
            disks.disk("bookworm", False, console)
    except LabError as error:
        print(f"hack/test: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
