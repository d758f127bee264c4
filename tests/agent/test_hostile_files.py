"""
Every file of its own or of the machine that the agent reads, replaced by what is none.

A FIFO would hold up a pass for ever, a device never ends, and deep JSON overflows the stack.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warlock_agent import facts, features, install, journal, names
from warlock_agent.board import Board
from warlock_agent.files import FileError, Tree
from warlock_agent.ledger import CURRENT, LedgerFile, LedgerUnreadable
from warlock_agent.observe import Observer
from warlock_agent.operations import RECORD, Records
from warlock_agent.packages import STATUS_PATH, Packages
from warlock_agent.scores import FILE as SCORES
from warlock_agent.scores import Scores
from warlock_agent.users import PASSWD, Users
from warlock_agent.volatile import RETRIES, Volatile

WAIT_SECONDS = 10.0
OPERATION = f"{names.LEDGER_DIR}/operations/install-a"
UNIT = "a@b.service"


def _score(root: str) -> object:
    scores = Scores(Board(), threading.Event(), root)
    return scores._kind(UNIT)


def _marker(root: str) -> object:
    observer = object.__new__(Observer)
    observer._senses = type("Senses", (), {"tree": Tree(root)})()
    return observer._marker("/srv/a")


# name: (the file, how it is read, what is said of it when it is no file)
READERS: dict[str, tuple[str, Callable[[str], Any], object]] = {
    "machine-id": ("/etc/machine-id", facts.machine_id, ""),
    "boot id": ("/proc/sys/kernel/random/boot_id", facts.boot_id, ""),
    "os-release": ("/etc/os-release", lambda root: facts.facts(root=root).os, ""),
    "meminfo": ("/proc/meminfo", lambda root: facts.facts(root=root).memory_bytes, 0),
    "uptime": ("/proc/uptime", facts.uptime_seconds, 0.0),
    "passwd": (PASSWD, lambda root: Users(Tree(root)).all(), FileError),
    "dpkg status": (STATUS_PATH, lambda root: Packages(Tree(root)).installed(["a"]), FileError),
    "ledger": (f"{names.LEDGER_DIR}/{CURRENT}", lambda root: LedgerFile(root).read(),
               LedgerUnreadable),
    "back-off": (f"{names.RUN_DIR}/{RETRIES}", lambda root: Volatile(root).retries(), ()),
    "operation": (f"{OPERATION}/{RECORD}", lambda root: Records(root).read(), ()),
    "progress": (f"{OPERATION}/{install.PROGRESS_FILE}",
                 lambda root: install.read_progress(OPERATION, Tree(root)), None),
    "features": (f"{names.RUN_DIR}/{features.FILE}",
                 lambda root: features._read(f"{root}{names.RUN_DIR}/{features.FILE}"), None),
    "scores": (f"{names.RUN_DIR}/{SCORES}",
               lambda root: Scores(Board(), threading.Event(), root)._by_kind, {}),
    "drop-in": (names.drop_in_path("a", "b"), _score, ""),
    "marker": (f"/srv/a/{names.MARKER_FILE}", _marker, ""),
}  # fmt: skip
DEEP = b"[" * 50_000


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _directory(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("plant", [_fifo, _device, _directory, _itself], ids=lambda f: f.__name__)
def test_what_is_no_file_is_never_waited_for(
    tmp_path: Path, name: str, plant: Callable[[Path], None]
) -> None:
    path, read, missing = READERS[name]
    planted = tmp_path / path.lstrip("/")
    planted.parent.mkdir(parents=True)
    plant(planted)
    assert _read_in_time(read, str(tmp_path)) == missing


def _read_in_time(read: Callable[[str], Any], root: str) -> object:
    """Give what is read, or the class of the error; fails where it takes too long."""
    said: list[object] = []

    def work() -> None:
        try:
            said.append(read(root))
        except (FileError, LedgerUnreadable) as error:
            said.append(type(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert said, "it waits"
    return said[0]


JSON_READERS = ("back-off", "operation", "progress", "features", "scores")


@pytest.mark.parametrize("name", JSON_READERS)
@pytest.mark.parametrize(
    "data",
    [
        DEEP, b'{"a":' * 50_000, b"", b"\0", b"\xff", b"null", b"1", b'"a"', b"[1]", b"[[]]",
        b'{"a": 1e999}', b'{"a": "\\ud800"}', b'{"a": ' + b"9" * 5000 + b"}", b'[{"name": 1}]',
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_json_that_is_none_of_ours_is_left_out(tmp_path: Path, name: str, data: bytes) -> None:
    path, read, missing = READERS[name]
    planted = tmp_path / path.lstrip("/")
    planted.parent.mkdir(parents=True)
    planted.write_bytes(data)
    assert _read_in_time(read, str(tmp_path)) in (missing, {})


@pytest.mark.parametrize(
    "changed", [{"progress": "9"}, {"state": 1}, {"message": None}, {"started_at_seconds": 1.5}]
)
def test_a_progress_of_another_shape_is_none(tmp_path: Path, changed: dict[str, Any]) -> None:
    whole = {"state": install.RUNNING, "step": "Install", "progress": 9}
    (tmp_path / install.PROGRESS_FILE).write_text(json.dumps(whole))
    assert install.read_progress("/", Tree(str(tmp_path))) is not None
    (tmp_path / install.PROGRESS_FILE).write_text(json.dumps({**whole, **changed}))
    assert install.read_progress("/", Tree(str(tmp_path))) is None


def test_a_distribution_may_call_itself_what_it_likes(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    name = "\x1b[2J" + "\u202e" + "x" * 5000
    (tmp_path / "etc/os-release").write_text(f"PRETTY_NAME='{name}'\n")
    said = facts.facts(root=str(tmp_path)).os
    assert said.isprintable()
    assert len(said) <= journal.MAX_LINE
