"""Files: replaced whole or not at all, never through a link, and nothing strange is ever read."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent.files import FileError, NewFile, Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "etc").mkdir()
    return Tree(str(tmp_path))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- writing ---


def test_a_file_gets_its_content_and_mode_and_leaves_nothing_beside_it(
    tree: Tree, tmp_path: Path
) -> None:
    tree.write(NewFile("/etc/a", b"one", 0o640))
    tree.write(NewFile("/etc/a", b"two", 0o600), durable=True)
    assert (tmp_path / "etc/a").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "etc/a").stat().st_mode) == 0o600
    assert _names(tmp_path / "etc") == ["a"]


def test_the_umask_takes_nothing_away(tree: Tree, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        tree.write(NewFile("/etc/a", b"", 0o664))
        tree.make_directory("/etc/d", 0o775)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "etc/a").stat().st_mode) == 0o664
    assert stat.S_IMODE((tmp_path / "etc/d").stat().st_mode) == 0o775


def test_a_reader_sees_the_old_content_or_the_new(tree: Tree, tmp_path: Path) -> None:
    contents = {b"a" * 300_000, b"b" * 300_000}
    first, second = sorted(contents)
    tree.write(NewFile("/etc/a", first))
    seen: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "etc/a").read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(20):
        tree.write(NewFile("/etc/a", second))
        tree.write(NewFile("/etc/a", first))
    stop.set()
    thread.join()
    assert seen <= contents


def test_one_that_fails_does_not_keep_back_the_others(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "etc/taken/x").mkdir(parents=True)
    paths = ["/etc/a", "/etc/none/b", "/etc/taken", *(f"/etc/n{i}" for i in range(600))]
    results = tree.write_many([NewFile(path, path.encode()) for path in paths])
    assert [r and r.errno for r in results[:3]] == [None, errno.ENOENT, errno.EISDIR]
    assert set(results[3:]) == {None}
    assert (tmp_path / "etc/n599").read_bytes() == b"/etc/n599"
    assert [name for name in _names(tmp_path / "etc") if name.startswith(".")] == []


def test_a_directory_is_opened_once_for_all_files_in_it(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counted(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & os.O_DIRECTORY:
            opened.append(path)
        return real(path, flags, *rest, **more)

    real = os.open
    monkeypatch.setattr(os, "open", counted)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [f"/{directory}/{n}" for n in range(20) for directory in "ab"]
    assert tree.write_many([NewFile(path, b"x") for path in paths]) == [None] * 40
    assert opened == [str(tmp_path), "a", str(tmp_path), "b"]
    assert sorted(path.name for path in tmp_path.glob("a/*")) == sorted(map(str, range(20)))


def test_a_batch_needs_few_descriptors(tree: Tree) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    tree.write_many([NewFile(f"/etc/{i}", b"x") for i in range(300)])
    tree.read("/etc/1")
    tree.names("/etc")
    with pytest.raises(FileError):
        tree.read("/etc/none/x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_owner_is_set_before_the_mode(tree: Tree, tmp_path: Path) -> None:
    tree.write(NewFile("/etc/a", b"", 0o4755, os.getuid(), os.getgid()))
    assert stat.S_IMODE((tmp_path / "etc/a").stat().st_mode) == 0o4755


# --- links ---


@pytest.fixture
def planted(tree: Tree, tmp_path: Path) -> Path:
    """A directory whose owner planted links to what is not its own."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    game = tmp_path / "srv/game"
    game.mkdir(parents=True)
    (game / "dir").symlink_to(secret)
    (game / "file").symlink_to(secret / "file")
    (game / "gone").symlink_to(secret / "made")
    return secret


@pytest.mark.parametrize(
    "path", ["/srv/game/dir/file", "/srv/game/dir/new", "/srv/game/dir/new/x", "/srv/game/dir"]
)
def test_nothing_is_written_through_a_link_on_the_way(tree: Tree, planted: Path, path: str) -> None:
    before = _names(planted)
    if path != "/srv/game/dir":
        with pytest.raises(FileError):
            tree.write(NewFile(path, b"taken"))
        with pytest.raises(FileError):
            tree.link(path, "/taken")
        with pytest.raises(FileError):
            tree.remove(path)
        with pytest.raises(FileError):
            tree.signature(path)
    with pytest.raises(FileError):
        tree.make_directory(path, 0o777)
    assert _names(planted) == before
    assert (planted / "file").read_text() == "secret"
    assert stat.S_IMODE(planted.stat().st_mode) != 0o777


def test_a_link_at_the_end_is_replaced_not_followed(tree: Tree, planted: Path) -> None:
    tree.write(NewFile("/srv/game/file", b"ours"))
    tree.write(NewFile("/srv/game/gone", b"ours"))
    assert (planted / "file").read_text() == "secret"
    assert not (planted / "made").exists()
    assert tree.read("/srv/game/file") == b"ours"


def test_a_link_is_never_read_but_can_be_looked_at(tree: Tree, planted: Path) -> None:
    with pytest.raises(FileError) as caught:
        tree.read("/srv/game/file")
    assert caught.value.errno == errno.ELOOP
    found = tree.signature("/srv/game/file")
    assert found is not None
    assert found.kind == "Link"
    assert tree.read_link("/srv/game/file").endswith("/secret/file")


