"""
Programs of ours and of others, built from the Go modules that a folder's ``go.mod`` pins.

A folder has ``go.mod`` and ``go.sum``, the hashes of every module, and may have a ``go.txt``.
``binaries`` and ``argocd`` ask for the builds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from labkit import cachebuild, golang, progress
from labkit.errors import LabError

_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly",
    "GOWORK": "off",
    "GOTOOLCHAIN": "local",
}


def programs(
    build: cachebuild.Build,
    folder: Path,
    packages: Mapping[str, str],
    tell: progress.Callback,
    variables: Mapping[str, str] | None = None,
) -> None:
    """
    Build *packages* into ``build.folder``.

    Args:
        folder: with the ``go.mod`` whose module has the packages or requires them.
        packages: package by the name that its program gets; ``"."`` is the folder's own.
        variables: what the linker sets, by ``package.variable``.
    """
    go = golang.go(tell, folder)
    expected = _fetch(build, go, folder, packages.values())
    told = " ".join(f"-X {name}={value}" for name, value in (variables or {}).items())
    # All in one go: they share most packages.
    options = ["-v", "-buildvcs=false", "-trimpath", "-ldflags", f"-s -w {told}".strip()]
    out = build.folder / "bin"
    argv: list[str | Path] = [go, "build", *options, "-o", f"{out}/", *packages.values()]
    build.run(
        argv, on_line=_counter(build.step, "packages", expected), cwd=folder, env=_ENVIRONMENT
    )
    for name, package in packages.items():
        (out / _program(package, folder)).replace(build.folder / name)
    out.rmdir()


def module_folder(build: cachebuild.Build, folder: Path, module: str, go: Path) -> Path:
    """Return where the source of a required module lies, downloaded by a build before."""
    lines: list[str] = []
    argv: list[str | Path] = [go, "list", "-m", "-f", "{{.Dir}}", module]
    build.run(argv, on_line=lines.append, cwd=folder, env=_ENVIRONMENT)
    found = [Path(line) for line in lines if line.startswith("/")]
    if not found:
        raise LabError(f"{module} is not in the module cache: {' / '.join(lines)[:300]}")
    return found[-1]


def required_version(folder: Path, module: str) -> str:
    """Return the version of *module* that the folder's ``go.mod`` requires, such as v1.36.3."""
    found = re.search(rf"^\t{re.escape(module)} (v\S+)", (folder / "go.mod").read_text(), re.M)
    if not found:
        raise LabError(f"{folder / 'go.mod'} names no version of {module}")
    return found[1]


def digest(folder: Path, files: Sequence[str] = ("go.mod", "go.sum")) -> str:
    """Return what changes whenever another source would be built; *files* are all of it."""
    content = b"".join((folder / name).read_bytes() for name in files)
    return hashlib.sha256(content).hexdigest()[:12]


def _program(package: str, folder: Path) -> str:
    """Return how go names a program: after its package's last folder, a major version aside."""
    if package == ".":
        return folder.name
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def _fetch(build: cachebuild.Build, go: Path, folder: Path, packages: Iterable[str]) -> int:
    """Download the modules and return how many packages there are to compile."""
    names: list[str] = []
    requirements = len(re.findall(r"^\t\S+ v\S+", (folder / "go.mod").read_text(), re.M))
    count = _counter(build.step, "modules", requirements)

    def on_line(line: str) -> None:
        if line.startswith("go: downloading"):
            count(line.removeprefix("go: downloading "))
        elif not line.startswith("go: "):
            names.append(line)

    build.run([go, "list", "-deps", *packages], on_line, cwd=folder, env=_ENVIRONMENT)
    return len(names)


def _counter(step: progress.Step, what: str, expected: int) -> Callable[[str], None]:
    """Return a reader of lines that draws their number against *expected* as progress."""
    seen = 0

    def on_line(line: str) -> None:
        nonlocal seen
        seen += 1
        step.update(f"{seen}/{max(expected, seen)} {what} {line}", seen / max(expected, seen, 1))

    return on_line
