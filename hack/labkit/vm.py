"""
A host as a virtual machine: its own kernel, so limits of memory, tasks and cpu are real.

Without KVM it is emulated: about ten times slower than a container, and it boots in 16 s.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from labkit import disks, network
from labkit.commands import attempt, run
from labkit.disks import Disk
from labkit.errors import LabError
from labkit.host import Host
from labkit.state import HostState, LabState

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MEMORY_MEBIBYTES = "512"


class VirtualMachine(Host):
    """A qemu host."""

    boot_seconds = 300.0

    def __init__(
        self, lab: LabState, state: HostState, lab_folder: Path, disk: Disk | None = None
    ) -> None:
        super().__init__(lab, state, lab_folder)
        self._disk = disk
        self._disk_file = self.folder / "disk"
        self._overlay = self.folder / "root.qcow2"
        self._seed = self.folder / "seed.ext4"

    def prepare(self) -> None:
        """Make key, disk overlay and seed disk; again is harmless."""
        assert self._disk, "prepared with its disk"
        self._make_key()
        if not (self.finished and all(Path(part).exists() for part in self._disk_parts())):
            self._overlay.unlink(missing_ok=True)
            parts = [self._disk.root, self._disk.kernel, self._disk.initrd, self._disk.archive]
            self._disk_file.write_text("".join(f"{part}\n" for part in parts))
        if not self._overlay.exists():
            backing = ("-b", self._disk_parts()[0], "-F", "raw")
            run("qemu-img", "create", "-q", "-f", "qcow2", *backing, self._overlay)
        self._make_seed()
        self._finish()

    def power_on(self, *, wait: bool = True) -> None:
        """Start the machine if it does not run."""
        if not self.running:
            self._group.remove()
            tap = network.plug_machine(self._lab.subnet, self.state.number)
            self._group.spawn(self._qemu(tap), self.folder / "qemu.log")
        if wait:
            self.wait_ready()

    def remove(self) -> None:
        """Power off, and remove network and folder."""
        self.power_off()
        network.unplug_machine(self._lab.subnet, self.state.number)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str = "",
        limit_seconds: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root, over ssh: there is no other way in."""
        command = [*self.ssh_argv(), "--", shlex.join(argv)]
        done = attempt(*command, stdin=stdin, limit_seconds=limit_seconds)
        return self._checked(done, argv, check)

    def _boot(self) -> str:
        try:
            return self.run(["cat", _BOOT_ID], check=False, limit_seconds=20.0).stdout.strip()
        except LabError:  # it went down under our hands
            return ""

    def _disk_parts(self) -> list[str]:
        """Return root disk, kernel, initrd and archive disk that this machine was made from."""
        try:
            return self._disk_file.read_text().splitlines()
        except FileNotFoundError as error:
            raise LabError(f"{self.name} was never finished: run hack/lab up again") from error

    def _make_seed(self) -> None:
        """Write what makes the machine different from its image onto a small disk."""
        folder = self.folder / "seed"
        files = folder / "files"
        for name, content in {
            files / "etc/hostname": f"{self.name}\n",
            files / "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n",
            files / "etc/machine-id": f"{self.machine_id}\n",
            files / "etc/ssh/ssh_host_ed25519_key": (self.folder / "host_key").read_text(),
            files / "etc/ssh/ssh_host_ed25519_key.pub": self.host_key + "\n",
            folder / "authorized_keys": self.client_key_path.with_suffix(".pub").read_text(),
            folder / "address": f"{self.address}/24\n",
        }.items():
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_text(content)
        self._seed.unlink(missing_ok=True)
        run(*disks.file_system(folder, "lab-seed", self._seed))

    def _qemu(self, tap: str) -> list[str]:
        _, kernel, initrd, archive = self._disk_parts()
        append = [
            *("root=/dev/vda", "rw", "console=ttyS0", "net.ifnames=0", "mitigations=off", "quiet"),
            *(f"systemd.machine_id={self.machine_id}", f"systemd.hostname={self.name}"),
        ]
        octets = (self._lab.subnet, self.state.number)
        mac = "52:54:00:57:{:02x}:{:02x}".format(*octets)
        read_only = "if=virtio,format=raw,readonly=on"
        return [
            *("qemu-system-x86_64", "-accel", _accelerator(), "-cpu", "max"),
            *("-m", _MEMORY_MEBIBYTES, "-nodefaults", "-display", "none", "-monitor", "none"),
            *("-serial", f"file:{self.folder / 'console.log'}", "-device", "virtio-rng-pci"),
            *("-kernel", kernel, "-initrd", initrd, "-append", " ".join(append)),
            *("-drive", f"file={self._overlay},if=virtio,format=qcow2,cache=unsafe"),
            *("-drive", f"file={self._seed},{read_only}"),
            *("-drive", f"file={archive},{read_only}"),
            *("-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=net,mac={mac},romfile="),
        ]


def _accelerator() -> str:
    """Return kvm where the processor offers it to us; the device alone proves nothing."""
    flags = Path("/proc/cpuinfo").read_text().split()
    offered = "vmx" in flags or "svm" in flags
    return "kvm" if offered and Path("/dev/kvm").exists() else "tcg"