def test_a_trusted_part_may_be_a_link_and_what_is_behind_it_not(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "opt").symlink_to("data")
    with pytest.raises(FileError):
        tree.make_directory("/opt/game")
    assert tree.make_directory("/opt/game", trusted="/opt")
    assert (tmp_path / "data/game").is_dir()
    (tmp_path / "data/bad").symlink_to("/")
    with pytest.raises(FileError):
        tree.make_directory("/opt/bad/x", trusted="/opt")
    with pytest.raises(FileError):
        tree.make_directory("/opt/x", trusted="/op")


@pytest.mark.parametrize(
    "path", ["etc/a", "", "/", "/etc/../etc/a", "/etc/./a", "/..", "/etc/a\0b"]
)
def test_a_path_that_is_not_absolute_and_normal_is_refused(tree: Tree, path: str) -> None:
    with pytest.raises(FileError):
        tree.write(NewFile(path, b""))


@given(st.text("./a\0", max_size=12))
def test_no_path_leads_out(path: str) -> None:
    tree = Tree("/proc/self/task")  # nothing can be made in it, wherever in it that were
    with pytest.raises(FileError):
        tree.write(NewFile(path, b""))


# --- reading ---


def test_what_is_no_regular_file_is_not_read(tree: Tree, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "etc/fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "etc/socket"))
        for name in ("fifo", "socket", "."):
            with pytest.raises(FileError):
                tree.read(f"/etc/{name}")
    with pytest.raises(FileError):
        Tree("/").read("/dev/zero")
    with pytest.raises(FileError):
        tree.read("/etc")


def test_a_large_file_is_refused(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "etc/a").write_bytes(b"x" * 11)
    assert tree.read("/etc/a", 11) == b"x" * 11
    with pytest.raises(FileError) as caught:
        tree.read("/etc/a", 10)
    assert caught.value.errno == errno.EFBIG
    assert str(caught.value).startswith("/etc/a: ")


def test_a_file_that_lies_about_its_size_is_bounded_too() -> None:
    with pytest.raises(FileError, match="larger"):
        Tree("/").read(f"/proc/{os.getpid()}/maps", 10)  # its size is 0


def test_the_digest_is_sha256s(tree: Tree) -> None:
    tree.write(NewFile("/etc/a", b"abc"))
    assert tree.digest("/etc/a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_the_signature_changes_with_the_content(tree: Tree, tmp_path: Path) -> None:
    assert tree.signature("/etc/a") is None
    assert tree.signature("/none/a") is None
    tree.write(NewFile("/etc/a", b"abc"))
    before = tree.signature("/etc/a")
    assert before is not None
    assert (before.kind, before.permissions) == ("File", 0o644)
    assert tree.signature("/etc/a") == before
    with (tmp_path / "etc/a").open("r+b") as file:
        file.write(b"xyz")
    os.utime(tmp_path / "etc/a", ns=(before.mtime_nsec, before.mtime_nsec))
    assert tree.signature("/etc/a") != before


# --- links, directories, removal ---


def test_a_link_is_made_and_replaced(tree: Tree, tmp_path: Path) -> None:
    tree.write(NewFile("/etc/a", b"a file"))
    tree.link("/etc/a", "/one")
    tree.link("/etc/a", "/two")
    assert (tmp_path / "etc/a").readlink() == Path("/two")
    assert _names(tmp_path / "etc") == ["a"]


def test_directories_are_made_once_with_their_mode(tree: Tree, tmp_path: Path) -> None:
    assert tree.make_directory("/srv/a/b", 0o750)
    assert not tree.make_directory("/srv/a/b", 0o700)
    assert stat.S_IMODE((tmp_path / "srv/a/b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "srv/a").stat().st_mode) == 0o755
    tree.write(NewFile("/srv/f", b""))
    with pytest.raises(FileError):
        tree.make_directory("/srv/f")


def test_removing_what_is_gone_is_fine_and_what_has_entries_stays(
    tree: Tree, tmp_path: Path
) -> None:
    tree.write(NewFile("/etc/a", b""))
    assert not tree.remove_directory("/etc")
    assert tree.remove("/etc/a")
    assert not tree.remove("/etc/a")
    assert tree.remove_directory("/etc")
    assert tree.remove_directory("/etc")
    assert not tree.remove("/none/a")
    with pytest.raises(FileError):
        tree.remove("/")


def test_what_a_killed_writer_left_does_not_keep_a_directory(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "etc/.50-warlock.conf.0123456789ab.tmp").write_text("half")
    (tmp_path / "etc/.kept.tmp").write_text("somebody's")
    assert not tree.remove_directory("/etc")
    assert _names(tmp_path / "etc") == [".kept.tmp"]
    assert tree.remove("/etc/.kept.tmp")
    assert tree.remove_directory("/etc")


def test_a_killed_writer_leaves_the_old_content(tree: Tree, tmp_path: Path) -> None:
    tree.write(NewFile("/etc/a", b"old"))
    for _ in range(10):
        child = os.fork()
        if child == 0:
            while True:
                tree.write_many([NewFile("/etc/a", b"new" * 1000), NewFile("/etc/b", b"b")])
        time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert (tmp_path / "etc/a").read_bytes() in (b"old", b"new" * 1000)
    for name in ("a", "b"):
        tree.remove(f"/etc/{name}")
    assert tree.remove_directory("/etc")
