"""What the machine must be and have; Debian's packages are installed where they lack."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path

from labkit import locks, progress
from labkit.commands import attempt, clean_environment
from labkit.errors import CannotCarry

# tool -> the Debian package that has it
_ALWAYS = {"openssl": "openssl", "setsid": "util-linux"}
_HOSTS = {
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "mmdebstrap": "mmdebstrap",
    "apt-ftparchive": "apt-utils",
    "nsenter": "util-linux",
    "mount": "mount",
}
_CONTAINERS = {"systemd-nspawn": "systemd-container"}
_MACHINES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
}
# Another apt may run, such as the machine's daily upgrade.
APT_OPTIONS = ("-q", "-o", "DPkg::Lock::Timeout=300")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def check() -> None:
    """Raise CannotCarry, with what to do, where this machine can't carry a lab at all."""
    if platform.system() != "Linux":
        raise CannotCarry(
            "the lab needs Linux (namespaces, cgroups): use a Debian 12 or 13 machine"
        )
    if os.geteuid() != 0:
        raise CannotCarry("the lab makes network and mount namespaces: run it as root (sudo)")
    if platform.machine() != "x86_64":
        raise CannotCarry(f"the lab is made for x86_64, this is {platform.machine()}")


def provide(tell: progress.Callback, *, containers: bool, machines: bool) -> None:
    """Install with apt what the wanted kinds of hosts need and the machine lacks."""
    wanted = dict(_ALWAYS)
    if containers or machines:
        wanted |= _HOSTS
    if containers:
        wanted |= _CONTAINERS
    if machines:
        wanted |= _MACHINES
    lacking = {package for tool, package in wanted.items() if not which(tool)}
    if (containers or machines) and not _KEYRING.exists():
        lacking.add("debian-archive-keyring")
    if lacking:
        install(lacking, tell)
    still = [tool for tool in wanted if not which(tool)]
    if still:
        raise CannotCarry(f"still missing after installation: {', '.join(still)}")


def provide_git(tell: progress.Callback) -> None:
    """Install git where it lacks, which Argo CD's repo-server calls."""
    if not which("git"):
        install(["git"], tell)


def install(packages: Iterable[str], tell: progress.Callback) -> None:
    """Install Debian packages; raises CannotCarry with the command to run by hand."""
    names = sorted(packages)
    by_hand = f"apt-get install {' '.join(names)}"
    if not which("apt-get"):
        raise CannotCarry(f"not a Debian machine; install by your own means: {', '.join(names)}")
    # apt's wait for its lock does not cover the package lists, so we take turns.
    with progress.step(by_hand, tell), locks.held("apt"):
        attempt("apt-get", *APT_OPTIONS, "update", limit_seconds=300.0)
        argv = ("apt-get", *APT_OPTIONS, "install", "--yes", "--no-install-recommends", *names)
        done = attempt(*argv, limit_seconds=1200.0)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise CannotCarry(f"apt can't install what is missing ({last}); try: {by_hand}")


def which(tool: str) -> str | None:
    """Return the path of *tool*; root's PATH may lack the system folders."""
    return shutil.which(tool, path=clean_environment()["PATH"])
