"""
What a machine says of itself may be anybody's text: near misses of every format that is parsed.

Plain random text hardly ever has seven fields or a number in the right place; lines here do.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import cgroup, facts, install, journal, packages, scores, units, users
from warlock_agent.digits import number_of
from warlock_agent.sockets import SocketTable, parse_table

# "²" is a digit that is no number to int(), "٣" one that is; 5000 digits are refused by int().
ODD_NUMBERS = ("²", "٣", "9" * 5000, "-1", "+1", "1_0", "0x1", "1e3", "nan", "", " 1")
NUMBERS = st.sampled_from([*ODD_NUMBERS, "0", "1", "9" * 20])
WORDS = st.sampled_from(
    ["root", "x", "/root", "Pss:", "kB", "MemTotal:", "usage_usec", "Package", "Status",
     "installed", "install ok installed", "Version", "Provides", "a (= 1)", "pmstatus", "dlstatus",
     "0::", "name=systemd", "/system.slice/a.service", "\\x2", "\\xzz", "_a.service", "0A", "07",
     "0100007F", "00000000:6D38", "FFFF:FFFFF", "\x00", "\x1b[31m", "\u202e", "PRETTY_NAME",
     '"', "'", "\\", "(a) b)", "50.0", "Overall exposure level for a: ", "1.²", "1.5"]
)  # fmt: skip
GLUE = st.sampled_from([":", " ", "\t", "=", ",", ".", "", "\n", "\n\n", "\r\n", "\u2028", "\x0b"])
LINES = st.lists(st.one_of(NUMBERS, WORDS, GLUE, st.text(max_size=3)), max_size=40).map("".join)


def columns(glue: str, count: int) -> st.SearchStrategy[str]:
    """Draw lines with just so many fields."""
    line = st.lists(st.one_of(NUMBERS, WORDS), min_size=count, max_size=count).map(glue.join)
    return st.lists(line, min_size=1, max_size=4).map("\n".join)


def _unit_of_path(path: str) -> None:
    with contextlib.suppress(ValueError):
        units.unit_of_path(path)


PARSERS: dict[str, tuple[Callable[[str], Any], st.SearchStrategy[str]]] = {
    "passwd": (users.parse_passwd, columns(":", 7)),
    "dpkg status": (packages.parse_status, LINES),
    "os-release": (facts.parse_os_release, columns("=", 2)),
    "meminfo": (facts.parse_meminfo, NUMBERS.map("MemTotal: {} kB".format)),
    "smaps_rollup": (cgroup.parse_pss, NUMBERS.map("Pss: {} kB".format)),
    "cpu.stat": (cgroup.fields_of, columns(" ", 2)),
    "/proc/PID/stat": (cgroup.parse_process_stat, columns(" ", 24)),
    "/proc/PID/cgroup": (cgroup.unit_of_cgroup, columns(":", 3)),
    "/proc/net/tcp": (lambda text: parse_table(f"\n{text}", "TCP"), columns(" ", 10)),
    "/proc/net/udp": (lambda text: parse_table(f"\n{text}", "UDP"), columns(" ", 10)),
    "apt's status": (install.parse_status, columns(":", 4)),
    "systemd-analyze": (scores.parse_score, LINES),
    "unit name": (units.valid_unit, LINES),
    "D-Bus path": (_unit_of_path, LINES.map("/org/freedesktop/systemd1/unit/{}".format)),
    "journal": (lambda text: journal.parse_rows(text.encode("utf-8", "replace"), "a"), LINES),
}


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_a_near_miss_is_read_or_left_out(name: str, data: st.DataObject) -> None:
    parse, near_misses = PARSERS[name]
    parse(data.draw(near_misses))
    parse(data.draw(LINES))


@given(st.one_of(NUMBERS, st.text(max_size=30)))
def test_a_number_is_ascii_and_fits_into_64_bits_or_is_none(text: str) -> None:
    number = number_of(text)
    if number is None:
        assert not (text.isascii() and text.isdigit() and len(text) <= 20)
    else:
        assert str(number) == (text.lstrip("0") or "0")


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=lambda number: ascii(number)[:12])
def test_what_is_no_number_is_none_wherever_one_is_expected(number: str) -> None:
    assert users.parse_passwd(f"a:x:{number}:0:::\nb:x:0:{number}:::") == {}
    assert facts.parse_meminfo(f"MemTotal: {number} kB") in (0, 1024)
    assert cgroup.parse_pss(f"Pss: {number} kB") in (None, 1024)
    assert cgroup.fields_of(f"usage_usec {number}") in ({}, {"usage_usec": 1})


def test_a_process_may_call_itself_what_it_likes_and_drives_no_terminal() -> None:
    comm = Path("/proc/self/comm")
    before = comm.read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        try:
            comm.write_bytes(b"\x1b[2J\n\xff\xe2\x80\xae)")
            found = [one for one in SocketTable().read() if one.port == bound.getsockname()[1]]
        finally:
            comm.write_bytes(before)
    (mine,) = found
    assert mine.pid == os.getpid()
    assert mine.process.isprintable()
    assert mine.process.startswith(" [2J")
