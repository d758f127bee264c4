"""
The one to beat: one Python program, sent through an open channel to an interpreter that waits.

What a good engineer would write in an afternoon for this one job: no connection to be made, no
interpreter to be started, one round trip, one reload, one start of all. It keeps no record, takes
no lock, syncs nothing and sees nothing afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchkit.channel import Channel
from benchkit.machines import Wishes
from benchkit.workload import TEMPLATE, Wish
from labkit.host import Host
from warlock_agent import names

_SOURCE = (Path(__file__).parent / "far/program.py").read_text()
# Reads a length, then that many bytes of program, and runs it.
_LOOP = (
    "import sys\n"
    "while size := sys.stdin.buffer.readline():\n"
    '    exec(sys.stdin.buffer.read(int(size)), {"__name__": "program"})\n'
)


class Program:
    """See the module."""

    name = "program"
    title = "one Python program through an open channel"
    slow = False

    def __init__(self) -> None:
        self._hosts: Sequence[Host] = ()
        self._channels: list[Channel] = []
        self._converge: list[bytes] = []
        self._look: list[bytes] = []

    def open(self, hosts: Sequence[Host]) -> None:
        """Start an interpreter on each machine, with what the program imports."""
        self._hosts = hosts
        self._channels = [Channel(host, f"exec python3 -I -S -c '{_LOOP}'") for host in hosts]
        warm = _sent("import os, pwd, subprocess\nprint(1, flush=True)")
        self._ask([warm] * len(self._channels))

    def wish(self, wishes: Wishes) -> None:
        """Write the programs."""
        chosen = [_plain(wishes[host.name]) for host in self._hosts]
        self._converge = [_sent(_program({**one, "do": "converge"})) for one in chosen]
        self._look = [_sent(_program({**one, "do": "look"})) for one in chosen]

    def run(self) -> None:
        """Send all, then wait for all."""
        self._ask(self._converge)

    def look(self) -> None:
        """Likewise, for the states."""
        self._ask(self._look)

    def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            channel.close()

    def _ask(self, programs: Sequence[bytes]) -> None:
        for channel, program in zip(self._channels, programs, strict=True):
            channel.send(program)
        for channel in self._channels:
            int(channel.line())


def _sent(program: str) -> bytes:
    data = program.encode()
    return f"{len(data)}\n".encode() + data


def _program(wished: dict[str, Any]) -> str:
    return _SOURCE.replace('globals().get("wish", {})', repr(json.loads(json.dumps(wished))))


def _plain(wished: Wish) -> dict[str, Any]:
    """Say a wish in plain values."""
    files = [["", TEMPLATE.path, TEMPLATE.content, TEMPLATE.mode, True]]
    for server in wished.servers:
        files += [
            [server.unit, file.path, file.content, file.mode, file.unit_file]
            for file in server.plain_files
        ]
    links = [[f.path, f.content] for s in wished.servers for f in s.files if f.kind == "Link"]
    owners = [[s.user, s.path, names.DIRECTORY_MODE] for s in wished.servers]
    return {"units": wished.units, "files": files, "links": links, "directories": owners}
