"""
The redis-server that Argo CD keeps its caches in: the machine's own, else Debian's, unpacked.

Never installed: its package would enable and start a server of its own.
"""

from __future__ import annotations

from pathlib import Path

from labkit import cachebuild, locks, machine, mirrors, progress
from labkit.errors import CannotCarry

_PROGRAM = "redis-server"
_PACKAGE = "redis-server"
# The program is a link into the package of the tools in some suites.
_UNPACK = 'for deb in "$1"/*.deb; do dpkg-deb --extract "$deb" "$2"; done; rm -r "$1"'


def program(tell: progress.Callback = progress.silent) -> tuple[Path, dict[str, str]]:
    """Return the program, and the environment that it finds its libraries by."""
    own = machine.which(_PROGRAM)
    if own:
        return Path(own), {}
    suite = mirrors.own_suite() or "debian"
    title = f"{_PACKAGE} of {suite}"
    folder = cachebuild.item(f"redis-{suite}", title, _make, tell) / "root"
    libraries = [str(path) for path in sorted(folder.glob("usr/lib/*-linux-gnu"))]
    return folder / "usr/bin" / _PROGRAM, {"LD_LIBRARY_PATH": ":".join(libraries)}


def _make(build: cachebuild.Build) -> None:
    """Fetch the package and what the machine lacks for it, as its own apt would."""
    if not machine.which("apt-get"):
        raise CannotCarry(f"not a Debian machine; install by your own means: {_PACKAGE}")
    archives, root = build.folder / "archives", build.folder / "root"
    (archives / "partial").mkdir(parents=True)
    root.mkdir()
    with locks.held("apt"):
        build.run(["apt-get", *machine.APT_OPTIONS, "update"], on_line=build.step.update)
        options = ["--yes", "--no-install-recommends", "--download-only"]
        options += ["-o", f"Dir::Cache::archives={archives}"]
        argv = ["apt-get", *machine.APT_OPTIONS, "install", *options, _PACKAGE]
        build.run(argv, on_line=build.step.update)
    build.run(["sh", "-euc", _UNPACK, "sh", archives, root])
