"""Steps done in a directory that stands for the root; systemd is not there, and that is said."""

from __future__ import annotations

import os
import pwd
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from warlock_agent import files, names
from warlock_agent.apply import Hands, Interrupted, apply
from warlock_agent.files import Tree
from warlock_agent.ledger import LedgerFile
from warlock_agent.model import Ledger, LedgerEntry, Retry, StepResult
from warlock_agent.operations import Installer, Records
from warlock_agent.steps import (
    Claim,
    ClearRetry,
    EnsureDirectory,
    Forget,
    MakeLink,
    Record,
    Reload,
    RemoveDirectory,
    RemoveFile,
    SetRetry,
    StartUnit,
    Step,
    WriteFile,
)
from warlock_agent.systemd import Systemd
from warlock_agent.users import Users
from warlock_agent.volatile import Volatile

NOBODY = pwd.getpwnam("nobody")
ENV = names.env_path("g", "i")
DROP_IN = names.drop_in_path("s", "i")
ENTRY = LedgerEntry("g", "i", "ns", "n", "uid", 0, "/srv/i", "nobody")
LEDGER = Ledger("owner", 1, "holder", "host")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    passwd = f"root:x:0:0::/root:/bin/sh\nnobody:x:{NOBODY.pw_uid}:{NOBODY.pw_gid}::/:/bin/sh\n"
    (tmp_path / "etc/passwd").write_text(passwd)
    (tmp_path / "srv").mkdir()
    return tmp_path


def hands(root: Path) -> Hands:
    records = Records(str(root))
    return Hands(
        systemd=Systemd([str(root / "no-bus")]),
        ledger=LedgerFile(str(root)),
        volatile=Volatile(str(root)),
        installer=Installer(records),
        users=Users(Tree(str(root))),
        root=str(root),
    )


def done(root: Path, *steps: Step, ledger: Ledger = LEDGER) -> tuple[StepResult, ...]:
    return apply(steps, ledger, hands(root), threading.Event())


def outcomes(results: Sequence[StepResult]) -> list[tuple[str, str, str]]:
    return [(one.step, one.key, one.outcome) for one in results]


def directory(**changes: str) -> EnsureDirectory:
    made = EnsureDirectory("g/i", "/srv/i", "/srv", "nobody", 0o750, "g.i")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_authority_is_written_even_where_nothing_else_is_to_be_done(root: Path) -> None:
    assert done(root) == ()
    assert LedgerFile(str(root)).read() == LEDGER


def test_a_claim_stands_before_a_file_does_and_forgetting_is_last(root: Path) -> None:
    done(root, Claim("g/i", ENTRY))
    assert LedgerFile(str(root)).read().instances == (ENTRY,)
    new = replace(ENTRY, generation=3)
    ledger = LedgerFile(str(root)).read()
    done(root, Record("g/i", new), ledger=ledger)
    assert LedgerFile(str(root)).read().instances == (new,)
    done(root, Forget("g/i"), ledger=LedgerFile(str(root)).read())
    assert LedgerFile(str(root)).read() == LEDGER


def test_files_have_content_mode_and_owner_and_unit_files_ask_for_a_reload(root: Path) -> None:
    results = done(root, WriteFile("g/i", ENV, "A=1\n", 0o600, False, "it was gone"))
    assert [(r.outcome, r.found) for r in results] == [("Done", "it was gone")]
    env = root / ENV.lstrip("/")
    assert env.read_text() == "A=1\n"
    assert env.stat().st_mode & 0o777 == 0o600
    assert not Volatile(str(root)).reload_pending
    done(root, WriteFile("g/i", DROP_IN, "[Service]\n", 0o644, True))
    assert Volatile(str(root)).reload_pending


def test_a_failed_step_skips_its_own_key_alone(root: Path) -> None:
    (root / ENV.lstrip("/") / "in the way").mkdir(parents=True)
    other = names.env_path("g", "other")
    results = done(
        root,
        WriteFile("g/i", ENV, "x", 0o600, False),
        WriteFile("g/other", other, "x", 0o600, False),
        Record("g/i", ENTRY),
        Record("g/other", replace(ENTRY, instance_id="other")),
    )
    assert outcomes(results) == [
        ("WriteFile", "g/i", "Failed"),
        ("WriteFile", "g/other", "Done"),
        ("Record", "g/i", "Skipped"),
        ("Record", "g/other", "Done"),
    ]
    assert results[0].reason == "FileFailed"
    assert ENV in results[0].message
    assert [e.key for e in LedgerFile(str(root)).read().instances] == ["g/other"]


