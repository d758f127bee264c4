"""What the process says of itself to Prometheus, beside what it says of hosts."""

from __future__ import annotations

import asyncio

from warlock_operator.kube.recorder import Counters as EventCounters
from warlock_operator.kube.status import Counters as StatusCounters
from warlock_operator.web.metrics import OperatorCollector, exposition


def tasks(text: bytes) -> float:
    """Give the gauge of the event loop's tasks."""
    lines = text.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("warlock_tasks "))


async def test_a_task_more_is_counted_until_it_ends() -> None:
    render = exposition(OperatorCollector(list, StatusCounters(), EventCounters()))
    before = tasks(render())
    more = asyncio.create_task(asyncio.sleep(3600))
    assert tasks(render()) == before + 1
    more.cancel()
    await asyncio.gather(more, return_exceptions=True)
    assert tasks(render()) == before
