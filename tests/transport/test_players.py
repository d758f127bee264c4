"""Players by opengsq, from small servers that speak the protocols; what fails is None."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opengsq import protocols

from tests.transport.test_fixture import LEADER
from tests.unit.agent.hosts import host, instance
from warlock_operator.api.v1alpha1.query import QueryProtocol
from warlock_operator.errors import HostUnreachable
from warlock_operator.settings import Settings
from warlock_operator.transport import queries, relay
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.transport.link import HostLink, LinkTarget
from warlock_operator.transport.players import NO_PROTOCOL, PlayerQueries, ask
from warlock_operator.transport.queries import QUERIES, Players

LOCAL = "127.0.0.1"
SETTINGS = Settings(query_timeout_seconds=1.0)
Answer = Callable[[bytes], list[bytes]]


class Game(asyncio.DatagramProtocol):
    """A game's query port: each datagram is answered by a table or a function."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        for one in self.answer(data):
            self.transport.sendto(one, addr)


@asynccontextmanager
async def playing(answer: Answer) -> AsyncIterator[tuple[Game, int]]:
    loop = asyncio.get_running_loop()
    transport, game = await loop.create_datagram_endpoint(
        lambda: Game(answer), local_addr=(LOCAL, 0)
    )
    yield game, transport.get_extra_info("sockname")[1]
    transport.close()


@asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(handle, LOCAL, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def quake3(data: bytes) -> list[bytes]:
    assert data.startswith(b"\xff\xff\xff\xffgetstatus")
    players = b'0 0 "^1Sarge"\n5 48 "Gr\x1bunt"\n'
    return [b"\xff\xff\xff\xffstatusResponse\n\\sv_maxclients\\16\\mapname\\dm1\n" + players]


def source(data: bytes) -> list[bytes]:
    """A2S: information at once, players only for a challenge, as two pieces."""
    if data[4:5] == b"T":
        info = b"I\x11Name\0map\0folder\0game\0" + struct.pack("<H", 10)
        return [b"\xff\xff\xff\xff" + info + bytes([2, 24, 0]) + b"dl\0\0" + b"1.0\0"]
    if data[5:] == b"\xff\xff\xff\xff":
        return [b"\xff\xff\xff\xffA\x01\x02\x03\x04"]
    assert data[5:] == b"\x01\x02\x03\x04"
    people = b"D\x02" + b"".join(
        b"\0" + name + b"\0" + struct.pack("<lf", 1, 2.0) for name in (b"Ann", b"Bob")
    )
    whole = b"\xff\xff\xff\xff" + people
    cut = len(whole) // 2
    head = b"\xfe\xff\xff\xff" + struct.pack("<l", 7)
    return [
        head + bytes([2, 0]) + struct.pack("<H", 1248) + whole[:cut],
        head + bytes([2, 1]) + struct.pack("<H", 1248) + whole[cut:],
    ]


def samp(data: bytes) -> list[bytes]:
    """Numbers, and no names: as servers of over a hundred players do."""
    if data[10:] != b"i":
        return []
    text = struct.pack("<l", 4) + b"Name"
    return [data[:11] + b"\0" + struct.pack("<HH", 120, 200) + text * 3]


def gamespy1(data: bytes) -> list[bytes]:
    return [
        b"\\numplayers\\1\\maxplayers\\8\\player_0\\Ann\\queryid\\7.1\\final\\",
    ]


def raknet(data: bytes) -> list[bytes]:
    text = b"MCPE;Hi;800;1.21;3;20;1;World;Survival;1;19132;19133;"
    return [b"\x1c" + data[1:9] + b"\0" * 8 + data[9:25] + struct.pack(">H", len(text)) + text]


async def minecraft(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    sample = [{"name": "Ann", "id": "1"}]
    status = {"players": {"online": 1, "max": 20, "sample": sample}, "description": "hi"}
    text = json.dumps(status).encode()
    body = b"\0" + bytes([len(text)]) + text
    assert len(text) < 128
    writer.write(bytes([len(body)]) + body[:20])
    await writer.drain()
    writer.write(body[20:])
    writer.close()


async def five_m(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    asked: object = {"clients": 1, "sv_maxclients": "32"}
    if b"players.json" in request:
        asked = [{"name": "Ann", "id": 1}]
    body = json.dumps(asked).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("protocol", "answer", "players"),
    [
        ("Quake3", quake3, Players(2, 16, ("Sarge", "Grunt"))),
        ("Source", source, Players(2, 24, ("Ann", "Bob"))),
        ("Samp", samp, Players(120, 200)),
        ("GameSpy1", gamespy1, Players(1, 8, ("Ann",))),
        ("RakNet", raknet, Players(3, 20)),
    ],
)
@pytest.mark.parametrize("by_host", [False, True])
async def test_a_game_that_answers_datagrams_tells_its_players(
    protocol: str, answer: Answer, players: Players, by_host: bool
) -> None:
    async with playing(answer) as (_, port):

        async def through(payload: bytes) -> tuple[bytes, ...]:
            return tuple(answer(payload))

        found = await ask(protocol, LOCAL, port, through if by_host else None, 1.0)
    assert found == players


@pytest.mark.parametrize(
    ("protocol", "handle", "players"),
    [
        ("Minecraft", minecraft, Players(1, 20, ("Ann",))),
        ("FiveM", five_m, Players(1, 32, ("Ann",))),
    ],
)
@pytest.mark.parametrize("by_host", [False, True])
async def test_a_game_that_answers_connections_tells_its_players(
    protocol: str,
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    players: Players,
    by_host: bool,
) -> None:
    async with serving(handle) as port:

        async def through(payload: bytes) -> tuple[bytes, ...]:
            reader, writer = await asyncio.open_connection(LOCAL, port)
            writer.write(payload)
            found = await reader.read()
            writer.close()
            return (found,)

        found = await ask(protocol, LOCAL, port, through if by_host else None, 2.0)
    assert found == players


def test_the_api_names_exactly_the_protocols_that_can_be_asked() -> None:
    assert {one.value for one in QueryProtocol} == {*QUERIES, NO_PROTOCOL}


@pytest.mark.parametrize("protocol", QUERIES)
def test_every_protocol_has_the_class_and_the_methods_that_the_table_says(protocol: str) -> None:
    how, cls = QUERIES[protocol], getattr(protocols, protocol)
    assert cls.__module__ == f"opengsq.protocols.{how.module}"
    for method in filter(None, (how.ask, how.ask_names)):
        assert inspect.iscoroutinefunction(getattr(cls, method))


@pytest.mark.parametrize("protocol", QUERIES)
async def test_rubbish_from_the_game_makes_its_players_unknown(protocol: str) -> None:
    async def rubbish(payload: bytes) -> tuple[bytes, ...]:
        return (b"\xff\xff\xff\xffstatusResponse\n\\x", bytes(range(256)), b"{}", payload)

    assert await ask(protocol, LOCAL, 9, rubbish, 0.3) is None


@pytest.mark.parametrize("protocol", QUERIES)
async def test_a_silent_game_makes_its_players_unknown_in_time(protocol: str) -> None:
    async with playing(lambda data: []) as (_, port):
        started = asyncio.get_running_loop().time()
        assert await ask(protocol, LOCAL, port, None, 0.1) is None
        assert asyncio.get_running_loop().time() - started < 5


async def test_a_port_that_refuses_is_given_up_at_once() -> None:
    async with playing(lambda data: []) as (_, port):
        pass  # free again
    started = asyncio.get_running_loop().time()
    assert await ask("Quake3", LOCAL, port, None, 30.0) is None
    assert asyncio.get_running_loop().time() - started < 10


async def test_two_queries_of_a_protocol_with_a_port_of_its_own_do_not_collide() -> None:
    info = b"\xff\xff\xff\xffinfoResponse\n\\clients\\3\\sv_maxclients\\32"
    async with playing(lambda data: [info]) as (_, port):
        found = await asyncio.gather(*(ask("CoD4", LOCAL, port, None, 2.0) for _ in range(4)))
    assert found == [Players(3, 32)] * 4


@pytest.mark.parametrize("by_host", [False, True])
async def test_an_endless_answer_is_cut_off_before_the_parser(by_host: bool) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(b"x" * 65536)
                await writer.drain()
        writer.close()

    async def through(payload: bytes) -> tuple[bytes, ...]:
        return (b"x" * 65536,) * 1000

    async with (
        serving(flood) as port,
        relay.tcp(LOCAL, port, through if by_host else None) as opened,
    ):
        reader, writer = await asyncio.open_connection(relay.LOOPBACK, opened.port)
        writer.write(b"?")
        got = 0
        async with asyncio.timeout(10):
            while data := await reader.read(65536):
                got += len(data)
        writer.close()
        with pytest.raises(relay.Unanswered, match="longer than"):
            await opened.failed()
    assert 0 < got <= relay.ANSWER_BYTES


async def test_endless_datagrams_are_cut_off_before_the_parser() -> None:
    piece = b"x" * 8192

    async def through(payload: bytes) -> tuple[bytes, ...]:
        return (piece,) * 1000 + (b"end",)

    async with relay.udp(LOCAL, 9, through) as opened:
        asker, game = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Game(lambda data: []), remote_addr=(relay.LOOPBACK, opened.port)
        )
        asker.sendto(b"?")
        with pytest.raises(relay.Unanswered, match="longer than"):
            async with asyncio.timeout(10):
                await opened.failed()
        asker.close()
    assert sum(map(len, game.asked)) <= relay.ANSWER_BYTES


async def test_a_compressed_answer_never_reaches_the_parser() -> None:
    bomb = b"\xfe\xff\xff\xff\x07\0\0\x80" + b"BZh9"
    assert relay.suspicious(bomb)
    assert not relay.suspicious(b"\xfe\xff\xff\xff\x07\0\0\0" + b"BZh9")
    got = asyncio.Event()

    def receive(data: bytes) -> list[bytes]:
        got.set()
        return []

    async with (
        playing(lambda data: [bomb, b"plain"]) as (_, port),
        relay.udp(LOCAL, port, None) as opened,
    ):
        asker, game = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Game(receive), remote_addr=(relay.LOOPBACK, opened.port)
        )
        asker.sendto(b"?")
        async with asyncio.timeout(5):
            await got.wait()
        asker.close()
    assert game.asked == [b"plain"]


