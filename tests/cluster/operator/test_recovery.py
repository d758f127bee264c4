"""A game that ends by itself: time to be Ready again, and not a moment more."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.cluster.operator.conftest import Cluster, until

UNIT = "warlock-openarena@default.service"


async def _running(cluster: Cluster, grace_seconds: float) -> None:
    cluster.settings = replace(cluster.settings, recovery_grace_seconds=grace_seconds)
    await cluster.furnish()
    await cluster.instance()
    await cluster.start()
    await cluster.wait_ready()


def _passed(cluster: Cluster, passes: int) -> bool:
    return cluster.machine.passes > passes


async def test_a_crash_is_reconciling_only_when_its_time_is_up(cluster: Cluster) -> None:
    await _running(cluster, 2.0)
    cluster.happen(lambda: cluster.machine.crash(UNIT))
    ended = await cluster.wait_condition("Ready", "False", "Recovering")
    assert "2 s" in ended["message"]
    await cluster.wait_condition("Running", "False", "MainProcessExited")
    await cluster.wait_condition("Reconciling", "False")
    # Nobody says anything more, and still it ends.
    await cluster.wait_condition("Reconciling", "True", "MainProcessExited")
    ready = await cluster.wait_condition("Ready", "False", "MainProcessExited")
    assert ready["lastTransitionTime"] == ended["lastTransitionTime"]
    cluster.happen(lambda: cluster.machine.restart(UNIT))
    await cluster.wait_ready()


async def test_one_that_is_back_in_time_never_was_reconciling(cluster: Cluster) -> None:
    await _running(cluster, 3600.0)
    seen: list[str] = []
    for number in range(1, 4):
        cluster.happen(lambda: cluster.machine.crash(UNIT))
        await cluster.wait_condition("Ready", "False", "Recovering")
        passes = cluster.machine.passes
        cluster.happen(lambda: cluster.machine.restart(UNIT))
        await cluster.wait_ready()
        # What ends while a pass is under way has no grace: let the one that this gives be over.
        await until(partial(_passed, cluster, passes), "the new process was looked at")
        found = await cluster.seen()
        assert found["status"]["services"][0]["restarts"] == number
        seen += [
            each["lastTransitionTime"]
            for each in found["status"]["conditions"]
            if each["type"] == "Reconciling"
        ]
    assert len(set(seen)) == 1


async def test_the_next_operator_keeps_the_time_and_a_lost_host_ends_it(cluster: Cluster) -> None:
    await _running(cluster, 3600.0)
    cluster.happen(lambda: cluster.machine.crash(UNIT))
    await cluster.wait_condition("Ready", "False", "Recovering")
    await cluster.stop()
    passes = cluster.machine.passes
    await cluster.start()
    await until(partial(_passed, cluster, passes), "the next one has looked")
    # Ends anew, so that what is shown is the next one's own judgement.
    cluster.happen(lambda: cluster.machine.crash(UNIT, status=7))

    async def told_anew() -> bool:
        ready = await cluster.wait_condition("Ready", "False", "Recovering")
        return "exit code 7" in ready["message"]

    await until(told_anew, "it recovers, from another end")
    cluster.machine.faults.unreachable = True
    cluster.happen(cluster.machine.cut)
    await cluster.wait_condition("Ready", "Unknown", "NotSeen")
    cluster.machine.faults.unreachable = False
    cluster.happen(lambda: cluster.machine.restart(UNIT))
    await cluster.wait_ready()
