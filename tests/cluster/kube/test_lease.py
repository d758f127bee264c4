"""One leader at a time, as a real apiserver sees it; each later one with a greater token."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.kube.conftest import FAST, ROOT, remove, until
from tests.cluster.kube.proxy import Fault, Proxy
from tests.cluster.kube.tasks import running
from warlock_operator.errors import ApiUnavailable
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.lease import Lease
from warlock_operator.kube.refs import LEASE


async def record(admin: KubeClient, namespace: str) -> dict[str, Any]:
    return await admin.get(LEASE, namespace, "warlock-operator")


async def test_the_token_is_the_version_of_the_update_that_won(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    lease = Lease(own)
    token = await lease.acquire()
    found = await record(admin, namespace)
    assert token == lease.token == int(found["metadata"]["resourceVersion"])
    assert found["spec"]["holderIdentity"] == lease.identity
    assert found["spec"]["leaseTransitions"] == 1
    assert lease.held


async def test_every_process_has_an_identity_of_its_own(own: KubeClient) -> None:
    assert Lease(own).identity != Lease(own).identity


async def test_a_living_holder_keeps_the_lease_and_its_token(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    first, second = Lease(own), Lease(own)
    lost: list[str] = []
    token = await first.acquire()
    async with running(first.hold(lost.append)):
        waiting = asyncio.create_task(second.acquire())
        done, _ = await asyncio.wait({waiting}, timeout=1.5 * FAST.lease_duration_seconds)
        assert not done
        assert (lost, first.held, first.token) == ([], True, token)
        found = await record(admin, namespace)
        assert found["spec"]["holderIdentity"] == first.identity
        assert found["spec"]["leaseTransitions"] == 1
        waiting.cancel()


async def test_a_released_lease_is_taken_at_once_with_a_greater_token(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    patient = replace(own.settings, lease_duration_seconds=300.0)
    own.settings = patient
    first, second = Lease(own), Lease(own)
    before = await first.acquire()
    await first.release()
    assert not first.held
    after = await asyncio.wait_for(second.acquire(), 10)
    assert after > before
    assert (await record(admin, namespace))["spec"]["leaseTransitions"] == 2


async def test_a_holder_that_stops_renewing_is_succeeded_and_finds_out(
    own: KubeClient,
) -> None:
    first, second = Lease(own), Lease(own)
    before = await first.acquire()
    after = await asyncio.wait_for(second.acquire(), 10)  # the first never renews
    assert after > before
    assert not first.held
    lost: list[str] = []
    await asyncio.wait_for(first.hold(lost.append), 10)
    assert len(lost) == 1
    assert first.token == 0


async def test_a_holder_cut_off_from_the_apiserver_is_out_before_anyone_else_is_in(
    proxied: KubeClient, proxy: Proxy, own: KubeClient
) -> None:
    first, second = Lease(proxied), Lease(own)
    ended: list[str] = []
    await first.acquire()
    holding = asyncio.create_task(first.hold(lambda reason: ended.append("first out")))
    taking = asyncio.create_task(second.acquire())
    taking.add_done_callback(lambda task: ended.append("second in"))
    await until(lambda: second._lease, "the second sees the first")
    proxy.fault = lambda method, path: Fault(delay_seconds=60)
    await asyncio.wait_for(asyncio.gather(holding, taking), 15)
    assert ended == ["first out", "second in"]


@pytest.mark.parametrize(
    "fault",
    [
        # As on a connection to an apiserver that lost its power: the next one reaches another.
        Fault(delay_seconds=60),
        Fault(late_seconds=FAST.lease_renew_seconds * 0.6),
    ],
    ids=["never-answered", "taken-and-answered-late"],
)
async def test_one_request_that_goes_wrong_does_not_cost_the_lease(
    proxied: KubeClient, proxy: Proxy, fault: Fault
) -> None:
    lease = Lease(proxied)
    lost: list[str] = []
    await lease.acquire()
    async with running(lease.hold(lost.append)):
        faults = iter([fault])
        proxy.fault = lambda method, path: next(faults, None) if method == "PUT" else None
        renewed = proxy.count("PUT")
        await until(lambda: lost or proxy.count("PUT") > renewed + 3, "renewals")
    assert lost == []


async def test_one_that_leads_no_more_writes_nothing(
    proxied: KubeClient, proxy: Proxy, namespace: str
) -> None:
    leads = True
    proxied.may_write = lambda: leads
    body = {"metadata": {"name": "a-lease"}, "spec": {}}
    made = await proxied.create(LEASE, namespace, body)
    leads = False
    seen = len(proxy.seen)
    with pytest.raises(ApiUnavailable, match="another may lead"):
        await proxied.replace(LEASE, namespace, "a-lease", made)
    assert len(proxy.seen) == seen
    assert (await proxied.get(LEASE, namespace, "a-lease"))["metadata"]["uid"]


async def test_refusals_that_end_in_time_lose_nothing(proxied: KubeClient, proxy: Proxy) -> None:
    lease = Lease(proxied)
    lost: list[str] = []
    await lease.acquire()
    async with running(lease.hold(lost.append)):
        for code in (429, 500, 403, 409):
            proxy.fault = lambda method, path, code=code: Fault(status=code)
            refused = len(proxy.seen)
            await until(lambda refused=refused: len(proxy.seen) > refused + 1, "refusals")
            proxy.fault = lambda method, path: None
            renewed = proxy.count("PUT")
            await until(lambda renewed=renewed: proxy.count("PUT") > renewed + 1, "renewals")
    assert lost == []


async def test_an_answer_that_got_lost_is_found_on_the_lease(
    proxied: KubeClient, proxy: Proxy, admin: KubeClient, namespace: str
) -> None:
    """The update happened, nobody said so: the lease is ours, and the token a later one."""
    faults = iter([Fault(lose_answer=True)])
    proxy.fault = lambda method, path: next(faults, None) if method == "PUT" else None
    lease = Lease(proxied)
    token = await asyncio.wait_for(lease.acquire(), 10)
    found = await record(admin, namespace)
    assert token == int(found["metadata"]["resourceVersion"])
    assert found["spec"]["leaseTransitions"] == 1


async def test_somebody_elses_edit_of_the_lease_is_survived_and_a_takeover_is_not(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    lease = Lease(own)
    lost: list[str] = []
    await lease.acquire()
    async with running(lease.hold(lost.append)):
        await admin.merge(
            LEASE, namespace, "warlock-operator", {"metadata": {"labels": {"x": "y"}}}
        )
        before = (await record(admin, namespace))["spec"]["renewTime"]

        async def renewed() -> bool:
            return (await record(admin, namespace))["spec"]["renewTime"] != before

        await until(renewed, "a renewal after the edit")
        assert lost == []
        await admin.merge(
            LEASE, namespace, "warlock-operator", {"spec": {"holderIdentity": "mallory"}}
        )
        await until(lambda: lost, "the loss is told")
    assert "mallory" in lost[0]
    assert not lease.held


async def test_tokens_grow_also_where_the_lease_was_deleted(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    first = await Lease(own).acquire()
    await remove(admin, LEASE, namespace, "warlock-operator")
    second = await asyncio.wait_for(Lease(own).acquire(), 10)
    assert second > first


HOLDER = """
import asyncio, sys
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.lease import Lease
from warlock_operator.settings import from_environment

async def main():
    import os
    async with await KubeClient.connect(from_environment(os.environ)) as client:
        lease = Lease(client)
        print("leads", await lease.acquire(), flush=True)
        await lease.hold(lambda reason: print("lost", lease.held, flush=True))

asyncio.run(main())
"""


async def test_a_process_that_was_stopped_and_wakes_up_knows_that_it_leads_no_more(
    own: KubeClient, namespace: str
) -> None:
    environment = dict(os.environ) | {
        "PYTHONPATH": str(ROOT / "operator"),
        "WARLOCK_KUBECONFIG": own.settings.kubeconfig,
        "WARLOCK_NAMESPACE": namespace,
        "WARLOCK_LEASE_DURATION_SECONDS": "2",
        "WARLOCK_LEASE_RENEW_SECONDS": "1.4",
        "WARLOCK_LEASE_RETRY_SECONDS": "0.1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        before = int((await asyncio.wait_for(process.stdout.readline(), 20)).split()[1])
        process.send_signal(signal.SIGSTOP)
        after = await asyncio.wait_for(Lease(own).acquire(), 20)
        assert after > before
        process.send_signal(signal.SIGCONT)
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"lost False\n"
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
