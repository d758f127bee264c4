"""The floor: the files are there already, and systemd alone is asked, over an open channel."""

from __future__ import annotations

from collections.abc import Sequence

from benchkit import machines
from benchkit.channel import Shell, ask_all
from benchkit.machines import Wishes
from labkit.host import Host


class Bare:
    """``daemon-reload`` and one ``start`` of all units; nobody can be faster."""

    name = "bare"
    title = "bare systemd: daemon-reload and one start, over an open channel"
    slow = False

    def __init__(self) -> None:
        self._hosts: Sequence[Host] = ()
        self._shells: list[Shell] = []
        self._units: list[str] = []

    def open(self, hosts: Sequence[Host]) -> None:
        """Start a shell on each machine."""
        self._hosts = hosts
        self._shells = [Shell(host) for host in hosts]

    def wish(self, wishes: Wishes) -> None:
        """Put the files there; that is not timed."""
        machines.lay_files(self._hosts, wishes)
        self._units = [" ".join(wishes[host.name].units) for host in self._hosts]

    def run(self) -> None:
        """Reload and start."""
        commands = [f"systemctl daemon-reload && systemctl start {u}" for u in self._units]
        ask_all(self._shells, commands)

    def look(self) -> None:
        """Ask once for the states of all."""
        ask_all(self._shells, [f"systemctl is-active {units}" for units in self._units])

    def close(self) -> None:
        """Hang up."""
        for shell in self._shells:
            shell.close()
