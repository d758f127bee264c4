"""Three machines with a real sshd, sudo and systemd, one a suite; taken down after the tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from labkit import lab
from labkit.host import Host
from tests.transport.conftest import Ends
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink, LinkTarget
from warlock_operator.transport.ssh import SshLinks

SUITES = ("bookworm", "trixie", "bullseye")

NOISE = """
echo "Welcome to $(hostname)"
printf 'a prompt without an end '
echo "warning: your password expires in 3 days" >&2
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[dict[str, Host]]:
    made = lab.up(f"transport-{os.getpid()}", hosts=0)
    try:
        found = {}
        for suite in SUITES:
            made.add_host(f"host-{suite}", suite=suite)
            found[suite] = made.hosts[f"host-{suite}"]
            for home in ("/root", "/home/warlock"):
                # In place of Debian's own, which ends at once where nobody types.
                found[suite].run(["sh", "-c", f"cat > {home}/.bashrc"], stdin=NOISE)
        yield found
    finally:
        made.down()


@pytest.fixture(scope="module")
def game_machine() -> Iterator[Host]:
    """A machine with the game in its image."""
    made = lab.up(f"players-{os.getpid()}", hosts=0)
    try:
        made.add_host("host-game", suite="bookworm", preinstalled=True)
        yield made.hosts["host-game"]
    finally:
        made.down()


@pytest.fixture(params=SUITES)
def machine(request: pytest.FixtureRequest, machines: dict[str, Host]) -> Host:
    return machines[request.param]


SETTINGS = Settings(ping_seconds=0.5, ping_timeout_seconds=2.0)


def target_of(machine: Host, user: str = "root") -> LinkTarget:
    return LinkTarget(
        machine.name,
        machine.address,
        machine.ssh_port,
        user,
        become="None" if user == "root" else "Sudo",
        host_keys=(machine.host_key,),
        private_key=machine.client_key_path.read_bytes(),
    )


MakeLink = Callable[[LinkTarget], HostLink]


@pytest.fixture
async def make_link(ends: Ends) -> AsyncIterator[MakeLink]:
    links: list[HostLink] = []
    factory = SshLinks(SETTINGS)

    def make(target: LinkTarget) -> HostLink:
        links.append(factory.connect(target, ends.frames.append, ends.lost.put_nowait))
        return links[-1]

    yield make
    for link in links:
        await link.close()


@pytest.fixture
async def ends() -> Ends:
    return Ends()