def test_without_the_reload_nobody_is_started_and_nothing_is_recorded(root: Path) -> None:
    results = done(
        root,
        WriteFile("g/i", DROP_IN, "[Service]\n", 0o644, True),
        Reload(),
        StartUnit("g/i", "s@i.service"),
        StartUnit("g/other", "s@other.service"),
        Record("g/i", ENTRY),
    )
    assert [one.outcome for one in results] == ["Done", "Failed", "Skipped", "Skipped", "Skipped"]
    assert results[1].reason == "SystemdUnreachable"
    assert Volatile(str(root)).reload_pending
    assert LedgerFile(str(root)).read().instances == ()


def test_a_directory_is_the_users_own_and_marked(root: Path) -> None:
    assert outcomes(done(root, directory())) == [("EnsureDirectory", "g/i", "Done")]
    made = root / "srv/i"
    assert (made.stat().st_mode & 0o777, made.stat().st_uid) == (0o750, NOBODY.pw_uid)
    assert (made / names.MARKER_FILE).read_text() == "g.i\n"
    (made / "save").write_text("precious")
    made.chmod(0o777)
    assert outcomes(done(root, directory()))[0][2] == "Done"
    assert made.stat().st_mode & 0o777 == 0o750
    assert (made / "save").read_text() == "precious"


