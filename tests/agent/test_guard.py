"""However wrong a plan is, it takes nothing away that no list asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from warlock_agent import names
from warlock_agent.guard import violation
from warlock_agent.model import (
    DesiredGame,
    DesiredHost,
    DesiredInstance,
    DesiredService,
    KeptInstance,
    Ledger,
    LedgerEntry,
    LedgerFile,
    RemovedInstance,
)
from warlock_agent.steps import (
    Claim,
    ClearRetry,
    EnsureUser,
    Forget,
    Record,
    Reload,
    RemoveDirectory,
    RemoveFile,
    ResetFailed,
    RestartUnit,
    SetRetry,
    StartInstall,
    StartUnit,
    Step,
    StopUnit,
    WriteFile,
)

ENV = names.env_path("g", "i")
TEMPLATE = names.template_path("s")
ENTRY = LedgerEntry(
    "g", "i", "ns", "n", "uid", 1, "/srv/i", "wl-1", (), ("s",), (LedgerFile(ENV, ""),)
)
LEDGER = Ledger("a", instances=(ENTRY,))
GAMES = (DesiredGame("g", "game", "Game", (DesiredService("s", ("/bin/x",)),)),)
INSTANCE = DesiredInstance("g", "i", "ns", "n", "uid", 1, "/srv/i")
NOTHING = DesiredHost("h", ("/srv",), GAMES)
CONVERGE = replace(NOTHING, converge=(INSTANCE,))
STOPPED = replace(NOTHING, converge=(replace(INSTANCE, running=False),))
REMOVE = replace(NOTHING, remove=(RemovedInstance("g", "i", "uid"),))
KEPT = replace(REMOVE, keep=(KeptInstance("g", "i"),), converge=(INSTANCE,))
STRANGER = replace(NOTHING, remove=(RemovedInstance("g", "i", "other"),))
UNIT = names.unit_name("s", "i")
KEY = "g/i"
TAKING: tuple[Step, ...] = (
    StopUnit(KEY, UNIT),
    RemoveFile(KEY, ENV, False),
    RemoveFile(KEY, TEMPLATE, True),
    RemoveDirectory(KEY, names.drop_in_dir("s", "i")),
    Forget(KEY),
)
MAKING: tuple[Step, ...] = (
    Claim(KEY, ENTRY),
    EnsureUser(KEY, "wl-1", "/srv/i"),
    WriteFile(KEY, ENV, "", 0o600, False),
    StartUnit(KEY, UNIT),
    RestartUnit(KEY, UNIT),
    Record(KEY, ENTRY),
)


@pytest.mark.parametrize("step", TAKING, ids=lambda step: type(step).__name__)
def test_what_is_to_be_removed_may_be_taken(step: Step) -> None:
    assert violation((step,), REMOVE, LEDGER) is None


@pytest.mark.parametrize("step", [*TAKING, *MAKING], ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("desired", [NOTHING, KEPT, STRANGER], ids=["orphan", "kept", "stranger"])
def test_what_no_list_names_is_not_touched(step: Step, desired: DesiredHost) -> None:
    assert violation((Reload(), step), desired, LEDGER)


@pytest.mark.parametrize("step", MAKING, ids=lambda step: type(step).__name__)
def test_what_is_to_converge_may_be_made_and_what_is_to_go_may_not(step: Step) -> None:
    assert violation((step,), CONVERGE, LEDGER) is None
    assert violation((step,), REMOVE, LEDGER)


@pytest.mark.parametrize(
    ("step", "desired", "allowed"),
    [
        (StopUnit(KEY, UNIT), STOPPED, True),
        (StopUnit(KEY, UNIT), CONVERGE, False),
        (Forget(KEY), STOPPED, False),
        (RemoveDirectory(KEY, "/x"), STOPPED, False),
        (RemoveFile(KEY, ENV, False), STOPPED, True),
        (RemoveFile(KEY, TEMPLATE, True), STOPPED, False),
        (RemoveFile(KEY, "/etc/passwd", False), REMOVE, False),
        (RemoveFile(KEY, names.env_path("g", "other"), False), REMOVE, False),
        (RemoveFile("g/other", ENV, False), REMOVE, False),
        (StartInstall("g", "install-g", (), ()), NOTHING, True),
        (StartInstall("z", "install-z", (), ()), NOTHING, False),
        (SetRetry("g", "x", 1, 1), NOTHING, True),
        (SetRetry("z", "x", 1, 1), NOTHING, False),
        (ClearRetry(KEY, "x"), CONVERGE, True),
        (ResetFailed(KEY, UNIT), REMOVE, True),
        (ResetFailed(KEY, UNIT), NOTHING, False),
    ],
)
def test_each_kind_has_its_limits(step: Step, desired: DesiredHost, allowed: bool) -> None:
    assert (violation((step,), desired, LEDGER) is None) == allowed


def test_a_file_of_ours_in_a_place_that_is_not_is_left_even_if_the_ledger_lists_it() -> None:
    for path in ("/etc/passwd", names.LEDGER_DIR + "/ledger.json", names.AGENT_DIR + "/x.pyz"):
        entry = replace(ENTRY, files=(LedgerFile(path, ""),))
        step = RemoveFile(KEY, path, False)
        assert violation((step,), REMOVE, Ledger("a", instances=(entry,)))


def test_a_template_that_another_instance_uses_stays() -> None:
    other = replace(ENTRY, instance_id="j")
    ledger = replace(LEDGER, instances=(ENTRY, other))
    assert violation((RemoveFile(KEY, TEMPLATE, True),), REMOVE, ledger)
    both = replace(REMOVE, remove=(*REMOVE.remove, RemovedInstance("g", "j", "uid")))
    assert violation((RemoveFile(KEY, TEMPLATE, True),), both, ledger) is None


def test_a_restored_object_with_a_new_uid_may_be_removed_by_its_name() -> None:
    removed = RemovedInstance("g", "i", "new-uid", "ns", "n")
    assert violation((Forget(KEY),), replace(NOTHING, remove=(removed,)), LEDGER) is None


def test_the_objection_names_the_step() -> None:
    said = violation((Reload(), StopUnit(KEY, UNIT)), NOTHING, LEDGER)
    assert said
    assert said.startswith(f"StopUnit of {UNIT} for g/i")
