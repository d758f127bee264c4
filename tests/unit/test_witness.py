"""The witness says what a machine contradicts, and nothing where it can't tell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.world import wait_for
from tests.health import records
from tests.health.states import Object
from tests.health.witness import Witness

SAMPLE = records.GROUP_FOLDER / "GameInstance/testdata"
UNIT = "warlock-openarena@default.service"


@pytest.fixture
def done() -> Object:
    """An instance that is called done."""
    found = records.load(SAMPLE / "ready-asdeclared.yaml")
    found["metadata"]["uid"] = "u"
    return found


def process(root: Path, pid: str, unit: str = UNIT, **more: str) -> None:
    """Put a process into a machine's /proc."""
    folder = root / "proc" / pid
    folder.mkdir(parents=True)
    guid = "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61"
    made = {"WARLOCK_GUID": guid, "WARLOCK_INSTANCE_ID": "default", "PORT_GAME": "27960", **more}
    (folder / "environ").write_text("".join(f"{k}={v}\0" for k, v in made.items() if v))
    (folder / "cgroup").write_text(f"0::/system.slice/{unit}\n")


def asked(root: Path, *versions: Object) -> Witness:
    """Give a witness that has been told of these and has answered."""
    lab: Any = SimpleNamespace(hosts={"game-a": SimpleNamespace(inside=root)})
    witness = Witness(lab)
    for version in versions:
        witness.told(version)
    witness.start()
    wait_for(lambda: witness.idle, 5.0, "it has answered")
    witness.stop()
    return witness


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        ({}, ""),
        ({"PORT_GAME": "27961"}, "PORT_GAME is '27961' and not '27960'"),
        ({"unit": "other@default.service"}, "it belongs to other@default.service"),
    ],
)
def test_the_process_is_compared_with_the_spec(
    tmp_path: Path, done: Object, what: dict[str, str], wrong: str
) -> None:
    process(tmp_path, "4321", **what)
    assert [each.wrong for each in asked(tmp_path, done).seen] == [wrong]


def test_a_process_that_has_ended_or_tells_nothing_proves_nothing(
    tmp_path: Path, done: Object
) -> None:
    assert asked(tmp_path, done).gone == 1
    process(tmp_path, "4321", WARLOCK_GUID="")
    assert asked(tmp_path, done).gone == 1


def test_what_is_called_done_without_a_process_is_not(tmp_path: Path, done: Object) -> None:
    done["status"]["services"][0]["mainPID"] = 0
    (seen,) = asked(tmp_path, done).seen
    assert "no process" in seen.wrong


def test_of_what_is_stopped_nothing_may_run_unless_it_is_to_start_by_now(tmp_path: Path) -> None:
    stopped = records.load(SAMPLE / "ready-stopped.yaml")
    stopped["metadata"]["uid"] = "u"
    assert [each.wrong for each in asked(tmp_path, stopped).seen] == [""]
    process(tmp_path, "99")
    assert [each.wrong for each in asked(tmp_path, stopped).seen] == ["stopped, and 99 run"]
    later = {**stopped, "metadata": {**stopped["metadata"], "generation": 9}, "status": {}}
    assert asked(tmp_path, stopped, later).gone == 1


def test_a_generation_is_asked_about_once(tmp_path: Path, done: Object) -> None:
    process(tmp_path, "4321")
    assert len(asked(tmp_path, done, done).seen) == 1
