"""The simulated machines from outside: start their processes, ask them, end them."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from labkit import paths
from labkit.cgroups import Group
from labkit.commands import clean_environment
from labkit.errors import LabError
from scalekit.proc import cpu_seconds

_START_SECONDS = 20.0
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 30.0  # its event loop may be at a thousand key exchanges


@dataclass(frozen=True)
class Told:
    """What all processes together have counted; see :class:`scalekit.agent.Tally`."""

    frames: Counter[str]
    greeted: int
    answered: int
    answered_at: float
    bytes_in: int
    bytes_out: int
    machines: int
    passes: int
    changes: int
    running: int
    cpu_seconds: float


class Machines:
    """Processes that hold the machines of one lab, one port each."""

    def __init__(self, lab_name: str, folder: Path, ports: tuple[int, ...]) -> None:
        self.folder = folder
        self.ports = ports
        self._group = Group(lab_name, "machines")

    @property
    def host_key(self) -> str:
        """The key that they all show, as a line to pin."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def client_key(self) -> str:
        """The private key that lets one in."""
        return (self.folder / "client_key").read_text()

    def start(self) -> None:
        """Start the processes, and return when all listen; those that run stay as they are."""
        if self._group.alive():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for name in ("host_key", "client_key"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(self.folder / name)
            key.write_public_key(self.folder / f"{name}.pub")
        environment = {
            **clean_environment(),
            "PYTHONPATH": f"{paths.REPOSITORY / 'hack'}:{paths.REPOSITORY / 'operator'}",
        }
        python = paths.REPOSITORY / ".venv/bin/python"
        for port in self.ports:
            self._socket(port).unlink(missing_ok=True)
            words = ["-P", "-m", "scalekit.serve", f"--port={port}", f"--folder={self.folder}"]
            self._group.spawn([python, *words], self._log(port), environment)
        for port in self.ports:
            self._wait(port)

    def stop(self) -> None:
        """End the processes, and with them all machines."""
        self._group.kill()

    def reset(self) -> None:
        """Let them count from nothing."""
        for port in self.ports:
            self._ask(port, "reset")

    def told(self) -> Told:
        """Ask what they have counted."""
        each = [self._ask(port, "tally") for port in self.ports]
        frames: Counter[str] = Counter()
        for one in each:
            frames.update(one.pop("frames"))
        answered_at = max(one.pop("answered_at") for one in each)
        sums = {key: sum(one[key] for one in each) for key in each[0]}
        return Told(frames=frames, answered_at=answered_at, cpu_seconds=self.cpu_seconds, **sums)

    @property
    def cpu_seconds(self) -> float:
        """What the processes have used so far."""
        return sum(cpu_seconds(pid) for pid in self._group.processes())

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with suppress(OSError, ValueError):
                self._ask(port, "tally")
                return
            if time.monotonic() > deadline or not self._group.alive():
                raise LabError(f"the machines do not come up: see {self._log(port)}")
            time.sleep(_POLL_SECONDS)

    def _ask(self, port: int, word: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_ANSWER_SECONDS)
            line.connect(str(self._socket(port)))
            line.sendall(f"{word}\n".encode())
            with line.makefile("rb") as answer:
                found: dict[str, Any] = json.loads(answer.readline())
                return found

    def _socket(self, port: int) -> Path:
        return self.folder / f"{port}.socket"

    def _log(self, port: int) -> Path:
        return self.folder / f"{port}.log"
