"""
One ``ssh`` a command, over one connection: what most people's tools come down to.

ControlMaster keeps the connection, so that a command costs a process and a round trip, no key
exchange. A file is compared on the machine and takes its place by rename.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchkit.machines import Wishes
from benchkit.workload import TEMPLATE, Wish
from labkit.commands import clean_environment
from labkit.errors import LabError
from labkit.host import Host
from warlock_agent import names
from warlock_agent.render import ManagedFile


class Commands:
    """See the module."""

    name = "commands"
    title = "one ssh a command, ControlMaster"
    slow = False

    def __init__(self) -> None:
        self._hosts: Sequence[Host] = ()
        self._wishes: Wishes = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def open(self, hosts: Sequence[Host]) -> None:
        """Connect; the masters stay until they are told to go."""
        self._hosts = hosts
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        for host in hosts:
            self._ssh(host, "true", options=("-M", "-o", "ControlPersist=600"))

    def wish(self, wishes: Wishes) -> None:
        """Nothing has to be written."""
        self._wishes = wishes

    def run(self) -> None:
        """All machines at once, each command after the other."""
        with ThreadPoolExecutor(len(self._hosts)) as pool:
            list(pool.map(self._converge, self._hosts))

    def look(self) -> None:
        """One command a machine."""
        with ThreadPoolExecutor(len(self._hosts)) as pool:
            list(pool.map(self._states, self._hosts))

    def close(self) -> None:
        """Tell the masters to go."""
        for host in self._hosts:
            self._ssh(host, "", options=("-O", "exit"))
        if self._folder is not None:
            self._folder.cleanup()

    def _states(self, host: Host) -> list[str]:
        units = self._wishes[host.name].units
        return self._ssh(host, f"systemctl is-active {' '.join(units)} || true").split()

    def _converge(self, host: Host) -> None:
        wished = self._wishes[host.name]
        self._ssh(host, f"mkdir -p {names.ENV_DIR}")
        unit_files = self._put(host, TEMPLATE)
        changed: list[str] = []
        for server in wished.servers:
            mode = f"{names.DIRECTORY_MODE:o}"
            self._ssh(host, f"install -d -o {server.user} -g {server.user} -m {mode} {server.path}")
            wrote = [file for file in server.plain_files if self._put(host, file)]
            unit_files |= any(file.unit_file for file in wrote)
            if wrote:
                changed.append(server.unit)
        self._units(host, wished, changed, unit_files)

    def _units(self, host: Host, wished: Wish, changed: Sequence[str], reload: bool) -> None:
        states = dict(zip(wished.units, self._states(host), strict=True))
        down = [unit for unit, state in states.items() if state != "active"]
        if down:  # reloads as well
            self._ssh(host, f"systemctl enable --quiet --now {' '.join(down)}")
        elif reload:
            self._ssh(host, "systemctl daemon-reload")
        old = [unit for unit in changed if unit not in down]
        if old:
            self._ssh(host, f"systemctl restart {' '.join(old)}")

    def _put(self, host: Host, file: ManagedFile) -> bool:
        """Write a file where it differs; whether it did."""
        path = shlex.quote(file.path)
        said = self._ssh(
            host,
            f"mkdir -p $(dirname {path}); cat >{path}.new; if cmp -s {path}.new {path}; "
            f"then rm {path}.new; else chmod {file.mode:o} {path}.new && mv {path}.new {path} "
            "&& echo changed; fi",
            file.content,
        )
        return said == "changed\n"

    def _ssh(self, host: Host, command: str, stdin: str = "", options: Sequence[str] = ()) -> str:
        assert self._folder is not None, "open comes first"
        control = f"ControlPath={Path(self._folder.name) / host.name}"
        argv = [*host.ssh_argv()]
        argv[1:1] = ["-o", control, *options]
        done = subprocess.run(
            [*argv, *([command] if command else [])],
            input=stdin,
            stdout=subprocess.PIPE,
            # A master that stays would keep a pipe open for ever.
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
            env=clean_environment(),
        )
        if done.returncode != 0:
            raise LabError(f"ssh {host.name} {command[:60]}: {done.returncode}")
        return done.stdout
