"""What is seen of files, processes, units and operations, and what is not read twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warlock_agent import install, names
from warlock_agent.board import Board
from warlock_agent.files import Tree
from warlock_agent.ledger import LedgerFile
from warlock_agent.model import BoundSocket, ObservedFile, Operation
from warlock_agent.observe import Observer, Senses
from warlock_agent.operations import GRACE_SECONDS, Records, as_seen, unit_of
from warlock_agent.packages import Packages
from warlock_agent.process import Digests, digest_of, start_ticks
from warlock_agent.progress import Progress
from warlock_agent.scores import kind_of, parse_score
from warlock_agent.sockdiag import rows
from warlock_agent.sockets import SocketTable, parse_table
from warlock_agent.systemd import Systemd
from warlock_agent.unit import UnitReader, has_failed, patterns_of, slots_by_unit
from warlock_agent.users import Users
from warlock_agent.volatile import Volatile


class CountingTree(Tree):
    """A tree that counts what is read from it."""

    reads = 0

    def read(self, path: str, *args: object, **more: object) -> bytes:
        self.reads += 1
        return super().read(path, *args, **more)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    return tmp_path


@pytest.fixture
def tree(root: Path) -> CountingTree:
    return CountingTree(str(root))


@pytest.fixture
def observer(root: Path, tree: CountingTree) -> Observer:
    systemd = Systemd([str(root / "no-bus")])
    senses = Senses(
        systemd=systemd,
        ledger=LedgerFile(str(root)),
        volatile=Volatile(str(root)),
        units=UnitReader(systemd),
        records=Records(str(root)),
        users=Users(Tree(str(root))),
        packages=Packages(Tree(str(root))),
        sockets=SocketTable(),
        root=str(root),
    )
    senses.tree = tree
    return Observer(senses)


def test_files_are_seen_with_content_mode_and_mark(root: Path, observer: Observer) -> None:
    (root / "ours").write_text(names.MARKER + "\nx\n")
    (root / "theirs").write_text("x\n")
    (root / "link").symlink_to("/some/where")
    (root / "empty").mkdir()
    (root / "full").mkdir()
    (root / "full" / names.MARKER_FILE).write_text("g.i\nmore\n")
    (root / "theirs").chmod(0o604)
    os.chown(root / "theirs", 12345, -1)
    seen = {f.path: f for f in observer.files(("/ours", "/theirs", "/link", "/full", "/empty"))}
    digest = hashlib.sha256((names.MARKER + "\nx\n").encode()).hexdigest()
    assert seen["/ours"] == ObservedFile("/ours", "File", digest, 0o644, "root", ours=True)
    assert (seen["/theirs"].ours, seen["/theirs"].mode) == (False, 0o604)
    assert seen["/theirs"].owner == "12345"
    assert (seen["/link"].kind, seen["/link"].digest) == ("Link", "/some/where")
    assert (seen["/empty"].kind, seen["/empty"].empty) == ("Directory", True)
    assert (seen["/full"].empty, seen["/full"].marker) == (False, "g.i")


def test_what_is_not_there_is_not_seen(root: Path, observer: Observer) -> None:
    (root / "file").write_text("x")
    assert observer.files(("/none", "/none/below", "/file/below")) == ()


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(
    root: Path, tree: CountingTree, observer: Observer
) -> None:
    (root / "a").write_text("one")
    first = observer.files(("/a",))
    assert observer.files(("/a",)) == first
    assert tree.reads == 1
    before = (root / "a").stat()
    (root / "a").write_text("two")  # same size
    os.utime(root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))  # a careful forger
    assert observer.files(("/a",)) != first
    assert tree.reads == 2
    (root / "a").unlink()
    assert observer.files(("/a",)) == ()


def test_a_pipe_or_a_link_in_the_place_of_a_marker_is_no_marker(
    root: Path, observer: Observer
) -> None:
    for name in ("pipe", "link"):
        (root / name).mkdir()
    os.mkfifo(root / "pipe" / names.MARKER_FILE)
    (root / "secret").write_text("g.i\n")
    (root / "link" / names.MARKER_FILE).symlink_to(root / "secret")
    assert [f.marker for f in observer.files(("/pipe", "/link"))] == ["", ""]


@pytest.mark.parametrize("target", ["loop", "x" * 256])
def test_a_tenant_s_odd_link_is_in_the_way_of_nothing_but_itself(
    root: Path, observer: Observer, target: str
) -> None:
    """A circle, and a name that is too long: the kernel refuses to follow either."""
    (root / "opt/a").mkdir(parents=True)
    (root / "opt/good").write_text("x")
    (root / "opt/a/loop").symlink_to(target)
    seen = observer.files(("/opt/a/loop/x", "/opt/good"), {"/opt/a/loop/x": "/opt"})
    assert [file.kind for file in seen] == ["Other", "File"]
    seen = observer.files(("/opt/a/loop/x", "/opt/good"))  # it was there before the link was
    assert [file.kind for file in seen] == ["Other", "File"]


def test_a_new_path_tells_nothing_of_what_a_tenant_s_link_leads_to(
    root: Path, observer: Observer
) -> None:
    (root / "secret/there").mkdir(parents=True)
    (root / "opt/a").mkdir(parents=True)
    (root / "opt/a/link").symlink_to("/secret")
    (root / "opt/root").symlink_to(root / "opt/a")  # the root itself may be a link
    paths = ("/opt/a/link/there", "/opt/a/link/none")
    found = observer.files(paths, dict.fromkeys(paths, "/opt"))
    assert found == tuple(ObservedFile(path, "Other") for path in paths)
    assert observer.files(("/opt/a/new",), {"/opt/a/new": "/opt"}) == ()


# --- processes --------------------------------------------------------------------------------


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    environment = {"WARLOCK_DIGEST": "abc123", "OTHER": "x"}
    code = "import sys; sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE
    ) as made:
        deadline = time.monotonic() + 10
        # Between fork and exec it has the environment of its parent.
        while digest_of(made.pid) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        yield made
        made.kill()


def test_the_digest_is_read_from_the_process_and_goes_with_it(
    process: subprocess.Popen[bytes],
) -> None:
    digests = Digests()
    assert digests.of(process.pid) == "abc123"
    assert digests.of(process.pid) == "abc123"
    assert start_ticks(process.pid) > 0
    process.kill()
    process.wait()
    assert digests.of(process.pid) is None
    assert start_ticks(process.pid) == 0


def test_a_process_without_digest_says_nothing() -> None:
    assert "WARLOCK_DIGEST" not in os.environ
    assert digest_of(os.getpid()) is None
    assert Digests().of(0) is None


def test_a_name_that_looks_like_fields_does_not_mislead(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = ["S", *("0" for _ in range(18)), "4711", "0"]
    (tmp_path / "7/stat").write_text(f"7 (a) b) 1 2 3) {' '.join(fields)}\n")
    assert start_ticks(7, str(tmp_path)) == 4711


def test_a_number_that_was_given_away_is_another_process(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    for ticks, digest in ((10, "one"), (20, "two")):
        fields = " ".join(["S", *("0" for _ in range(18)), str(ticks)])
        (tmp_path / "7/stat").write_text(f"7 (x) {fields}\n")
        (tmp_path / "7/environ").write_bytes(b"A=1\0WARLOCK_DIGEST=" + digest.encode() + b"\0")
        if ticks == 10:
            digests = Digests(str(tmp_path))
        assert digests.of(7) == digest


# --- units --------------------------------------------------------------------------------------


def test_one_pattern_stands_for_all_instances_of_a_template() -> None:
    units = ("a@1.service", "a@2.service", "b@x.service", "c.service")
    assert patterns_of(units) == ("a@*.service", "b@*.service", "c.service")


@pytest.mark.parametrize(
    ("active", "sub", "failed"),
    [
        ("failed", "failed", True),
        ("activating", "auto-restart", True),
        ("activating", "auto-restart-queued", True),
        ("activating", "start", False),
        ("active", "running", False),
        ("inactive", "dead", False),
    ],
)
def test_a_failure_is_told_from_a_start_and_a_stop(active: str, sub: str, failed: bool) -> None:
    assert has_failed(active, sub) == failed


def test_ports_belong_to_the_unit_that_bound_them_and_count_once() -> None:
    bound = (
        BoundSocket("UDP", "0.0.0.0", 2, unit="a"),
        BoundSocket("UDP", "::", 2, unit="a"),
        BoundSocket("TCP", "::", 1, unit="a"),
        BoundSocket("UDP", "::", 3, unit="b"),
        BoundSocket("UDP", "::", 4),
    )
    assert slots_by_unit(bound) == {"a": (("TCP", 1), ("UDP", 2)), "b": (("UDP", 3),)}


def test_the_kernel_says_the_same_by_netlink_and_by_proc() -> None:
    import socket

    made = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(family, kind)
            one.bind((address, 0))
            if kind == socket.SOCK_STREAM:
                one.listen()
            made.append(one)
    ours = {one.getsockname()[1] for one in made}
    for protocol, family, name in (
        ("UDP", socket.AF_INET, "udp"),
        ("UDP", socket.AF_INET6, "udp6"),
        ("TCP", socket.AF_INET, "tcp"),
        ("TCP", socket.AF_INET6, "tcp6"),
    ):
        table = parse_table(Path(f"/proc/net/{name}").read_text(), protocol)
        told = {row for row in rows(protocol, family) if row[1] in ours}
        assert told == {(e.address, e.port, e.inode) for e in table if e.port in ours}
        assert len(told) == 1
    for one in made:
        one.close()


# --- operations, scores ---------------------------------------------------------------------------

OPERATION = Operation("install-g-1", "g", "Install", "Running", "starting", 0, 1000, 2000)


def test_an_operation_is_told_with_its_progress(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    assert records.read() == ()
    records.begin(OPERATION)
    assert records.read() == (OPERATION,)
    directory = Path(records.directory_of(OPERATION.id))
    said = '{"state": "Failed", "step": "Install", "progress": 40, "message": "no luck"}'
    (directory / install.PROGRESS_FILE).write_text(said)
    (seen,) = records.read()
    assert (seen.state, seen.step, seen.progress, seen.message) == (
        "Failed",
        "Install",
        40,
        "no luck",
    )
    assert (seen.guid, seen.started_at_seconds, seen.deadline_seconds) == ("g", 1000, 2000)
    records.begin(OPERATION)  # again: what the earlier run said is forgotten
    assert records.read() == (OPERATION,)
    (directory / "operation.json").write_text("{")
    assert records.read() == ()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a b", ".hidden", "x" * 201])
def test_what_cannot_be_a_name_makes_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="can't name an operation"):
        Records(str(tmp_path)).directory_of(name)


def test_an_operation_that_ends_between_two_looks_was_not_killed() -> None:
    running = replace(OPERATION, started_at_seconds=1)
    ended = replace(running, state="Succeeded")
    answers = [(running,), (ended,), (ended,)]
    records: Any = SimpleNamespace(read=lambda: answers.pop(0))
    systemd: Any = SimpleNamespace(list_matching=lambda patterns: {}, events=lambda: ())
    progress = Progress(Board(), lambda frame: None, threading.Event(), records, systemd)
    assert progress._seen() == (ended,)


def test_an_operation_whose_unit_is_gone_has_failed_but_not_before_it_can_have_begun() -> None:
    late = OPERATION.started_at_seconds + GRACE_SECONDS
    unit = unit_of(OPERATION.id)
    assert as_seen((OPERATION,), {unit: "activating"}, late) == (OPERATION,)
    assert as_seen((OPERATION,), {}, late - 1) == (OPERATION,)
    for listed in ({}, {unit: "failed"}, {"other": "active"}):
        (seen,) = as_seen((OPERATION,), listed, late)
        assert seen.state == "Failed"
        assert "without a result" in seen.message


def test_the_score_is_read_from_the_last_line() -> None:
    text = "✓ PrivateTmp= …\n\n→ Overall exposure level for a@b.service: 2.9 OK 🙂\n"
    assert parse_score(text) == 29
    assert parse_score("Failed to connect to bus") is None


def test_units_that_differ_in_names_alone_share_a_score() -> None:
    one = "[Service]\nUser=wl-1\nExecStart=/bin/a\nReadWritePaths=/srv/1\nPrivateTmp=yes\n"
    two = "[Service]\nUser=wl-2\nExecStart=/bin/b\nReadWritePaths=/srv/2\nPrivateTmp=yes\n"
    assert kind_of(one) == kind_of(two)
    assert kind_of(one) != kind_of(one.replace("PrivateTmp=yes", "PrivateTmp=no"))
