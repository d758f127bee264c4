"""What a control group uses: every layout of the trees, and this process without controllers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import cgroup
from warlock_agent.cgroup import Cgroups

_GROUP = "/system.slice/game@a.service"


def _files(root: Path, **contents: str) -> None:
    """Write files by ``tree__name``, dots as underscores after the first double one."""
    for key, text in contents.items():
        tree, _, name = key.rpartition("__")
        folder = root / tree / _GROUP.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name.replace("_", ".", 1)).write_text(text)


def test_controllers_of_version_2_are_believed(tmp_path: Path) -> None:
    _files(
        tmp_path,
        cgroup_procs="",
        memory_current="1000\n",
        pids_current="3\n",
        cpu_stat="usage_usec 77\nuser_usec 70\n",
    )
    sample = Cgroups(str(tmp_path)).sample("a", _GROUP)
    assert (sample.memory_bytes, sample.memory_source) == (1000, "Cgroup")
    assert (sample.tasks, sample.cpu_usec, sample.unit) == (3, 77, "a")


def test_controllers_of_version_1_are_believed(tmp_path: Path) -> None:
    _files(tmp_path, systemd__cgroup_procs="", pids__pids_current="4\n")
    for tree, name, text in (
        ("memory", "memory.usage_in_bytes", "2000\n"),
        ("cpuacct", "cpuacct.usage", "5000000\n"),
    ):
        folder = tmp_path / tree / _GROUP.strip("/")
        folder.mkdir(parents=True)
        (folder / name).write_text(text)
    sample = Cgroups(str(tmp_path)).sample("a", _GROUP)
    assert (sample.memory_bytes, sample.memory_source) == (2000, "Cgroup")
    assert (sample.tasks, sample.cpu_usec) == (4, 5000)


@pytest.mark.parametrize("tree", ["", "unified", "systemd"])
def test_without_controllers_the_processes_are_added_up(tmp_path: Path, tree: str) -> None:
    _files(tmp_path, **{f"{tree}__cgroup_procs": f"{os.getpid()}\n"})
    sample = Cgroups(str(tmp_path)).sample("a", _GROUP)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert sample.memory_source == "ProcessPSS"
    assert 0 < sample.memory_bytes <= resident * 1.2
    assert sample.tasks == len(list(Path("/proc/self/task").iterdir()))
    assert sample.cpu_usec > 0


def test_processes_of_sub_groups_count(tmp_path: Path) -> None:
    _files(tmp_path, cgroup_procs="1\n")
    below = tmp_path / _GROUP.strip("/") / "a/b"
    below.mkdir(parents=True)
    (below / "cgroup.procs").write_text("7\n5\n")
    assert Cgroups(str(tmp_path)).processes(_GROUP) == [1, 5, 7]


def test_a_group_that_is_gone_uses_nothing(tmp_path: Path) -> None:
    sample = Cgroups(str(tmp_path)).sample("a", _GROUP)
    assert (sample.memory_bytes, sample.memory_source, sample.tasks) == (0, "", 0)


def test_a_process_that_has_ended_is_left_out(tmp_path: Path) -> None:
    _files(tmp_path, cgroup_procs=f"{os.getpid()}\n{2**22 + 1}\n")
    assert Cgroups(str(tmp_path)).sample("a", _GROUP).tasks >= 1


def test_controllers_are_those_of_either_version(tmp_path: Path) -> None:
    for name in ("memory", "cpu,cpuacct", "systemd", "unified"):
        (tmp_path / name).mkdir()
    assert Cgroups(str(tmp_path)).controllers() == ("cpu", "cpuacct", "memory")
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    assert Cgroups(str(tmp_path)).controllers() == ("memory", "pids")


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/system-game.slice/game@a.service", "game@a.service"),
        ("/system.slice/game@a.service/worker/1", "game@a.service"),
        ("/user.slice/user-0.slice/session-1.scope", "session-1.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "user@1000.service"),
        ("/system.slice/_cpu.service", "cpu.service"),
        ("/init.scope", "init.scope"),
        ("/docker/abc", ""),
        ("/", ""),
        ("", ""),
    ],
)
def test_a_group_belongs_to_the_first_unit_on_its_path(path: str, unit: str) -> None:
    assert cgroup.unit_of_control_group(path) == unit


def test_a_process_may_have_any_name() -> None:
    text = "7 (a) b) c) S " + " ".join(str(i) for i in range(4, 30))
    usec, threads = cgroup.parse_process_stat(text) or (0, 0)
    assert threads == 20
    assert usec == (14 + 15) * 1_000_000 // os.sysconf("SC_CLK_TCK")


@given(st.text(max_size=200))
def test_any_text_of_the_kernel_is_read(text: str) -> None:
    cgroup.parse_process_stat(text)
    cgroup.parse_pss(text)
    cgroup.fields_of(text)
    cgroup.unit_of_cgroup(text)


def test_proportional_memory_is_in_kilobytes() -> None:
    text = "55-ff ---p 00000000 00:00 0  [rollup]\nRss:  900 kB\nPss:   12 kB\nPss_Dirty: 1 kB\n"
    assert cgroup.parse_pss(text) == 12 * 1024
