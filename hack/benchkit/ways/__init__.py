"""Who makes machines as wished: the agent, the floor below everybody, and the rivals."""

from __future__ import annotations

from pathlib import Path

from benchkit.ways.agent import Agent
from benchkit.ways.ansible import Ansible
from benchkit.ways.bare import Bare
from benchkit.ways.commands import Commands
from benchkit.ways.program import Program
from benchkit.ways.pyinfra import Pyinfra
from benchkit.ways.script import Script
from benchkit.ways.way import Way


def all_ways(python: Path) -> list[Way]:
    """Give every way, ours first; *python* has Ansible and pyinfra."""
    return [
        Agent(),
        Bare(),
        Program(),
        Script(),
        Commands(),
        Pyinfra(python),
        Ansible(python),
    ]
