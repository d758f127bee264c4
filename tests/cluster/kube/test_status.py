"""The status writer on a real apiserver: the newest status arrives, with few writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.kube.conftest import FAST, make_instance, remove, until
from tests.cluster.kube.proxy import Fault, Proxy
from tests.cluster.kube.tasks import running
from warlock_operator.api.crd import NOT_YET_OBSERVED
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.refs import GAME_INSTANCE, ObjectRef
from warlock_operator.kube.status import StatusWriter


class Inventory:
    """Which uid has which name, as the operator believes."""

    def __init__(self) -> None:
        self.uids: dict[tuple[str, str, str], str] = {}

    def put(self, ref: ObjectRef) -> ObjectRef:
        self.uids[ref.kind, ref.namespace, ref.name] = ref.uid
        return ref

    def uid(self, kind: str, namespace: str, name: str) -> str | None:
        return self.uids.get((kind, namespace, name))


@pytest.fixture
def inventory() -> Inventory:
    return Inventory()


@pytest.fixture
async def make(admin: KubeClient, namespace: str, inventory: Inventory) -> Callable[[str], Any]:
    async def made(name: str) -> ObjectRef:
        return inventory.put(await make_instance(admin, namespace, name))

    return made


def status(number: int = 0, state: str = "Running", **more: Any) -> dict[str, Any]:
    return {"state": state, "observedGeneration": number, **more}


async def shown(admin: KubeClient, ref: ObjectRef) -> Any:
    return (await admin.get(GAME_INSTANCE, ref.namespace, ref.name)).get("status")


async def test_the_newest_status_wins_and_those_between_are_never_written(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    ref = await make("arena")
    writer = StatusWriter(proxied, inventory.uid)
    proxy.fault = lambda method, path: Fault(delay_seconds=0.2)
    async with running(writer.run()):
        writer.publish(ref, status(1))
        await until(lambda: proxy.seen, "the first write is under way")
        for number in range(2, 50):
            writer.publish(ref, status(number))
        assert await writer.flush(10)
    assert await shown(admin, ref) == status(49)
    assert proxy.count("PATCH") == writer.counters.writes == 2


async def test_what_is_equal_is_not_written_again(
    proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    ref = await make("arena")
    writer = StatusWriter(proxied, inventory.uid)
    async with running(writer.run()):
        for _ in range(5):
            writer.publish(ref, status(1))
            assert await writer.flush(10)
    assert proxy.count("PATCH") == 1
    assert writer.counters.equal == 4


async def test_what_others_write_into_a_status_is_put_right(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    """A leader that was stopped in the middle of a write, or a person with --subresource."""
    ref = await make("arena")
    writer = StatusWriter(proxied, inventory.uid)
    async with running(writer.run()):
        writer.publish(ref, status(7))
        assert await writer.flush(5)
        ours = await admin.get(GAME_INSTANCE, ref.namespace, ref.name)
        foreign = await admin.apply_status(ref, status(6, "Crashed"))
        writes = proxy.count("PATCH")
        # What a watch brings late, and our own write, say nothing.
        for version in ("1", ours["metadata"]["resourceVersion"], ""):
            writer.found(ref.uid, version, lambda: status(5))
        assert await writer.flush(5)
        assert proxy.count("PATCH") == writes
        writer.found(ref.uid, foreign, lambda: status(6, "Crashed"))
        assert await writer.flush(5)
        assert await shown(admin, ref) == status(7)
        assert proxy.count("PATCH") == writes + 1
        # An edit of something else, with the status as it should be.
        edited = await admin.merge(
            GAME_INSTANCE, ref.namespace, ref.name, {"metadata": {"labels": {"a": "b"}}}
        )
        writer.found(ref.uid, edited["metadata"]["resourceVersion"], lambda: status(7))
        assert await writer.flush(5)
        assert proxy.count("PATCH") == writes + 1
        # Somebody who writes it again and again is not answered without a pause.
        for number in range(20):
            again = await admin.apply_status(ref, status(number, "Crashed"))
            writer.found(ref.uid, again, lambda: status(0, "Crashed"))
            await asyncio.sleep(0)
        assert proxy.count("PATCH") == writes + 1
        writer.publish(ref, status(8))  # while news of our own does not wait
        assert await writer.flush(5)
        assert await shown(admin, ref) == status(8)


async def test_what_others_wrote_while_we_did_is_put_right_too(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    ref = await make("arena")
    writer = StatusWriter(proxied, inventory.uid)
    faults = iter([Fault(late_seconds=1.0)])
    proxy.fault = lambda method, path: next(faults, None) if method == "PATCH" else None
    async with running(writer.run()):
        writer.publish(ref, status(7))

        async def is_written() -> bool:
            return await shown(admin, ref) == status(7)

        await until(is_written, "our write is there, and not answered")
        foreign = await admin.apply_status(ref, status(6, "Crashed"))
        writer.found(ref.uid, foreign, lambda: status(6, "Crashed"))
        await until(is_written, "it is put right")


async def test_a_restarted_operator_that_finds_all_well_writes_nothing(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    refs = [await make(f"arena-{number}") for number in range(5)]
    for ref in refs:
        await admin.apply_status(ref, status(1, metrics={"tasks": 5}))
    writer = StatusWriter(proxied, inventory.uid)
    async with running(writer.run()):
        for ref in refs:
            writer.prime(ref, await shown(admin, ref))
            writer.publish(ref, status(1, metrics={"tasks": 6}))
        assert await writer.flush(10)
        assert proxy.seen == []
        writer.publish(refs[0], status(2))
        assert await writer.flush(10)
    assert proxy.count("PATCH") == 1


async def test_after_a_restart_measurements_wait_for_their_period(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    fresh, known = await make("fresh"), await make("known")
    await admin.apply_status(known, status(1, metrics={"cpuMillicores": 900}))
    proxied.settings = replace(FAST, status_measurement_seconds=600.0)
    writer = StatusWriter(proxied, inventory.uid)
    async with running(writer.run()):
        for ref in (fresh, known):
            writer.prime(ref, await shown(admin, ref))
            writer.publish(ref, status(1, metrics={"cpuMillicores": 5}))
        await until(lambda: writer.counters.writes, "the one that shows nothing yet")
        assert await writer.flush(10)
    assert (await shown(admin, known))["metrics"] == {"cpuMillicores": 900}
    assert proxy.count("PATCH") == writer.counters.writes == 1


async def test_under_a_storm_of_refusals_every_newest_status_arrives_serially(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    refs = [await make(f"arena-{number}") for number in range(12)]
    writer = StatusWriter(proxied, inventory.uid)
    codes = [429, 0, 500, 0, 503, 409]

    def fault(method: str, path: str) -> Fault:
        return Fault(status=codes[len(proxy.seen) % len(codes)], delay_seconds=0.01)

    proxy.fault = fault
    async with running(writer.run()):
        for number in range(10):
            for ref in refs:
                writer.publish(ref, status(number))
            await asyncio.sleep(0)
        assert await writer.flush(20)
    for ref in refs:
        assert await shown(admin, ref) == status(9)
    assert writer.counters.errors > 0
    assert max(proxy.at_once.values()) == 1


async def test_the_apiserver_says_how_long_to_wait(
    proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    ref = await make("arena")
    writer = StatusWriter(proxied, inventory.uid)
    proxy.fault = lambda method, path: Fault(status=429, retry_after="1")
    async with running(writer.run()):
        writer.publish(ref, status(1))
        assert not await writer.flush(0.9)  # the settings alone would have tried three times
        assert len(proxy.seen) == 1
        proxy.fault = lambda method, path: None
        assert await writer.flush(10)


async def test_a_write_whose_answer_got_lost_counts_as_unknown(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    """B is written, nobody hears so; A is wanted again, as it was before: A must be written."""
    ref = await make("arena")
    writer = StatusWriter(proxied, inventory.uid)
    a, b = status(1), status(1, state="Crashed")
    async with running(writer.run()):
        writer.publish(ref, a)
        assert await writer.flush(10)
        proxy.fault = lambda method, path: Fault(lose_answer=True)
        writer.publish(ref, b)
        await until(lambda: writer.counters.errors, "the lost answer")
        proxy.fault = lambda method, path: None
        writer.publish(ref, a)
        assert await writer.flush(10)
    assert await shown(admin, ref) == a


async def test_measurements_alone_wait_for_their_period_and_the_newest_is_written(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    ref = await make("arena")
    proxied.settings = replace(FAST, status_measurement_seconds=1.5)
    writer = StatusWriter(proxied, inventory.uid)
    async with running(writer.run()):
        writer.publish(ref, status(1, players={"online": 0}))
        assert await writer.flush(10)
        for online in range(1, 20):
            writer.publish(ref, status(1, players={"online": online}))
            await asyncio.sleep(0.01)
        assert proxy.count("PATCH") == 1
        await until(lambda: writer.counters.measurement_writes == 1, "the period's write")
    assert (await shown(admin, ref))["players"] == {"online": 19}


async def test_a_measurement_alone_differs_from_what_was_published_or_found(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    published, found, unknown = [await make(name) for name in ("published", "found", "unknown")]
    proxied.settings = replace(FAST, status_measurement_seconds=0.2)
    writer = StatusWriter(proxied, inventory.uid)
    writer.prime(found, status(1, metrics={"tasks": 1}))
    async with running(writer.run()):
        writer.publish(published, status(1, metrics={"tasks": 1}))
        assert await writer.flush(10)
        for ref in (published, found, unknown):
            writer.measure(ref, "metrics", {"tasks": 2})  # within the band
        for tasks in (40, 50):
            for ref in (published, found, unknown):
                writer.measure(ref, "metrics", {"tasks": tasks})
        await until(lambda: writer.counters.measurement_writes == 2, "both are written")
    for ref in (published, found):
        assert await shown(admin, ref) == status(1, metrics={"tasks": 50})
    assert await shown(admin, unknown) == NOT_YET_OBSERVED
    assert proxy.count("PATCH") == 3


async def test_a_change_of_state_overtakes_and_takes_the_measurements_along(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    refs = [await make(f"arena-{number}") for number in range(6)]
    proxied.settings = replace(FAST, status_measurements_per_second=0.001)
    writer = StatusWriter(proxied, inventory.uid)
    for ref in refs:
        writer.prime(ref, status(1, players={"online": 0}))
    async with running(writer.run()):
        for ref in refs:
            writer.publish(ref, status(1, players={"online": 1}))
        await until(lambda: writer.counters.writes == 1, "the fleet's allowance")
        crashed = status(1, state="Crashed", players={"online": 2})
        writer.publish(refs[-1], crashed)
        assert await writer.flush(10)
    assert await shown(admin, refs[-1]) == crashed
    assert proxy.count("PATCH") == 2


async def test_the_fleets_allowance_limits_measurements_of_all_together(
    proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    refs = [await make(f"arena-{number}") for number in range(12)]
    proxied.settings = replace(FAST, status_measurements_per_second=5.0)
    writer = StatusWriter(proxied, inventory.uid)
    for ref in refs:
        writer.prime(ref, status(1, players={"online": 0}))
    started = asyncio.get_running_loop().time()
    async with running(writer.run()):
        for ref in refs:
            writer.publish(ref, status(1, players={"online": 1}))
        await until(lambda: writer.counters.writes == len(refs), "all of them, in time")
    elapsed = asyncio.get_running_loop().time() - started
    assert elapsed >= (len(refs) - 5) / 5.0 - 0.1  # a second's worth at once, then 5 a second


async def test_an_object_that_the_inventory_has_no_more_is_not_asked_about(
    proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    ref = await make("arena")
    inventory.uids.clear()
    writer = StatusWriter(proxied, inventory.uid)
    async with running(writer.run()):
        writer.publish(ref, status(1))
        assert await writer.flush(10)
    assert proxy.seen == []
    assert writer.counters.dropped == 1


async def test_another_object_of_that_name_never_gets_the_old_ones_status(
    admin: KubeClient, make: Any, inventory: Inventory, namespace: str
) -> None:
    old = await make("arena")
    await remove(admin, GAME_INSTANCE, namespace, "arena")
    new = await make_instance(admin, namespace, "arena")  # the inventory does not know yet
    writer = StatusWriter(admin, inventory.uid)
    async with running(writer.run()):
        writer.publish(old, status(1))
        assert await writer.flush(10)
        assert await shown(admin, new) == NOT_YET_OBSERVED
        inventory.put(new)
        writer.publish(new, status(2))
        assert await writer.flush(10)
    assert await shown(admin, new) == status(2)
    assert writer.counters.dropped == 1


async def test_what_is_forgotten_is_not_written(
    proxied: KubeClient, proxy: Proxy, make: Any, inventory: Inventory
) -> None:
    ref = await make("arena")
    writer = StatusWriter(proxied, inventory.uid)
    writer.publish(ref, status(1))
    writer.forget(ref.uid)
    async with running(writer.run()):
        assert await writer.flush(10)
    assert proxy.seen == []


async def test_a_status_that_the_schema_refuses_stops_no_other(
    admin: KubeClient, make: Any, inventory: Inventory
) -> None:
    bad, good = await make("bad"), await make("good")
    writer = StatusWriter(admin, inventory.uid)
    async with running(writer.run()):
        writer.publish(bad, status(1, state="Sideways"))
        writer.publish(good, status(1))
        await until(lambda: writer.counters.writes and writer.counters.errors, "both attempts")
        assert not await writer.flush(0.1)
        writer.publish(bad, status(1))
        assert await writer.flush(10)
    assert await shown(admin, good) == await shown(admin, bad) == status(1)


async def test_a_status_that_is_no_json_harms_that_object_alone_and_the_next_one_heals_it(
    admin: KubeClient, make: Any, inventory: Inventory, caplog: pytest.LogCaptureFixture
) -> None:
    ref = await make("arena")
    writer = StatusWriter(admin, inventory.uid)
    async with running(writer.run()):
        writer.publish(ref, status(1, version={1, 2}))
        assert await writer.flush(10)
        assert "status write broke" in caplog.text
        writer.publish(ref, status(2))
        assert await writer.flush(10)
    assert await shown(admin, ref) == status(2)
