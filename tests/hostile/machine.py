"""
A Game that tells what reached it: a script that writes down its arguments and environment.

Another that runs what a tenant says, as a game server does that was taken over.
"""

from __future__ import annotations

import base64
import io
import tarfile
from dataclasses import dataclass

from tests.e2e.world import API, Machine, Object

RECORDER = "/usr/local/bin/warlock-recorder"
_SCRIPT = """\
#!/bin/sh
cat /proc/$$/environ > "$HOME/environ"
cat /proc/$$/cmdline > "$HOME/cmdline"
exec sleep infinity
"""


@dataclass(frozen=True)
class Recorded:
    """What one instance's process was started with."""

    arguments: tuple[bytes, ...]
    environment: dict[bytes, bytes]


def place_recorder(machine: Machine) -> None:
    """Put the script where a game's program would be."""
    machine.host.run(["sh", "-c", f"cat > {RECORDER} && chmod 755 {RECORDER}"], stdin=_SCRIPT)


def recorded(machine: Machine, root: str = "/opt") -> dict[str, Recorded]:
    """Give what every instance beneath *root* has written down, by its directory's name."""
    packed = machine.shell(
        f"cd {root} && tar --ignore-failed-read -cf - */environ */cmdline 2>/dev/null | base64 -w0"
    )
    files: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed))) as archive:
        for member in archive:
            directory, _, name = member.name.partition("/")
            content = archive.extractfile(member)
            assert content is not None
            files.setdefault(directory, {})[name] = content.read()
    return {
        directory: Recorded(_fields(parts["cmdline"]), _pairs(parts["environ"]))
        for directory, parts in files.items()
        if len(parts) == 2
    }


def _fields(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[:-1].split(b"\0"))


def _pairs(data: bytes) -> dict[bytes, bytes]:
    return dict(each.partition(b"=")[::2] for each in _fields(data))


def game(
    name: str, guid: str, words: list[str], variables: list[Object], ports: bool = False
) -> Object:
    """Give a Game that installs nothing and runs *words*."""
    spec = {
        "guid": guid,
        "title": name,
        "install": {"none": {}},
        "services": [{"name": f"warlock-{name}", "exec": words}],
        "variables": variables,
        "ports": [{"name": "game", "protocol": "UDP"}] if ports else [],
    }
    return {"apiVersion": API, "kind": "Game", "metadata": {"name": name}, "spec": spec}
