"""The apiserver refuses what concerns one object: its neighbours are served all the same."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.kube.proxy import Fault
from tests.cluster.operator.conftest import Cluster, until
from warlock_operator.api.names import FINALIZER
from warlock_operator.kube.refs import GAME_INSTANCE

OTHER_ID = "550e8400-e29b-41d4-a716-446655440000"
NEXT_ID = "550e8400-e29b-41d4-a716-446655440001"
REFUSAL = '{"message": "a policy of this cluster forbids it", "reason": "Forbidden", "code": 403}'


def refuse(ending: str) -> Callable[[str, str], Fault | None]:
    """Every write to that object; its status is another path."""
    return lambda method, path: (
        Fault(403, body=REFUSAL) if method == "PATCH" and path.endswith(ending) else None
    )


async def test_an_instance_that_can_t_be_held_keeps_back_no_other(cluster: Cluster) -> None:
    await cluster.furnish()
    await cluster.instance("a")
    await cluster.instance("b", instance_id=OTHER_ID)
    cluster.proxy.fault = refuse("/gameinstances/b")
    await cluster.start()
    await cluster.wait_ready("a")
    told = await cluster.wait_condition("Ready", "False", "ApiRefused", "b")
    assert "a policy of this cluster forbids it" in told["message"]
    assert not any(OTHER_ID in unit for unit in cluster.pids())
    await cluster.edit(GAME_INSTANCE, "a", {"spec": {"state": "Stopped"}})
    await cluster.wait_condition("Running", "False", "Stopped", "a")
    await cluster.instance("c", instance_id=NEXT_ID)
    await cluster.wait_ready("c")
    tried = cluster.proxy.seen.count(("PATCH", f"{path_of(cluster)}/b"))
    cluster.proxy.fault = lambda method, path: None
    await cluster.wait_ready("b")
    assert tried < 100  # by back-off, not without a pause
    assert FINALIZER in (await cluster.seen("b"))["metadata"]["finalizers"]


async def test_one_that_can_t_be_let_go_keeps_back_no_other(cluster: Cluster) -> None:
    await cluster.furnish()
    await cluster.instance("a")
    await cluster.instance("b", instance_id=OTHER_ID)
    await cluster.start()
    await cluster.wait_ready("a", "b")
    cluster.proxy.fault = refuse("/gameinstances/b")
    await cluster.delete(GAME_INSTANCE, "b")
    told = await cluster.wait_condition("Ready", "False", "ApiRefused", "b")
    assert "can't be taken off" in told["message"]
    # Its ports and its name are free at once, for one that needs a second look at the same pass.
    await cluster.instance("c", instance_id=NEXT_ID)
    await cluster.wait_ready("a", "c")
    await cluster.delete(GAME_INSTANCE, "a")
    await cluster.gone("a")
    cluster.proxy.fault = lambda method, path: None
    await cluster.gone("b")


async def test_a_forced_deletion_of_one_on_no_host_is_tried_until_it_is_taken(
    cluster: Cluster,
) -> None:
    await cluster.furnish()
    await cluster.instance("a", host="nowhere")
    finalizer = {"metadata": {"finalizers": [FINALIZER]}}
    await cluster.edit(GAME_INSTANCE, "a", finalizer)
    cluster.proxy.fault = refuse("/gameinstances/a")
    await cluster.start()
    await cluster.wait_condition("Stalled", "True", "HostNotFound")
    await cluster.edit(
        GAME_INSTANCE, "a", {"metadata": {"annotations": {"warlock.dev/force-delete": "true"}}}
    )
    await cluster.delete(GAME_INSTANCE, "a")
    key = ("PATCH", f"{path_of(cluster)}/a")
    await until(lambda: cluster.proxy.seen.count(key) > 2, "it is tried again")
    cluster.proxy.fault = lambda method, path: None
    await cluster.gone("a")


def path_of(cluster: Cluster) -> str:
    return GAME_INSTANCE.path(cluster.namespace, "").rstrip("/")
