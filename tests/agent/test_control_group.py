"""Which control group a process is in, by what /proc/PID/cgroup shows on different machines."""

from __future__ import annotations

import pytest

from warlock_agent.cgroup import control_group_of, unit_of_cgroup

UNIT = "/system.slice/system-game.slice/game@default.service"


@pytest.mark.parametrize(
    "text",
    [
        f"0::{UNIT}\n",
        f"9:name=systemd:{UNIT}\n1:cpu:/\n0::{UNIT}\n",
        f"9:name=systemd:{UNIT}\n1:cpu:/\n0::/\n",
        f"9:name=systemd:{UNIT}\n1:cpu:/\n",
        f"9:name=systemd:/\n1:cpu:/\n0::{UNIT}\n",
    ],
    ids=["unified", "hybrid", "legacy", "legacy without v2", "container in a hybrid machine"],
)
def test_the_hierarchy_that_systemd_manages_decides(text: str) -> None:
    assert control_group_of(text) == UNIT
    assert unit_of_cgroup(text) == "game@default.service"
