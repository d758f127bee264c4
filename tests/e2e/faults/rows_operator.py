"""Rows: the operator's process. Every machine is watched meanwhile."""

from __future__ import annotations

import random
import time

from tests.e2e.faults import acts
from tests.e2e.faults.row import Act, Row
from tests.e2e.faults.stage import Stage
from tests.e2e.faults.walker import healthy_agents

KILLS = 50
LONGEST_SECONDS = 5.0
"""The Lease of the one that was killed runs out after two; a first pass is over in four."""
SHORT_LEASE = {
    "WARLOCK_LEASE_DURATION_SECONDS": "2",
    "WARLOCK_LEASE_RENEW_SECONDS": "1.5",
    "WARLOCK_LEASE_RETRY_SECONDS": "0.25",
}


def anew(stage: Stage) -> None:
    """Start anew: a supervisor waits longer each time that its operator has ended early."""
    stage.operator.stop()
    stage.start_operator()
    stage.operator.wait_ready()


def _kill_often(stage: Stage) -> None:
    """Kill at moments that differ from run to run only with the machine's speed: a fixed seed."""
    chance = random.Random(KILLS)
    for _ in range(KILLS):
        acts.EDIT.do(stage)
        time.sleep(chance.uniform(0.0, LONGEST_SECONDS))  # the moment is what the row is about
        stage.operator.crash()
        stage.start_operator(**SHORT_LEASE)


def _stop_process(stage: Stage) -> None:
    stage.operator.pause()
    stage.until(lambda: not stage.agents(), 30.0, "the agent has given up")


ROWS: tuple[Row, ...] = (
    Row(
        f"operator killed, {KILLS} times",
        made=Act(
            f"{KILLS} edits, SIGKILL within 5 s of each at random; a Lease of 2 s", _kill_often
        ),
        cured=acts.NOTHING,
        healed=lambda stage: acts.edit_arrived(stage) and healthy_agents(stage),
        heals_seconds=20,
        after=anew,
        starts=(1, KILLS),
    ),
    Row(
        "operator stopped for longer than its keep-alive",
        made=Act("SIGSTOP until the agents have given up", _stop_process),
        cured=Act("SIGCONT", lambda stage: stage.operator.resume()),
        healed=healthy_agents,
        heals_seconds=30,
        after=anew,
    ),
)
