"""An open channel to a machine: one ssh process, kept, with a program at its far end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from labkit.commands import clean_environment
from labkit.errors import LabError
from labkit.host import Host


class Channel:
    """Asks in bytes, answers in lines."""

    def __init__(self, host: Host, command: str) -> None:
        """command: what runs at the far end, for the user's shell there."""
        self._host = host
        self._process = subprocess.Popen(
            [*host.ssh_argv(), command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(),
        )

    def send(self, data: bytes) -> None:
        """Hand bytes to the far end."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def line(self) -> str:
        """Give the next line that the far end says."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            raise LabError(f"the channel to {self._host.name} ended")
        return said.decode().rstrip("\n")

    def close(self) -> None:
        """End it; what runs at the far end sees its input end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Shell(Channel):
    """A channel with a shell that waits for commands."""

    _END = "--end--"

    def __init__(self, host: Host) -> None:
        super().__init__(host, "exec sh")
        self.ask("true")

    def begin(self, command: str) -> None:
        """Have a command run; :meth:`end` waits for it."""
        self.send(f"({command}) 2>&1; echo {self._END} $?\n".encode())

    def end(self) -> list[str]:
        """Give the lines that it said. Raises: LabError where it failed."""
        said: list[str] = []
        while not (line := self.line()).startswith(self._END):
            said.append(line)
        if line.split()[1] != "0":
            raise LabError(f"over the channel: {' / '.join(said[-3:])}")
        return said

    def ask(self, command: str) -> list[str]:
        """Run a command; give its lines."""
        self.begin(command)
        return self.end()


def ask_all(shells: Sequence[Shell], commands: Sequence[str]) -> list[list[str]]:
    """Run a command on each, at the same time."""
    for shell, command in zip(shells, commands, strict=True):
        shell.begin(command)
    return [shell.end() for shell in shells]
