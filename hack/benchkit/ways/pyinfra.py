"""pyinfra as its users run it: one deploy, all machines at once; it connects each time."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchkit.machines import Wishes
from benchkit.ways.playbooks import plain
from labkit.commands import run
from labkit.host import Host

LIMIT_SECONDS = 1200.0
_DEPLOY = Path(__file__).parent / "far/deploy.py"


class Pyinfra:
    """See the module."""

    name = "pyinfra"
    title = "pyinfra"
    slow = True

    def __init__(self, python: Path) -> None:
        """python: an interpreter that has pyinfra."""
        self._python = python
        self._folder = Path()
        self._hosts: Sequence[Host] = ()

    def open(self, hosts: Sequence[Host]) -> None:
        """Write the inventory."""
        self._hosts = hosts
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        shutil.copy(_DEPLOY, self._folder)
        entries = [
            (
                host.address,
                {
                    "ssh_user": "root",
                    "ssh_port": host.ssh_port,
                    "ssh_key": str(host.client_key_path),
                    "ssh_known_hosts_file": str(host.folder / "known_hosts"),
                    "ssh_strict_host_key_checking": "yes",
                    "wish": str(self._folder / f"{host.name}.json"),
                },
            )
            for host in hosts
        ]
        (self._folder / "inventory.py").write_text(f"hosts = {entries!r}\n")

    def wish(self, wishes: Wishes) -> None:
        """Write each machine's data."""
        for host in self._hosts:
            text = json.dumps(plain(wishes[host.name]))
            (self._folder / f"{host.name}.json").write_text(text)

    def run(self) -> None:
        """Run the deploy."""
        self._pyinfra("deploy.py")

    def look(self) -> None:
        """Ask for its fact about units."""
        self._pyinfra("fact", "systemd.SystemdStatus")

    def close(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _pyinfra(self, *words: str) -> None:
        argv = ("-m", "pyinfra", "--chdir", str(self._folder), "-y", "inventory.py", *words)
        run(self._python, *argv, limit_seconds=LIMIT_SECONDS)
