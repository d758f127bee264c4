"""Who is bound where: what the kernel's tables say, and real sockets of this process."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import sockdiag
from warlock_agent.model import BoundSocket
from warlock_agent.sockets import (
    MAX_SOCKETS,
    SocketTable,
    TableEntry,
    bound_ports,
    bounded,
    parse_table,
)

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
_REST = "00000000:00000000 00:00000000 00000000     0        0 {inode} 2 0 0"


def _line(address: str, state: str, inode: int) -> str:
    return f"   0: {address} 00000000:0000 {state} {_REST.format(inode=inode)}"


def test_a_listening_tcp_socket_is_told_from_a_connection() -> None:
    text = "\n".join([_HEAD, _line("0100007F:1F90", "0A", 5), _line("0100007F:1F91", "01", 6)])
    assert parse_table(text, "TCP") == [TableEntry("TCP", "127.0.0.1", 8080, 5)]


def test_every_udp_socket_with_a_port_is_bound() -> None:
    lines = [_line("00000000:6D38", "07", 5), _line("0100007F:0035", "01", 6)]
    text = "\n".join([_HEAD, *lines, _line("00000000:0000", "07", 7)])
    assert [(e.address, e.port) for e in parse_table(text, "UDP")] == [
        ("0.0.0.0", 27960),
        ("127.0.0.1", 53),
    ]


def test_an_ipv6_address_is_four_words_in_the_machine_s_order() -> None:
    text = "\n".join([_HEAD, _line("00000000000000000000000001000000:6D38", "07", 5)])
    assert parse_table(text, "UDP")[0].address == "::1"


@given(st.text(max_size=300), st.sampled_from(["UDP", "TCP"]))
def test_any_table_is_read(text: str, protocol: str) -> None:
    assert isinstance(parse_table(f"{_HEAD}\n{text}", protocol), list)


def test_a_truncated_table_is_read_up_to_its_end() -> None:
    text = "\n".join([_HEAD, *(_line("00000000:6D38", "07", i) for i in range(1, 4))])
    for length in range(len(text)):
        assert len(parse_table(text[:length], "UDP")) <= 3


@pytest.fixture(params=["netlink", "files"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> SocketTable:
    if request.param == "netlink":
        return SocketTable()
    (tmp_path / "proc").symlink_to("/proc")
    return SocketTable(str(tmp_path / "proc"))


def _ours(table: SocketTable, port: int) -> list[BoundSocket]:
    return [one for one in table.read() if one.port == port]


@pytest.mark.parametrize(
    ("family", "address", "shown"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::", "::"),
    ],
)
def test_a_bound_udp_socket_is_found_with_its_process(
    table: SocketTable, family: socket.AddressFamily, address: str, shown: str
) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind((address, 0))
        port = bound.getsockname()[1]
        comm = Path("/proc/self/comm").read_text().strip()
        (found,) = _ours(table, port)
        assert (found.protocol, found.address, found.pid) == ("UDP", shown, os.getpid())
        assert found.process == comm
        assert bound_ports(table.read())["UDP", port] == found
    assert _ours(table, port) == []


def test_a_tcp_socket_counts_once_it_listens(table: SocketTable) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert _ours(table, port) == []
        bound.listen()
        assert [(one.protocol, one.pid) for one in _ours(table, port)] == [("TCP", os.getpid())]


def test_a_socket_that_changed_hands_is_its_new_holder_s(table: SocketTable) -> None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    assert [one.pid for one in _ours(table, port)] == [os.getpid()]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        bound.close()
        assert [one.pid for one in _ours(table, port)] == [child]
    finally:
        os.close(writer)
        os.waitpid(child, 0)
        os.close(reader)
    assert _ours(table, port) == []


def test_a_socket_whose_process_ends_as_we_look_is_nobody_s(
    table: SocketTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    look = os.listdir

    def ends(path: str) -> list[str]:
        bound.close()
        return look(path)

    monkeypatch.setattr(os, "listdir", ends)
    assert _ours(table, port) == []


def test_the_kernel_s_answer_and_its_files_say_the_same() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        inode = Path(f"/proc/self/fd/{bound.fileno()}").stat().st_ino
        assert ("127.0.0.1", port, inode) in sockdiag.rows("UDP", socket.AF_INET)
        entries = parse_table(Path("/proc/net/udp").read_text(), "UDP")
        assert TableEntry("UDP", "127.0.0.1", port, inode) in entries


def _bound(number: int, address: str, unit: str) -> BoundSocket:
    return BoundSocket("UDP", address, number, 7, "game", unit)


def test_of_very_many_sockets_each_port_and_unit_is_told() -> None:
    """A program may bind a port on each of the 16 million addresses that begin with 127."""
    ports = range(1, 101)
    flood = [
        _bound(p, f"127.0.{n // 250}.{n % 250}", "a.service") for p in ports for n in range(500)
    ]
    game = _bound(50, "127.9.9.9", "b.service")
    everything = sorted([*flood, game], key=lambda one: (one.port, one.address))
    assert bounded(everything[:MAX_SOCKETS]) == tuple(everything[:MAX_SOCKETS])
    told = bounded(everything)
    assert [one.port for one in told if one.unit == "a.service"] == list(ports)
    assert game in told
    assert told == tuple(sorted(told, key=lambda one: (one.port, one.address)))


def test_of_very_many_ports_each_is_told_once() -> None:
    flood = [_bound(p, "127.0.0.1", f"{unit}.service") for p in range(1, 30_001) for unit in "ab"]
    told = bounded(flood)
    assert [one.port for one in told] == list(range(1, 30_001))
