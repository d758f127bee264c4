"""An operator with more requests to send than it may: what must not wait does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.kube.proxy import Fault
from tests.cluster.operator.conftest import Cluster, until
from warlock_operator.kube.refs import LEASE
from warlock_operator.reconcile.fleet import Fleet


async def test_the_lease_is_renewed_past_requests_that_queue(cluster: Cluster) -> None:
    cluster.settings = replace(cluster.settings, api_connections=1, api_request_timeout_seconds=30)
    await cluster.furnish()
    for number in range(4):
        await cluster.instance(
            f"i{number}", instance_id=f"550e8400-e29b-41d4-a716-44665544000{number}"
        )
    slow = cluster.settings.lease_renew_seconds * 2
    cluster.proxy.fault = lambda method, path: Fault(
        delay_seconds=slow if method == "PATCH" and "gameinstances" in path else 0
    )
    await cluster.start()
    await until(lambda: len(patched(cluster)) == 1, "a slow request is under way")
    renewed = cluster.proxy.count("PUT", cluster.settings.lease_name)
    await until(lambda: len(patched(cluster)) == 3, "and others behind it")
    assert cluster.proxy.count("PUT", cluster.settings.lease_name) > renewed + 5
    cluster.proxy.fault = lambda method, path: Fault()
    await cluster.wait_ready("i0", "i1", "i2", "i3")
    lease = await cluster.api.get(LEASE, cluster.namespace, cluster.settings.lease_name)
    assert lease["spec"]["leaseTransitions"] == 1


async def test_a_slow_intake_is_not_taken_for_its_end(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.furnish(ports={"ranges": [{"from": 30000, "to": 30999}]})
    ids = [f"550e8400-e29b-41d4-a716-{number:012}" for number in range(200)]
    await asyncio.gather(*(cluster.instance(f"i{n}", instance_id=i) for n, i in enumerate(ids)))
    put = Fleet.put

    def late(fleet: Fleet, kind: Any, raw: Any) -> None:
        wait_seconds = cluster.settings.intake_quiet_seconds * 3
        asyncio.get_running_loop().call_later(wait_seconds, put, fleet, kind, raw)

    monkeypatch.setattr(Fleet, "put", late)
    cluster.proxy.passed.clear()
    await cluster.start()
    one_by_one = [p for m, p in cluster.proxy.passed if m == "GET" and "/gameinstances/i" in p]
    assert len(one_by_one) < 150
    await until(lambda: len(cluster.pids()) == 200, "all run")


def patched(cluster: Cluster) -> list[str]:
    """Writes to instances that have been asked for."""
    seen = cluster.proxy.seen
    return [path for method, path in seen if method == "PATCH" and "gameinstances" in path]
