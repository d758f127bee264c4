"""Facts of a machine, from its files; of this machine, quickly."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import facts


def test_os_release_is_a_shell_s_assignments() -> None:
    text = 'NAME=Debian\nPRETTY_NAME="a \\"b\\" \\$c"\nID=\'debian\'\n# X=1\n\nnonsense\n'
    assert facts.parse_os_release(text) == {
        "NAME": "Debian",
        "PRETTY_NAME": 'a "b" $c',
        "ID": "debian",
    }


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    facts.parse_os_release(text)
    assert facts.parse_meminfo(text) >= 0


def test_a_root_is_read_beneath_its_own_path(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Test 1"\n')
    assert facts.machine_id(str(tmp_path)) == "0123456789abcdef0123456789abcdef"
    assert facts.facts("252", str(tmp_path)).os == "Test 1"
    assert facts.boot_id(str(tmp_path)) == ""
    assert facts.uptime_seconds(str(tmp_path)) == 0.0


def test_this_machine() -> None:
    found = facts.facts("252.1")
    assert found.systemd == "252.1"
    assert found.python == platform.python_version()
    assert found.kernel == os.uname().release
    assert found.architecture == os.uname().machine
    assert found.cpus >= 1
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert abs(found.memory_bytes - pages) < 0.05 * pages
    assert len(facts.boot_id()) == 32
    assert abs(facts.uptime_seconds() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