def syncs_for(count: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Make so many directories, one of them occupied; count the calls that wait for the disk."""
    (root / "srv/0").mkdir()
    (root / "srv/0/theirs").write_text("x")
    steps = [directory(key=f"g/{n}", path=f"/srv/{n}", marker=f"g.{n}") for n in range(count + 1)]
    waited: list[int] = []
    fsync, sync_file_system = os.fsync, files._sync_file_system
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda fd: (waited.append(fd), fsync(fd)))
        patched.setattr(
            files, "_sync_file_system", lambda fd: (waited.append(fd), sync_file_system(fd))
        )
        results = done(root, *steps)
    assert [one.outcome for one in results] == ["Failed", *["Done"] * count]
    for n in range(1, count + 1):
        assert (root / f"srv/{n}" / names.MARKER_FILE).read_text() == f"g.{n}\n"
        assert (root / f"srv/{n}").stat().st_uid == NOBODY.pw_uid
    return len(waited)


def test_many_directories_wait_for_the_disk_no_longer_than_few(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(root, other, dirs_exist_ok=True)
    assert syncs_for(100, root, monkeypatch) <= syncs_for(4, other, monkeypatch)


def test_a_directory_with_somebody_elses_files_is_left_as_it_is(root: Path) -> None:
    (root / "srv/i").mkdir()
    (root / "srv/i/theirs").write_text("x")
    (failed,) = done(root, directory())
    assert (failed.reason, "holds no instance of ours" in failed.message) == ("PathOccupied", True)
    assert (root / "srv/i").stat().st_uid == os.getuid()
    (root / "srv/i" / names.MARKER_FILE).write_text("g.another\n")
    assert done(root, directory())[0].reason == "PathOccupied"
    (root / "srv/i" / names.MARKER_FILE).write_text("g.i\n")
    assert done(root, directory())[0].outcome == "Done"


def test_that_it_is_claimed_in_this_pass_makes_nobody_s_directory_ours(root: Path) -> None:
    (root / "srv/i").mkdir()
    (root / "srv/i/theirs").write_text("x")  # after the look that the plan was made from
    results = done(root, Claim("g/i", ENTRY), directory())
    assert [one.reason for one in results] == ["", "PathOccupied"]
    # Nor that it was claimed in an earlier one, in which there was no user for it.
    claimed = LedgerFile(str(root)).read()
    assert done(root, directory(), ledger=claimed)[0].reason == "PathOccupied"
    applied = replace(claimed, instances=(replace(ENTRY, generation=1),))
    assert done(root, directory(), ledger=applied)[0].outcome == "Done"


def test_a_pass_that_was_killed_before_the_marker_had_its_name_is_gone_on_with(root: Path) -> None:
    (root / "srv/i").mkdir(mode=0o700)
    half = root / "srv/i" / f".{names.MARKER_FILE}.0123456789ab.tmp"
    half.write_text("g.i\n")
    assert done(root, directory())[0].outcome == "Done"
    assert not half.exists()


def test_what_a_user_heaps_up_in_its_directory_is_not_looked_through(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(root, directory())
    for number in range(2000):
        (root / "srv/i" / f".{names.MARKER_FILE}.{number}.tmp").mkdir()
    removed: list[str] = []
    monkeypatch.setattr(Tree, "remove", lambda tree, path, **_: removed.append(path))
    (root / "srv/i").chmod(0o777)
    assert done(root, directory())[0].outcome == "Done"
    assert removed == []
    (root / "srv/i" / names.MARKER_FILE).unlink()
    applied = Ledger("owner", 1, "holder", "host", instances=(replace(ENTRY, generation=1),))
    assert done(root, directory(), ledger=applied)[0].outcome == "Done"
    assert 0 < len(removed) <= 1000


def test_a_link_on_the_way_to_a_directory_is_not_followed(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "srv/tenant").symlink_to(root / "elsewhere")
    assert done(root, directory(path="/srv/tenant/i"))[0].outcome == "Failed"
    (root / "srv/i").symlink_to(root / "elsewhere")
    assert done(root, directory())[0].outcome == "Failed"
    assert list((root / "elsewhere").iterdir()) == []
    assert (root / "elsewhere").stat().st_uid == os.getuid()


def test_a_user_that_is_not_there_owns_nothing(root: Path) -> None:
    (failed,) = done(root, directory(user="wl-0"))
    assert (failed.reason, failed.outcome) == ("UserFailed", "Failed")
    assert not (root / "srv/i").exists()


def test_links_are_made_replaced_and_removed_and_their_targets_stay(root: Path) -> None:
    wants, template = names.wants_path("s", "i"), names.template_path("s")
    done(root, WriteFile("g/i", template, "t", 0o644, True), MakeLink("g/i", wants, "/x"))
    done(root, MakeLink("g/i", wants, template))
    assert (root / wants.lstrip("/")).readlink() == Path(template)
    results = done(root, RemoveFile("g/i", wants, True), RemoveFile("g/i", "/etc/none", True))
    assert [one.outcome for one in results] == ["Done", "Done"]
    assert not (root / wants.lstrip("/")).is_symlink()
    assert (root / template.lstrip("/")).read_text() == "t"


def test_a_directory_that_holds_what_is_not_ours_stays(root: Path) -> None:
    done(root, WriteFile("g/i", DROP_IN, "x", 0o644, True))
    above = root / names.drop_in_dir("s", "i").lstrip("/")
    (above / "90-admin.conf").write_text("theirs")
    (above / ".50-warlock.conf.0123456789ab.tmp").write_text("of a killed pass")
    steps = (
        RemoveFile("g/i", DROP_IN, True),
        RemoveDirectory("g/i", names.drop_in_dir("s", "i")),
    )
    results = done(root, *steps)
    assert [one.outcome for one in results] == ["Done", "Done"]
    assert "not ours" in results[1].message
    assert [entry.name for entry in above.iterdir()] == ["90-admin.conf"]
    (above / "90-admin.conf").unlink()
    done(root, *steps)
    assert not above.exists()


def test_back_off_is_set_and_cleared(root: Path) -> None:
    done(root, SetRetry("g/i", "a", 1, 10), SetRetry("g/i", "b", 2, 20))
    assert Volatile(str(root)).retries() == (Retry("a", 1, 10), Retry("b", 2, 20))
    done(root, ClearRetry("g/i", "a"), SetRetry("g/i", "b", 3, 30))
    assert Volatile(str(root)).retries() == (Retry("b", 3, 30),)


def test_an_agent_that_ends_begins_no_further_phase(root: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        apply((WriteFile("g/i", ENV, "x", 0o600, False),), LEDGER, hands(root), stop)
    assert not (root / ENV.lstrip("/")).exists()


def test_without_room_for_the_authority_nothing_is_touched(root: Path) -> None:
    (root / names.LEDGER_DIR.lstrip("/")).parent.mkdir(parents=True)
    (root / names.LEDGER_DIR.lstrip("/")).write_text("a file in its place")
    with pytest.raises(OSError, match="ledger"):
        done(root, WriteFile("g/i", ENV, "x", 0o600, False))
    assert not (root / ENV.lstrip("/")).exists()
