"""Installing: apt's progress in numbers, what is refused. apt itself runs on a real host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import install
from warlock_agent.files import Tree
from warlock_agent.install import Progress, Runner


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("dlstatus:1:20.5:Retrieving file 1 of 5", ("dlstatus", 20.5, "Retrieving file 1 of 5")),
        ("pmstatus:dpkg-exec:0.0:Running dpkg", ("pmstatus", 0.0, "Running dpkg")),
        ("pmstatus:libc6:amd64:40.0:Unpacking a: b", ("pmstatus", 40.0, "Unpacking a: b")),
        ("pmerror:a:50.0:broken", None),
        ("pmconffile:/etc/a:50.0:'x' 'y' 1 1", None),
        ("pmstatus:a:", None),
        ("pmstatus:a:200.0:more than all", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_lines_of_the_status_descriptor(line: str, status: tuple[str, float, str] | None) -> None:
    assert install.parse_status(line) == status


@given(st.text(max_size=80), st.sampled_from(["", "dlstatus:", "pmstatus:a:"]))
def test_any_line_is_read(text: str, before: str) -> None:
    status = install.parse_status(before + text)
    if status is not None:
        for step in ("Update", "Install"):
            assert 0 <= install.percent_of(step, status[0], status[1]) <= 100


def test_the_parts_of_an_installation_follow_each_other() -> None:
    steps = [("Update", "dlstatus"), ("Install", "dlstatus"), ("Install", "pmstatus")]
    percents = [install.percent_of(*step, percent) for step in steps for percent in (0.0, 100.0)]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)


@pytest.mark.parametrize(
    ("packages", "mask"),
    [(["-oAPT::x=y"], []), (["a;b"], []), (["fine"], ["../../etc/passwd"]), (["fine"], ["x"])],
)
def test_a_name_that_is_none_ends_it_before_anything_is_done(
    tmp_path: Path, packages: list[str], mask: list[str]
) -> None:
    (tmp_path / "op").mkdir()
    tree = Tree(str(tmp_path))
    assert not Runner(packages, mask, "/op", tree).run()
    progress = install.read_progress("/op", tree)
    assert progress is not None
    assert progress.state == install.FAILED
    assert "name" in progress.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["op"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"state": 1}', '{"unknown": 1}', "null", "\xff"]
)
def test_a_progress_that_can_not_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "progress.json").write_text(text, encoding="latin-1")
    assert install.read_progress("/", Tree(str(tmp_path))) is None


def test_progress_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = Progress(install.RUNNING, "Install", 40, "Unpacking", 100)
    (tmp_path / "op").mkdir()
    (tmp_path / "op/progress.json").write_text(json.dumps(made.__dict__))
    assert install.read_progress("/op", Tree(str(tmp_path))) == made
