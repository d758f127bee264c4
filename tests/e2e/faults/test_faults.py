"""Every row of the fault table: it is told, it heals by itself in time, and harms nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.faults import rows, walker
from tests.e2e.faults.guard import Guard
from tests.e2e.faults.lanes import Lanes
from tests.e2e.faults.row import Measured, Row
from tests.e2e.faults.stage import NEIGHBOUR, SAVE
from tests.e2e.world import GUID
from warlock_agent import names


@pytest.mark.parametrize("row", rows.ROWS, ids=lambda row: row.id)
def test_a_fault_is_told_and_heals(row: Row, measured: Measured) -> None:
    if measured.failure is not None:
        raise measured.failure
    assert measured.harm == []
    assert measured.healed_seconds <= row.heals_seconds


def test_the_guard_sees_what_it_is_there_for(lanes: Lanes) -> None:
    stage = lanes.finished()
    stage.until(stage.well, 60.0, "well before it is harmed")
    environment = names.env_path(GUID, stage.arena_id)
    save = f"{stage.get(NEIGHBOUR)['status']['path']}/{SAVE}"
    harm: set[str] = set()

    def seen() -> bool:
        harm.update(guard.harm)
        told = " ".join(harm)
        return all(
            word in told for word in ("processes", "half-written", f"{save} is gone", "changed")
        )

    with Guard(stage) as guard:
        stage.shell(f"kill -9 {stage.machine.main_pid()}")
        stage.shell(f"printf 'HOME=' > {environment}; mv {save} {save}.kept")
        stage.shell(f"echo >> {names.env_path(GUID, 'default')}")
        stage.until(seen, 10.0, "the guard has seen it all")
    stage.shell(f"mv {save}.kept {save}")


def test_an_exception_of_our_own_is_found_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "operator.log"
    ours = {"logger": "asyncio", "exception": "File /operator/warlock_operator/x.py"}
    told = [{"logger": "kopf._core", "exception": "File /kopf/x.py"}, {"logger": "x"}, ours]
    log.write_text("".join(f"{json.dumps(each)}\n" for each in told) + "Traceback (most recent\n")
    assert walker.tracebacks(log, 0) == [json.dumps(ours), "Traceback (most recent"]
    assert walker.tracebacks(log, log.stat().st_size) == []
