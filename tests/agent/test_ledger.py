"""The host's record: what is read back, what a broken disk does to it, and the lock."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import names
from warlock_agent.ledger import (
    CURRENT,
    PREVIOUS,
    HostBusy,
    LedgerFile,
    LedgerUnreadable,
    decode,
    encode,
    locked,
)
from warlock_agent.model import (
    DesiredPort,
    Ledger,
    LedgerEntry,
    Retry,
)
from warlock_agent.model import LedgerFile as ManagedFile
from warlock_agent.volatile import Volatile

text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
entries = st.builds(
    LedgerEntry,
    guid=text,
    instance_id=text,
    namespace=text,
    name=text,
    uid=text,
    generation=st.integers(0, 2**60),
    path=text,
    user=text,
    ports=st.lists(st.builds(DesiredPort, text, text, st.integers(1, 65535)), max_size=3).map(
        tuple
    ),
    services=st.lists(text, max_size=2).map(tuple),
    files=st.lists(st.builds(ManagedFile, text, text), max_size=3).map(tuple),
    restart=text,
    reconcile=text,
    started_digest=text,
    tried=text,
)
ledgers = st.builds(
    Ledger,
    owner=text,
    token=st.integers(0, 2**60),
    holder=text,
    host_uid=text,
    take_overs=st.lists(text, max_size=3).map(tuple),
    instances=st.lists(entries, max_size=4).map(tuple),
)
ONE = Ledger("a", 1, "h", "u")
TWO = Ledger("a", 2, "h", "u")


def path(root: Path, name: str = CURRENT) -> Path:
    return root / names.LEDGER_DIR.lstrip("/") / name


@given(ledgers)
def test_what_was_written_is_read_back(ledger: Ledger) -> None:
    assert decode(encode(ledger)) == ledger


@given(ledgers, st.data())
def test_any_byte_that_is_changed_or_cut_off_is_noticed(
    ledger: Ledger, data: st.DataObject
) -> None:
    whole = encode(ledger)
    at = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="checksum"):
        decode(whole[:at])
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="checksum"):
        decode(bytes(flipped))


def test_a_ledger_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert LedgerFile(str(tmp_path)).read() == Ledger()


def test_a_record_survives_its_process_and_another_sees_it_at_once(tmp_path: Path) -> None:
    writer, reader = LedgerFile(str(tmp_path)), LedgerFile(str(tmp_path))
    for ledger in (ONE, TWO):
        assert writer.write(ledger)
        assert reader.read() == ledger
    assert not writer.write(TWO)
    assert oct(path(tmp_path).stat().st_mode & 0o777) == "0o600"
    assert sorted(p.name for p in path(tmp_path).parent.iterdir()) == [CURRENT, PREVIOUS]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"sha256":"', None])
def test_a_broken_record_gives_way_to_the_one_before_and_is_mended(
    tmp_path: Path, damage: bytes | None
) -> None:
    writer = LedgerFile(str(tmp_path))
    writer.write(ONE)
    writer.write(TWO)
    if damage is None:
        path(tmp_path).unlink()
    else:
        path(tmp_path).write_bytes(damage)
    fresh = LedgerFile(str(tmp_path))
    assert fresh.read() == ONE
    assert fresh.write(ONE)  # though it says so already
    assert decode(path(tmp_path).read_bytes()) == ONE
    assert decode(path(tmp_path, PREVIOUS).read_bytes()) == ONE
    fresh.write(TWO)
    assert LedgerFile(str(tmp_path)).read() == TWO


@pytest.mark.parametrize("previous", [b"junk", b"", None])
def test_a_record_that_is_lost_is_never_taken_for_an_empty_one(
    tmp_path: Path, previous: bytes | None
) -> None:
    writer = LedgerFile(str(tmp_path))
    writer.write(ONE)
    path(tmp_path).write_bytes(b"junk")
    if previous is not None:
        path(tmp_path, PREVIOUS).write_bytes(previous)
    with pytest.raises(LedgerUnreadable, match="put back from a backup"):
        LedgerFile(str(tmp_path)).read()
    with pytest.raises(LedgerUnreadable):
        LedgerFile(str(tmp_path)).write(TWO)
    assert path(tmp_path).read_bytes() == b"junk"


def test_a_link_in_the_place_of_the_new_record_is_not_followed(tmp_path: Path) -> None:
    writer = LedgerFile(str(tmp_path))
    writer.write(ONE)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path(tmp_path, CURRENT + ".tmp").symlink_to(victim)
    with pytest.raises(OSError) as caught:  # noqa: PT011  (its number is looked at)
        writer.write(TWO)
    assert caught.value.errno == errno.ELOOP
    assert victim.read_text() == "precious"


_HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from warlock_agent.ledger import locked
with locked(0, sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_lets_one_process_in_and_names_it(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "operator"
    argv = [sys.executable, "-c", _HOLD, str(source), str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(HostBusy, match=f"process {other.pid} "), locked(0.1, str(tmp_path)):
            pass
        other.kill()  # a lock dies with its holder
        with locked(10, str(tmp_path)):
            held = path(tmp_path, "lock").read_text()
    assert held == f"{os.getpid()}\n"
    with locked(0, str(tmp_path)):
        pass


def test_back_off_is_remembered_and_a_broken_file_is_none(tmp_path: Path) -> None:
    volatile = Volatile(str(tmp_path))
    assert volatile.retries() == ()
    volatile.write_retries((Retry("b", 2, 20), Retry("a", 1, 10)))
    assert Volatile(str(tmp_path)).retries() == (Retry("a", 1, 10), Retry("b", 2, 20))
    (tmp_path / "run/warlock/volatile.json").write_text('[{"name": 3}]')
    assert volatile.retries() == ()


def test_a_reload_stays_due_until_it_is_done(tmp_path: Path) -> None:
    volatile = Volatile(str(tmp_path))
    assert not volatile.reload_pending
    volatile.set_reload_pending()
    assert Volatile(str(tmp_path)).reload_pending
    volatile.clear_reload_pending()
    volatile.clear_reload_pending()
    assert not volatile.reload_pending


def test_a_full_disk_is_told_with_the_file_and_the_record_stays(tmp_path: Path) -> None:
    file = LedgerFile(str(tmp_path))
    file.write(Ledger(owner="before"))
    full = f"{file.directory}/{CURRENT}.tmp"
    os.mknod(full, stat.S_IFCHR | 0o600, os.makedev(1, 7))  # /dev/full
    with pytest.raises(OSError, match=f"No space left on device: '{full}'") as raised:
        file.write(Ledger(owner="after"))
    assert raised.value.errno == errno.ENOSPC
    assert LedgerFile(str(tmp_path)).read() == Ledger(owner="before")