# --- which way ------------------------------------------------------------------------------


@asynccontextmanager
async def linked(port: int) -> AsyncIterator[HostLink]:
    """Give a link to a machine in memory on which a game runs at *port*; none runs on this one."""
    desired = host(instance(number=port))
    links = FixtureLinks(SETTINGS)
    target = LinkTarget("host-a", LOCAL, trust_first_use=True)
    made = links.connect(target, lambda frame: None, lambda error: None)
    await made.open()
    await made.converge(LEADER, desired)
    await asyncio.sleep(0)  # the install ends
    report = await made.converge(LEADER, desired)
    assert [unit.ports for unit in report.observed.units] == [(("UDP", port),)]
    yield made
    await made.close()


async def test_what_can_not_be_reached_from_outside_is_asked_through_the_host() -> None:
    players = PlayerQueries(SETTINGS)
    async with playing(lambda data: []) as (_, port), linked(port) as link:
        found = await players.query("Quake3", LOCAL, port, link)
        assert found == Players(2, 8, ("Sarge", "Grunt"))
        assert await players.query("Quake3", LOCAL, port) is None


async def test_the_way_through_the_host_is_tried_first_once_it_has_worked() -> None:
    players = PlayerQueries(SETTINGS)
    async with playing(lambda data: []) as (silent, port), linked(port) as link:
        before = link.counters.requests
        for _ in range(3):
            assert await players.query("Quake3", LOCAL, port, link) is not None
        assert link.counters.requests == before + 3
        assert len(silent.asked) == 1


async def test_the_host_is_not_asked_where_the_direct_way_works() -> None:
    async with playing(quake3) as (game, port), linked(port) as link:
        before = link.counters.requests
        assert await PlayerQueries(SETTINGS).query("Quake3", LOCAL, port, link) is not None
        assert link.counters.requests == before
        assert len(game.asked) == 1


async def test_a_host_that_answers_no_more_is_asked_directly_again() -> None:
    players = PlayerQueries(SETTINGS)
    async with playing(lambda data: []) as (game, port), linked(port) as link:
        assert await players.query("Quake3", LOCAL, port, link) is not None
        await link.close()
        game.answer = quake3
        assert await players.query("Quake3", LOCAL, port, link) == Players(
            2, 16, ("Sarge", "Grunt")
        )


async def test_a_lost_link_makes_players_unknown_and_raises_nothing() -> None:
    async with playing(lambda data: []) as (_, port), linked(port) as link:
        await link.close()
        with pytest.raises(HostUnreachable):
            await link.exchange("UDP", port, b"?", 1.0)
        assert await PlayerQueries(SETTINGS).query("Quake3", LOCAL, port, link) is None


async def test_an_unknown_protocol_and_none_are_never_asked() -> None:
    players = PlayerQueries(SETTINGS)
    assert await players.query(NO_PROTOCOL, LOCAL, 1) is None
    assert await players.query("Telnet", LOCAL, 1) is None


async def test_names_are_bounded() -> None:
    many = b"".join(b'0 1 "player %d"\n' % one for one in range(80)) + b'0 1 "%s"\n' % (b"x" * 99)
    status = b"\xff\xff\xff\xffstatusResponse\n\\sv_maxclients\\100\n" + many
    async with playing(lambda data: [status]) as (_, port):
        found = await PlayerQueries(SETTINGS).query("Quake3", LOCAL, port)
        everything = await ask("Quake3", LOCAL, port, None, 1.0)
    assert found is not None
    assert everything is not None
    assert (found.online, found.max, len(found.names)) == (81, 100, 64)
    assert everything.names[-1] == "x" * 64


@given(st.one_of(st.text(), st.none(), st.integers()))
@settings(max_examples=50)
def test_a_name_is_printable_and_short_whatever_it_was(name: object) -> None:
    made = queries._made(1, 2, [{"name": name}])
    assert all(one.isprintable() and 0 < len(one) <= 64 for one in made.names)


@given(st.one_of(st.integers(), st.text(max_size=5), st.none(), st.floats(allow_nan=True)))
@settings(max_examples=50)
def test_a_number_of_players_is_one_or_there_is_no_answer(online: object) -> None:
    try:
        made = queries._made(online, online)
    except queries.NotUnderstood:
        return
    assert 0 <= made.online <= queries.COUNT_LIMIT
