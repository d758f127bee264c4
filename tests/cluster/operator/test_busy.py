"""An operator with more requests to send than it may: what must not wait does not."""

from __future__ import annotations

from dataclasses import replace

from tests.cluster.kube.proxy import Fault
from tests.cluster.operator.conftest import Cluster, until
from warlock_operator.kube.refs import LEASE


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


def patched(cluster: Cluster) -> list[str]:
    """Writes to instances that have been asked for."""
    seen = cluster.proxy.seen
    return [path for method, path in seen if method == "PATCH" and "gameinstances" in path]
