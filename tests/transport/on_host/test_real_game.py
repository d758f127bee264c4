"""Players of a real game on a real machine: directly, and through the machine where it is shut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from labkit.host import Host
from tests.transport.on_host.conftest import MakeLink, target_of
from warlock_agent.model import (
    Authority,
    DesiredGame,
    DesiredHost,
    DesiredInstance,
    DesiredPort,
    DesiredService,
)
from warlock_operator.errors import AgentFailed
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink
from warlock_operator.transport.players import PlayerQueries, Players

AUTHORITY = Authority("owner", 1, "holder", "host-uid")
PORT = 27960
BOTS = 3
WORDS = (
    "/usr/games/openarena-server +set dedicated 1 +set net_port ${PORT_GAME} +set sv_maxclients 8 "
    "+set bot_enable 1 +set bot_minplayers ${BOTS} +map oa_dm1"
)
GUID = "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61"
DESIRED = DesiredHost(
    "host-game",
    ("/opt",),
    (
        DesiredGame(
            GUID,
            "openarena",
            "OpenArena",
            (DesiredService("warlock-openarena", tuple(WORDS.split()), "SIGINT", 30),),
        ),
    ),
    (
        DesiredInstance(
            guid=GUID,
            instance_id="default",
            namespace="games",
            name="arena",
            uid="uid",
            generation=1,
            path="/opt/arena",
            ports=(DesiredPort("game", "UDP", PORT),),
            env=(("BOTS", str(BOTS)),),
        ),
    ),
)
SHUT = f"""
nft add table inet shut
nft add chain inet shut input '{{ type filter hook input priority 0; }}'
nft add rule inet shut input iif != lo udp dport {PORT} drop
"""


@pytest.fixture
def shut(game_machine: Host) -> Iterator[None]:
    """No datagram from outside reaches the game's port."""
    game_machine.run(["sh", "-ec", SHUT])
    yield
    game_machine.run(["nft", "delete", "table", "inet", "shut"])


async def started(link: HostLink) -> None:
    await link.open()
    async with asyncio.timeout(60):
        while True:
            report = await link.converge(AUTHORITY, DESIRED)
            assert report.refusals == ()
            if any(("UDP", PORT) in unit.ports for unit in report.observed.units):
                return


async def counted(address: str, link: HostLink | None) -> Players:
    """Ask until all bots have joined; they come one by one."""
    queries = PlayerQueries(Settings(query_timeout_seconds=2.0))
    async with asyncio.timeout(60):
        while True:
            found = await queries.query("Quake3", address, PORT, link)
            if found is not None and found.online >= BOTS:
                return found


async def test_players_are_asked_directly(game_machine: Host, make_link: MakeLink) -> None:
    link = make_link(target_of(game_machine))
    await started(link)

    found = await counted(game_machine.address, None)

    assert (found.online, found.max, len(found.names)) == (BOTS, 8, BOTS)
    assert all(found.names)


async def test_players_behind_a_firewall_are_asked_through_the_machine(
    game_machine: Host, make_link: MakeLink, shut: None
) -> None:
    link = make_link(target_of(game_machine))
    await started(link)
    alone = PlayerQueries(Settings(query_timeout_seconds=1.0))
    assert await alone.query("Quake3", game_machine.address, PORT) is None

    found = await counted(game_machine.address, link)

    assert (found.online, found.max, len(found.names)) == (BOTS, 8, BOTS)


async def test_a_port_of_nobody_is_not_asked_through_the_machine(
    game_machine: Host, make_link: MakeLink
) -> None:
    """Else whoever writes a Game could have the agent talk to any service of the machine."""
    link = make_link(target_of(game_machine))
    await started(link)
    with pytest.raises(AgentFailed, match="PortNotHeld"):
        await link.exchange("TCP", 22, b"", 1.0)
