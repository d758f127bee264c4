"""
What hosts are made of: a base system a suite, the game's packages, and a base with the game.

| cache item             | is                                                              |
| ---------------------- | --------------------------------------------------------------- |
| base-SUITE-DIGEST      | a root file system with systemd and sshd                        |
| apt-SUITE-DIGEST       | OpenArena and what it needs, as a package archive               |
| plain-SUITE-DIGEST     | an overlay over the base in which apt knows the archive         |
| game-SUITE-DIGEST      | the same with OpenArena installed, its own service masked       |
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labkit import cachebuild, mirrors, progress

SUITES = ("bookworm", "trixie", "bullseye")
_HERE = Path(__file__).resolve().parent
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "ca-certificates"),
    *("sudo", "libpam-systemd", "nftables", "procps", "python3"),
)
_MACHINE_PACKAGES = ("linux-image-cloud-amd64", "udev", "kmod", "initramfs-tools")
GAME = "openarena-server"
_GAME_UNIT = "openarena-server.service"
_BASE_LINES = {"": 1150, "vm-": 1550}  # what mmdebstrap says in all, roughly; for the bar

# A mount namespace of its own: whatever becomes of us, no mount stays behind.
_NAMESPACE = ("unshare", "--mount", "--propagation", "private")
_DOWNLOAD = """
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/up,workdir=$work/wk" "$work/root"
cp "$work/sources.list" "$work/root/etc/apt/sources.list"
cp "$work/proxies.conf" "$work/root/etc/apt/apt.conf.d/lab-proxies"
cat /etc/resolv.conf >"$work/root/etc/resolv.conf"
mount -t proc proc "$work/root/proc"
mount --bind /dev "$work/root/dev"
[ ! -d /etc/ssl/certs ] || mount --bind /etc/ssl/certs "$work/root/etc/ssl/certs"
chroot "$work/root" apt-get -q update
chroot "$work/root" apt-get -q install --yes --no-install-recommends --download-only "$game"
cp "$work"/root/var/cache/apt/archives/*.deb "$out/"
cd "$out" && apt-ftparchive packages . >Packages
apt-ftparchive release . >Release
chmod 0644 "$out"/*
"""
# The game's package would enable and start a server of its own: masked before, as a user would.
_LAYER = """
mount -t overlay overlay -o "lowerdir=$base,upperdir=$out/root,workdir=$work/wk" "$work/root"
mount --bind "$archive" "$work/root/srv/apt"
mount -t proc proc "$work/root/proc"
mount --bind /dev "$work/root/dev"
printf '#!/bin/sh\\nexit 101\\n' >"$work/root/usr/sbin/policy-rc.d"
chmod 755 "$work/root/usr/sbin/policy-rc.d"
rm -rf "$work"/root/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/apt ./' >"$work/root/etc/apt/sources.list"
chroot "$work/root" apt-get -q update
if [ -n "$game" ]; then
    ln -sf /dev/null "$work/root/etc/systemd/system/$unit"
    chroot "$work/root" apt-get -q install --yes --no-install-recommends "$game"
fi
rm "$work/root/usr/sbin/policy-rc.d"
"""


@dataclass(frozen=True)
class Image:
    """Folders of the cache: the layers of a root file system, topmost first, and its archive."""

    layers: tuple[Path, ...]
    archive: Path


def container(suite: str, preinstalled: bool, tell: progress.Callback) -> Image:
    """Return the image of a container host, built where it is not in the cache."""
    base = _base(suite, tell)
    archive = _archive(suite, base, tell)
    return Image((_layer(suite, base, archive, preinstalled, tell), base), archive)


def machine(suite: str, preinstalled: bool, tell: progress.Callback) -> Image:
    """Return the same with a kernel, for the disk of a virtual machine."""
    archive = _archive(suite, _base(suite, tell), tell)
    base = _base(suite, tell, "vm-")
    return Image((_layer(suite, base, archive, preinstalled, tell), base), archive)


def _base(suite: str, tell: progress.Callback, prefix: Literal["", "vm-"] = "") -> Path:
    packages = _PACKAGES + (_MACHINE_PACKAGES if prefix else ())
    hooks = [_HERE / "customize", *([_HERE / "customize-vm"] if prefix else [])]
    recipe = " ".join(packages) + "".join(hook.read_text() for hook in hooks)

    def make(build: cachebuild.Build) -> None:
        sources = mirrors.sources(suite)
        (build.folder / "sources.list").write_text(sources)
        options = [f"--aptopt={option}" for option in mirrors.proxies()]
        # Fetched over and over otherwise, and a suite past its support is still of use here.
        options.append('--aptopt=Acquire::Check-Valid-Until "false"')
        argv = [*_NAMESPACE, "mmdebstrap", "--verbose", "--variant=minbase"]
        argv += [f"--include={','.join(packages)}", *options, f"--keyring={mirrors.KEYRING}"]
        argv += [*(f'--customize-hook={hook} "$1"' for hook in hooks), suite]
        seen = 0

        def on_line(line: str) -> None:
            nonlocal seen
            seen += 1
            build.step.update(line[:60], min(seen / _BASE_LINES[prefix], 0.99))

        build.run([*argv, build.folder / "root", build.folder / "sources.list"], on_line)

    title = f"Debian {suite} base system{' with a kernel' if prefix else ''}"
    return cachebuild.item(f"{prefix}base-{suite}-{digest(recipe)}", title, make, tell) / "root"


def _archive(suite: str, base: Path, tell: progress.Callback) -> Path:
    def make(build: cachebuild.Build) -> None:
        work, out = workspace(build), build.folder / "apt"
        out.mkdir()
        (work / "sources.list").write_text(mirrors.sources(suite))
        lines = [f"{option};\n" for option in mirrors.proxies()]
        (work / "proxies.conf").write_text("".join([*lines, _NO_EXPIRY]))
        in_namespace(build, _DOWNLOAD, base=base, work=work, out=out, game=GAME)

    name = f"apt-{suite}-{digest(_DOWNLOAD + base.parent.name)}"
    return cachebuild.item(name, f"{GAME} and what it needs for {suite}", make, tell) / "apt"


def _layer(
    suite: str, base: Path, archive: Path, preinstalled: bool, tell: progress.Callback
) -> Path:
    def make(build: cachebuild.Build) -> None:
        work = workspace(build)
        (build.folder / "root").mkdir()
        game = GAME if preinstalled else ""
        names = {"base": base, "work": work, "out": build.folder, "archive": archive}
        in_namespace(build, _LAYER, **names, game=game, unit=_GAME_UNIT)

    kind, what = ("game", f"{GAME} installed on") if preinstalled else ("plain", "apt prepared on")
    name = f"{kind}-{suite}-{digest(_LAYER + archive.parent.name + _own(base))}"
    return cachebuild.item(name, f"{what} {suite}", make, tell) / "root"


_NO_EXPIRY = 'Acquire::Check-Valid-Until "false";\n'


def workspace(build: cachebuild.Build) -> Path:
    """Make the folders that an overlay needs, beside what is kept."""
    work = build.folder / "work"
    for name in ("up", "wk", "root"):
        (work / name).mkdir(parents=True)
    return work


def in_namespace(build: cachebuild.Build, script: str, **names: object) -> None:
    """Run a shell script with *names* as variables, in a mount namespace of its own."""
    env = {key: str(value) for key, value in names.items()}
    argv = [*_NAMESPACE, "sh", "-euc", script]
    percent = re.compile(r"^(Get|Setting up|Unpacking|Selecting)")

    def on_line(line: str) -> None:
        if percent.match(line):
            build.step.update(line[:60])

    build.run(argv, on_line, env={**os.environ, **env})
    build.run(["rm", "-rf", build.folder / "work"])


def _own(base: Path) -> str:
    """Return what tells a layer over a machine's base from one over a container's."""
    return base.parent.name if base.parent.name.startswith("vm-") else ""


def digest(recipe: str) -> str:
    """Return a short name for what a recipe makes."""
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]
