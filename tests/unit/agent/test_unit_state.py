"""What a unit's times and result say of how it ended."""

from __future__ import annotations

import pytest

from warlock_agent.systemd import UnitState

# Started, left "active", and then its process ended: as when somebody stops it.
STOPPED_FIRST = {
    "main_start_monotonic_usec": 1,
    "active_exit_monotonic_usec": 2,
    "main_exit_monotonic_usec": 3,
}
ENDED_FIRST = {**STOPPED_FIRST, "active_exit_monotonic_usec": 4}


@pytest.mark.parametrize("result", ["success", "exit-code", "signal", "core-dump", "timeout"])
def test_who_stops_a_unit_ends_its_process_after_that(result: str) -> None:
    assert UnitState("u", result=result, **STOPPED_FIRST).stopped
    assert not UnitState("u", result=result, **ENDED_FIRST).stopped


@pytest.mark.parametrize("result", ["oom-kill", "watchdog"])
def test_what_systemd_stops_of_its_own_accord_was_stopped_by_nobody(result: str) -> None:
    assert not UnitState("u", result=result, **STOPPED_FIRST).stopped
