"""Events on a real apiserver: seen in ``kubectl describe``, counted, bounded, never in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.cluster.kube.conftest import make_host, make_instance, remove, until
from tests.cluster.kube.proxy import Fault, Proxy
from tests.cluster.kube.tasks import running
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.recorder import NORMAL, WARNING, Recorder
from warlock_operator.kube.refs import EVENT, GAME_HOST, ObjectRef


async def events(admin: KubeClient, namespace: str, ref: ObjectRef) -> list[dict[str, Any]]:
    items, _ = await admin.list_objects(EVENT, namespace)
    return [item for item in items if item["regarding"].get("uid") == ref.uid]


async def test_equal_events_become_one_with_a_count_in_describe(
    admin: KubeClient, kubectl: Callable[..., str], namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    recorder = Recorder(admin, "test")
    async with running(recorder.run()):
        for _ in range(5):
            recorder.event(ref, WARNING, "Crashed", "exit code 1", "Observe")
        recorder.event(ref, NORMAL, "Started", "warlock-openarena@default.service", "Start")
        assert await recorder.flush(10)
    found = await events(admin, namespace, ref)
    assert sorted(e["reason"] for e in found) == ["Crashed", "Started"]
    described = kubectl("describe", "gameinstance", "-n", namespace, "arena")
    crashed = next(line for line in described.splitlines() if "exit code 1" in line)
    assert "Warning" in crashed
    assert "x5" in crashed
    assert recorder.counters.written == 2
    assert recorder.counters.counted == 4


async def test_describe_tells_a_story_in_its_order(
    admin: KubeClient, kubectl: Callable[..., str], namespace: str
) -> None:
    """More than a dozen: kubectl's sort keeps few equal ones in order, whatever they are."""
    ref = await make_instance(admin, namespace, "arena")
    admin.settings = replace(admin.settings, event_burst=40)
    for process in ("before", "after its restart"):
        recorder = Recorder(admin, process)
        async with running(recorder.run()):
            for number in range(15):
                recorder.event(ref, NORMAL, "Changed", f"{process} {number}", "Converge")
            recorder.event(ref, NORMAL, "Changed", f"{process} 3", "Converge")
            assert await recorder.flush(10)
    described = kubectl("describe", "gameinstance", "-n", namespace, "arena")
    told = [line.split("operator  ")[1] for line in described.splitlines() if "Changed" in line]
    assert told == [f"{p} {n}" for p in ("before", "after its restart") for n in range(15)]


async def test_counts_follow_without_a_flush(admin: KubeClient, namespace: str) -> None:
    ref = await make_instance(admin, namespace, "arena")
    recorder = Recorder(admin, "test")

    async def count() -> int:
        found = await events(admin, namespace, ref)
        return int((found[0].get("series") or {}).get("count", 1)) if found else 0

    async with running(recorder.run()):
        for _ in range(3):
            recorder.event(ref, WARNING, "Crashed", "exit code 1", "Observe")

        async def counted() -> bool:
            return await count() == 3

        await until(counted, "the series says 3")


async def test_events_of_a_cluster_scoped_object_are_seen_too(
    admin: KubeClient, kubectl: Callable[..., str], namespace: str
) -> None:
    ref = await make_host(admin, namespace)
    try:
        recorder = Recorder(admin, "test")
        async with running(recorder.run()):
            recorder.event(ref, WARNING, "HostUnreachable", "no route to host", "Connect")
            assert await recorder.flush(10)
        assert "no route to host" in kubectl("describe", "gamehost", ref.name)
    finally:
        await remove(admin, GAME_HOST, None, ref.name)


async def test_an_object_that_speaks_too_much_is_cut_off_alone(
    admin: KubeClient, namespace: str
) -> None:
    loud = await make_instance(admin, namespace, "loud")
    quiet = await make_instance(admin, namespace, "quiet")
    admin.settings = replace(admin.settings, event_burst=3)
    recorder = Recorder(admin, "test")
    async with running(recorder.run()):
        for number in range(10):
            recorder.event(loud, NORMAL, "Changed", f"number {number}", "Converge")
        recorder.event(quiet, NORMAL, "Changed", "once", "Converge")
        assert await recorder.flush(10)
    assert len(await events(admin, namespace, loud)) == 3
    assert len(await events(admin, namespace, quiet)) == 1
    assert recorder.counters.dropped == 7


async def test_a_full_queue_drops_and_nobody_waits(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    proxied.settings = replace(proxied.settings, event_queue=5)
    recorder = Recorder(proxied, "test")
    for number in range(20):
        recorder.event(ref, NORMAL, "Changed", f"number {number}", "Converge")
    assert recorder.counters.dropped == 15
    async with running(recorder.run()):
        assert await recorder.flush(10)
    assert proxy.count("POST") == 5


async def test_an_apiserver_that_is_away_for_a_moment_loses_no_event(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    recorder = Recorder(proxied, "test")
    proxy.fault = lambda method, path: Fault(status=503) if len(proxy.seen) < 2 else None
    async with running(recorder.run()):
        recorder.event(ref, NORMAL, "Started", "m", "Start")
        assert await recorder.flush(10)
    assert len(await events(admin, namespace, ref)) == 1


async def test_events_in_a_namespace_that_is_gone_stop_no_others(
    admin: KubeClient, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    recorder = Recorder(admin, "test")
    async with running(recorder.run()):
        gone = ObjectRef("GameInstance", "no-such-namespace", "x", "u")
        recorder.event(gone, NORMAL, "Started", "m", "Start")
        recorder.event(ref, NORMAL, "Started", "m", "Start")
        assert await recorder.flush(10)
    assert len(await events(admin, namespace, ref)) == 1
    assert recorder.counters.dropped == 1


async def test_an_event_that_expired_is_made_anew(admin: KubeClient, namespace: str) -> None:
    ref = await make_instance(admin, namespace, "arena")
    recorder = Recorder(admin, "test")
    async with running(recorder.run()):
        recorder.event(ref, NORMAL, "Started", "m", "Start")
        assert await recorder.flush(10)
        (first,) = await events(admin, namespace, ref)
        await remove(admin, EVENT, namespace, first["metadata"]["name"])
        recorder.event(ref, NORMAL, "Started", "m", "Start")
        assert await recorder.flush(10)
        recorder.event(ref, NORMAL, "Started", "m", "Start")
        assert await recorder.flush(10)
    (second,) = await events(admin, namespace, ref)
    assert second["metadata"]["name"] != first["metadata"]["name"]
