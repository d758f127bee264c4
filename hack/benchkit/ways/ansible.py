"""
ansible-core as its experts run it: pipelining, ControlPersist, 20 forks, no fact gathering.

Its connections are warm, its variables written and its interpreter's path given beforehand; units
are enabled and started by one command, and not by a module a unit.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchkit.machines import Wishes
from benchkit.ways.playbooks import plain
from labkit.commands import clean_environment, run
from labkit.errors import LabError
from labkit.host import Host

LIMIT_SECONDS = 1200.0
_PLAYBOOK = Path(__file__).parent / "far/playbook.yml"


class Ansible:
    """See the module."""

    name = "ansible"
    title = "ansible-core, pipelining, ControlPersist, 20 forks"
    slow = True

    def __init__(self, python: Path) -> None:
        """python: an interpreter that has Ansible."""
        self._python = python
        self._folder = Path()
        self._hosts: Sequence[Host] = ()

    def open(self, hosts: Sequence[Host]) -> None:
        """Write configuration and inventory, and warm the connections up."""
        self._hosts = hosts
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        (self._folder / "ansible.cfg").write_text(_CONFIGURATION.format(folder=self._folder))
        self._ansible("adhoc", "all", "-m", "ansible.builtin.ping")

    def wish(self, wishes: Wishes) -> None:
        """Write the inventory, with each machine's variables beside it."""
        lines = []
        for host in self._hosts:
            facts = {
                "ansible_host": host.address,
                "ansible_port": host.ssh_port,
                "ansible_user": "root",
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_private_key_file": str(host.client_key_path),
                "ansible_ssh_common_args": f"-o UserKnownHostsFile={host.folder / 'known_hosts'}",
            }
            lines.append(
                " ".join([host.name, *(f"{key}={json.dumps(v)}" for key, v in facts.items())])
            )
            folder = self._folder / "host_vars"
            folder.mkdir(exist_ok=True)
            if host.name in wishes:
                (folder / f"{host.name}.json").write_text(json.dumps(plain(wishes[host.name])))
        (self._folder / "hosts").write_text("\n".join(lines) + "\n")

    def run(self) -> None:
        """Play the playbook."""
        self._ansible("playbook", str(_PLAYBOOK))

    def look(self) -> None:
        """One ad-hoc command that asks for all states."""
        self._ansible("adhoc", "all", "-m", "command", "-a", "systemctl list-units warlock-*")

    def close(self) -> None:
        """Remove what was written; the connections end by themselves."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ansible(self, *words: str) -> None:
        if not (self._folder / "hosts").exists():
            self.wish({})
        environment = clean_environment(
            ANSIBLE_CONFIG=str(self._folder / "ansible.cfg"), LC_ALL="C.UTF-8"
        )
        said = run(
            self._python,
            *("-m", "ansible", *words),
            env=environment,
            limit_seconds=LIMIT_SECONDS,
        )
        if "FAILED" in said or "UNREACHABLE" in said:
            raise LabError(f"ansible: {said[-400:]}")


_CONFIGURATION = """
[defaults]
inventory = {folder}/hosts
home = {folder}/home
forks = 20
gathering = explicit
retry_files_enabled = false
nocows = true
[connection]
pipelining = true
[ssh_connection]
pipelining = true
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=120 -o StrictHostKeyChecking=yes
control_path_dir = {folder}/cp
"""
