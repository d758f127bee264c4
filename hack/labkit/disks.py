"""
Disks of virtual machines: the same images as a container's, with a kernel, as file systems.

| cache item             | is                                                              |
| ---------------------- | --------------------------------------------------------------- |
| vm-base-SUITE-DIGEST   | a root file system with a kernel (made by ``images``)           |
| disk-DIGEST            | an ext4 image of it and its layer, the kernel and the initrd    |
| apt-disk-DIGEST        | an ext4 image of the package archive                            |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit import cachebuild, images, progress

_SIZE = "6G"  # sparse: it takes what is used

_MAKE = """
mkdir "$work/merged"
mount -t overlay overlay -o "lowerdir=$layers" "$work/merged"
mke2fs -q -t ext4 -L root -E lazy_itable_init=1,lazy_journal_init=1 -d "$work/merged" \
    "$out/root.ext4" "$size"
cp "$work"/merged/boot/vmlinuz-* "$out/kernel"
cp "$work"/merged/boot/initrd.img-* "$out/initrd"
"""


@dataclass(frozen=True)
class Disk:
    """Files of the cache that a virtual machine boots from."""

    root: Path
    kernel: Path
    initrd: Path
    archive: Path


def disk(suite: str, preinstalled: bool, tell: progress.Callback) -> Disk:
    """Return the disk of a virtual machine, built where it is not in the cache."""
    image = images.machine(suite, preinstalled, tell)

    def make(build: cachebuild.Build) -> None:
        images.in_namespace(
            build,
            _MAKE,
            layers=":".join(map(str, image.layers)),
            work=images.workspace(build),
            out=build.folder,
            size=_SIZE,
        )

    key = images.digest(_MAKE + "".join(map(str, image.layers)))
    title = f"disk of a Debian {suite} machine"
    folder = cachebuild.item(f"disk-{suite}-{key}", title, make, tell)
    archive = _archive_disk(image.archive, tell)
    return Disk(folder / "root.ext4", folder / "kernel", folder / "initrd", archive)


def file_system(folder: Path, label: str, image: Path) -> list[str]:
    """Return the command that makes an ext4 *image* of *folder*, with room to spare."""
    bytes_used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    size_mebibytes = 8 + int(bytes_used * 1.2 / 2**20)
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-L", label, "-d", str(folder)]
    return ["mke2fs", *options, str(image), f"{size_mebibytes}M"]


def _archive_disk(archive: Path, tell: progress.Callback) -> Path:
    def make(build: cachebuild.Build) -> None:
        build.run(file_system(archive, "lab-apt", build.folder / "apt.ext4"))

    name = f"apt-disk-{images.digest(archive.parent.name)}"
    return cachebuild.item(name, "disk of the package archive", make, tell) / "apt.ext4"
