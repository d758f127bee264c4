"""
What has to be true on a machine when a way is through: the same bytes, whoever writes them.

A template unit, and for each game server a directory of its own user's, an environment file, a
drop-in, a registration, the unit enabled and running. The files are those that the product writes,
sandbox included, so that no way starts lighter units than another. The game is ``sleep``: what is
measured is the way there. The users exist already, since no two ways make them alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from warlock_agent import names, render
from warlock_agent.model import DesiredGame, DesiredHost, DesiredInstance, DesiredService

GUID = "5b1d4c52-7a1e-4d6e-9d4f-62656e636821"
SERVICE = "warlock-bench"
ROOT = "/srv"
GAME = DesiredGame(
    GUID, "bench", "Benchmark", (DesiredService(SERVICE, ("/bin/sleep", "infinity")),)
)
TEMPLATE = render.template_file(GAME.services[0])


@dataclass(frozen=True)
class Server:
    """
    One game server as it should be.

    files: its own, the template is not among them. digest: what its process's environment shows.
    """

    instance: DesiredInstance
    user: str
    unit: str
    digest: str
    files: tuple[render.ManagedFile, ...]

    @property
    def path(self) -> str:
        """Its directory."""
        return self.instance.path

    @property
    def plain_files(self) -> tuple[render.ManagedFile, ...]:
        """Its files without the link that enables its unit."""
        return tuple(file for file in self.files if file.kind == "File")


@dataclass(frozen=True)
class Wish:
    """What one machine should carry."""

    servers: tuple[Server, ...]

    @property
    def units(self) -> list[str]:
        """The units' names, in the servers' order."""
        return [server.unit for server in self.servers]

    def desired(self, host: str) -> DesiredHost:
        """The same as the operator says it to the agent."""
        instances = tuple(server.instance for server in self.servers)
        return DesiredHost(host, (ROOT,), (GAME,), instances)


def wish(count: int, changed: Iterable[int] = (), revision: int = 2) -> Wish:
    """
    Give *count* game servers.

    Args:
        changed: numbers of those whose environment differs, so that they have to be restarted.
        revision: what stands in it; 1 is everybody else's.
    """
    others = set(changed)
    return Wish(tuple(server(n, revision if n in others else 1) for n in range(count)))


def server(number: int, revision: int = 1) -> Server:
    """Give one game server."""
    made = DesiredInstance(
        guid=GUID,
        instance_id=instance_id(number),
        namespace="bench",
        name=f"bench-{number}",
        uid=f"uid-{number}",
        generation=revision,
        path=f"{ROOT}/bench-{number}",
        env=(("REVISION", str(revision)),),
    )
    user = names.user_name(GUID, made.instance_id)
    digest = render.start_digest(made, GAME, user, "")
    files = render.managed_files(made, GAME, user, digest)
    own = tuple(file for file in files if file.path != TEMPLATE.path)
    return Server(made, user, names.unit_name(SERVICE, made.instance_id), digest, own)


def instance_id(number: int) -> str:
    """Give the id of a server; any lower-case UUID will do."""
    return f"62656e63-6821-4000-8000-{number:012x}"
