"""Keys, servers and links, each taken down after its test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncssh
import pytest

from tests.transport.agents import OBEDIENT, odd_agent
from tests.transport.sshd import USER, Sshd
from warlock_operator.errors import OperatorError
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink, LinkTarget, Pushed
from warlock_operator.transport.ssh import SshLinks
from warlock_operator.transport.zipapp import Archive

SETTINGS = Settings(
    connect_timeout_seconds=5.0,
    agent_start_timeout_seconds=10.0,
    request_timeout_seconds=10.0,
    ping_seconds=0.5,
    ping_timeout_seconds=2.0,
    agent_silence_seconds=5.0,
    close_timeout_seconds=0.5,
)


def line_of(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


@pytest.fixture(scope="session")
def client_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(scope="session")
def host_keys() -> dict[str, asyncssh.SSHKey]:
    kinds = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
    return {kind: asyncssh.generate_private_key(kind) for kind in kinds}


@pytest.fixture
async def sshd(
    tmp_path: Path, client_key: asyncssh.SSHKey, host_keys: dict[str, asyncssh.SSHKey]
) -> AsyncIterator[Sshd]:
    home = tmp_path / "home"
    home.mkdir()
    server = Sshd(home, list(host_keys.values()), client_key)
    await server.start()
    yield server
    await server.stop()


@dataclass
class Ends:
    """What a link told of itself."""

    frames: list[Pushed] = field(default_factory=list)
    lost: asyncio.Queue[OperatorError] = field(default_factory=asyncio.Queue)


@dataclass
class Host:
    """A server and how to reach it."""

    sshd: Sshd
    target: LinkTarget
    archive: Archive
    settings: Settings = SETTINGS
    ends: Ends = field(default_factory=Ends)
    links: list[HostLink] = field(default_factory=list)

    @property
    def agent_dir(self) -> Path:
        return Path(self.target.agent_dir)

    def retarget(self, **changes: object) -> None:
        self.target = replace(self.target, **changes)  # type: ignore[arg-type]

    def link(self) -> HostLink:
        factory = SshLinks(self.settings, self.archive)
        link = factory.connect(self.target, self.ends.frames.append, self.ends.lost.put_nowait)
        self.links.append(link)
        return link

    async def opened(self) -> HostLink:
        link = self.link()
        await link.open()
        return link


@pytest.fixture
async def host(
    tmp_path: Path, sshd: Sshd, client_key: asyncssh.SSHKey, host_keys: dict[str, asyncssh.SSHKey]
) -> AsyncIterator[Host]:
    """A host that pins its Ed25519 key and runs an agent that answers."""
    target = LinkTarget(
        "host-a",
        "127.0.0.1",
        sshd.port,
        USER,
        host_keys=(line_of(host_keys["ssh-ed25519"]),),
        private_key=client_key.export_private_key(),
        agent_dir=str(tmp_path / "state" / "agent"),
    )
    made = Host(sshd, target, odd_agent(tmp_path / "odd", OBEDIENT))
    yield made
    for link in made.links:
        await link.close()


Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a fact is so; ten seconds at most."""

    async def wait(fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not fact():  # noqa: ASYNC110  (of another process: there is no event)
                await asyncio.sleep(0.01)

    return wait
