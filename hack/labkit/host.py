"""
A host of the lab, as its users see it: an address, keys, and a power switch.

``container.py`` and ``vm.py`` are the two kinds.
"""

from __future__ import annotations

import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from labkit import network
from labkit.cgroups import Group
from labkit.commands import attempt, run
from labkit.errors import LabError
from labkit.state import HostState, LabState

_POLL_SECONDS = 0.05
_ASK_AGAIN_SECONDS = 15.0


class Host(ABC):
    """One machine of a lab; stopped and started as often as one likes, its disk stays."""

    ssh_port = 22
    boot_seconds = 60.0  # limit, not expectation

    def __init__(self, lab: LabState, state: HostState, lab_folder: Path) -> None:
        self.state = state
        self.name = state.name
        self.machine_id = state.machine_id
        self.address = network.address(lab.subnet, state.number)
        self.client_key_path = lab_folder / "client_key"
        self.folder = lab_folder / "hosts" / state.name
        self._lab = lab
        self._group = Group(lab.name, f"host-{state.name}")

    @property
    def host_key(self) -> str:
        """The public host key, as ``ssh-ed25519 AAAA...`` (a known_hosts line without its host)."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def finished(self) -> bool:
        """Whether the host was prepared to the end at least once."""
        return (self.folder / "known_hosts").exists()

    @property
    def running(self) -> bool:
        """Whether the machine is powered on, booted or not."""
        return self._group.alive()

    @property
    def root(self) -> Path | None:
        """The root file system as seen from outside; None for a virtual machine."""
        return None

    @property
    def inside(self) -> Path | None:
        """The root file system as the machine's own processes see it; None where it can't be."""
        return None

    @abstractmethod
    def prepare(self) -> None:
        """Make the host's disk and keys while it is off; again is harmless."""

    @abstractmethod
    def power_on(self, *, wait: bool = True) -> None:
        """Start the machine if it is off; with *wait*, return when its sshd answers."""

    @abstractmethod
    def remove(self) -> None:
        """Power off and remove every trace but the cache."""

    @abstractmethod
    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str = "",
        limit_seconds: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root, past the machine's network where that is possible."""

    @abstractmethod
    def _boot(self) -> str:
        """Return what no two boots have in common; empty while there is nobody to ask."""

    def power_off(self) -> None:
        """Cut the power: everything ends at once, nothing is written any more."""
        self._group.kill()

    def shut_down(self) -> None:
        """Ask the machine to power off, and return when it has."""
        self._ask_until("poweroff", lambda: not self.running, "did not power off")
        self._group.kill()

    def reboot(self) -> None:
        """Ask the machine to reboot, and return when the new boot's sshd answers."""
        before = self._boot()
        self._ask_until("reboot", lambda: self._boot() not in ("", before), "did not reboot")
        self.wait_ready()

    def _ask_until(self, verb: str, done: Callable[[], bool], otherwise: str) -> None:
        """Ask systemd again where it did not listen: it may still be on its way up."""
        asked = time.monotonic() - 2 * _ASK_AGAIN_SECONDS

        def answered() -> bool:
            nonlocal asked
            if done():
                return True
            if time.monotonic() - asked > _ASK_AGAIN_SECONDS:
                asked = time.monotonic()
                with suppress(LabError):  # the connection may go down with the machine
                    self.run(["systemctl", verb], check=False, limit_seconds=_ASK_AGAIN_SECONDS)
            return False

        self._poll(answered, otherwise)

    def wait_ready(self) -> None:
        """Return when sshd greets; raises LabError with the console's place where it does not."""
        self._poll(self._greets, "does not answer")

    def ssh(
        self,
        command: str,
        *,
        user: str = "root",
        check: bool = True,
        stdin: str = "",
        limit_seconds: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command over ssh, with the lab's key and the pinned host key."""
        argv = [*self.ssh_argv(user), "--", command]
        return self._checked(attempt(*argv, stdin=stdin, limit_seconds=limit_seconds), argv, check)

    def ssh_argv(self, user: str = "root") -> list[str]:
        """Return the ssh command line up to the remote command."""
        options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        options += [f"UserKnownHostsFile={self.folder / 'known_hosts'}", "ConnectTimeout=10"]
        options += ["ServerAliveInterval=3", "ServerAliveCountMax=3"]
        options += [f"IdentityFile={self.client_key_path}", f"Port={self.ssh_port}"]
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", *words, f"{user}@{self.address}"]

    def unplug(self) -> None:
        """Pull the network cable: the machine runs on, nobody reaches it."""
        network.cable(self._lab.subnet, self.state.number, connected=False)

    def plug(self) -> None:
        """Put the network cable back."""
        network.cable(self._lab.subnet, self.state.number, connected=True)

    def describe(self) -> dict[str, Any]:
        """Return what a reader of the lab's JSON file wants to know."""
        return {
            "address": self.address,
            "ssh_port": self.ssh_port,
            "host_key": self.host_key,
            "client_key": str(self.client_key_path),
            "root": str(self.root) if self.root else None,
            "console_log": str(self.folder / "console.log"),
        }

    def _make_key(self) -> None:
        """Make the host key, unless it is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "host_key.pub").exists():
            make_key(self.folder / "host_key", f"root@{self.name}")

    def _finish(self) -> None:
        """Note the pinned key for ssh; the last thing that makes a host whole."""
        (self.folder / "known_hosts").write_text(f"{self.address} {self.host_key}\n")

    def _greets(self) -> bool:
        if not self.running:
            raise LabError(f"{self.name} went down at once: see {self.folder / 'console.log'}")
        try:
            with socket.create_connection((self.address, self.ssh_port), timeout=2.0) as peer:
                return peer.recv(4) == b"SSH-"
        except OSError:
            return False

    def _poll(self, done: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self.boot_seconds
        while not done():
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.name} {otherwise} within {self.boot_seconds:.0f} s: "
                    f"see {self.folder / 'console.log'}"
                )
            time.sleep(_POLL_SECONDS)

    def _checked(
        self, done: subprocess.CompletedProcess[str], argv: Sequence[str], check: bool
    ) -> subprocess.CompletedProcess[str]:
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-500:]
            raise LabError(f"on {self.name}: {argv[-1]!r} failed ({done.returncode}): {said}")
        return done


def make_key(file: Path, comment: str) -> None:
    """Make an ed25519 key pair; complete or absent, the public part comes last."""
    for leftover in (file, file.with_suffix(".pub")):
        leftover.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file)
