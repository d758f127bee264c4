"""What only another object can refuse is Stalled with a reason, and heals with that object."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.operator.conftest import GUID, KEY, Cluster, plain_game, until
from tests.cluster.operator.test_deletion import events
from tests.unit.core.worlds import ADDRESS, Raw, host
from warlock_operator.kube.refs import GAME, GAME_HOST, NAMESPACE
from warlock_operator.reconcile.publisher import Publisher

VARIABLES = [{"name": "LEVEL", "default": "1", "pattern": "^[0-9]$"}]


def variables(**more: Any) -> Raw:
    declared = plain_game()["spec"]["variables"]
    return {"spec": {"variables": [*declared, {**VARIABLES[0], **more}]}}


CASES: list[tuple[str, Raw, Raw, str, Raw]] = [
    ("PathOutsideRoots", {"path": "/srv/x"}, {}, "host", {"spec": {"pathRoots": ["/srv"]}}),
    (
        "PortOutOfRange", {"ports": [{"name": "game", "port": 28000}]}, {}, "host",
        {"spec": {"ports": {"ranges": [{"from": 28000, "to": 28001}]}}},
    ),
    (
        "NamespaceNotAdmitted", {}, {"namespaceSelector": {"matchLabels": {"tenant": "x"}}},
        "namespace", {"metadata": {"labels": {"tenant": "x"}}},
    ),
    (
        "UndeclaredPort", {"ports": [{"name": "rcon", "port": 27963}]}, {}, "game",
        {"spec": {"ports": [*plain_game()["spec"]["ports"], {"name": "rcon", "protocol": "TCP"}]}},
    ),
    (
        "VariableMismatch", {"env": [{"name": "MAP", "value": "No Such Map"}]}, {}, "game",
        {"spec": {"variables": [
            {**each, "pattern": "^[A-Za-z0-9_ ]+$" if each["name"] == "MAP" else each["pattern"]}
            for each in plain_game()["spec"]["variables"]
        ]}},
    ),
    ("UndeclaredVariable", {"env": [{"name": "LEVEL", "value": "7"}]}, {}, "game", variables()),
    ("HostUnschedulable", {}, {"unschedulable": True}, "host", {"spec": {"unschedulable": False}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "instance", "machine", "what", "cure"), CASES, ids=[case[0] for case in CASES]
)
async def test_it_is_stalled_with_its_reason_and_heals(
    cluster: Cluster, reason: str, instance: Raw, machine: Raw, what: str, cure: Raw
) -> None:
    await cluster.furnish(**machine)
    await cluster.start()
    await cluster.instance(**instance)
    await cluster.wait_condition("Stalled", "True", reason)
    if what == "namespace":
        await cluster.api.merge(NAMESPACE, None, cluster.namespace, cure)
    else:
        resource, name = (GAME_HOST, "host-a") if what == "host" else (GAME, "openarena")
        await cluster.edit(resource, name, cure)
    await cluster.wait_ready()
    await cluster.wait_condition("Stalled", "False")


async def test_an_unknown_host_is_said_and_heals_when_it_comes(cluster: Cluster) -> None:
    await cluster.create(GAME, plain_game())
    await cluster.start()
    await cluster.instance()
    said = await cluster.wait_condition("Stalled", "True", "HostNotFound")
    assert "host-a" in said["message"]
    await cluster.create(GAME_HOST, host(**KEY))
    await cluster.wait_ready()


async def test_an_unknown_game_is_said_and_heals_when_it_comes(cluster: Cluster) -> None:
    await cluster.create(GAME_HOST, host(**KEY))
    await cluster.start()
    await cluster.instance()
    said = await cluster.wait_condition("Stalled", "True", "GameNotFound")
    assert GUID in said["message"]
    await cluster.create(GAME, plain_game())
    await cluster.wait_ready()


async def test_an_address_of_two_hosts_is_ambiguous_until_one_has_another(
    cluster: Cluster,
) -> None:
    await cluster.furnish()
    await cluster.start()
    await cluster.wait_condition("Ready", "True", name="host-a", resource=GAME_HOST)
    await cluster.create(GAME_HOST, host("host-b", **KEY))
    await cluster.instance(host=ADDRESS)
    said = await cluster.wait_condition("Stalled", "True", "AmbiguousHost")
    assert "host-a, host-b" in said["message"]
    await cluster.edit(GAME_HOST, "host-b", {"spec": {"address": "198.18.1.2"}})
    await cluster.wait_ready()


async def test_of_two_hosts_of_one_machine_the_second_sends_nothing_until_the_first_is_another(
    cluster: Cluster,
) -> None:
    await cluster.furnish()
    await cluster.start()
    await cluster.wait_condition("Ready", "True", name="host-a", resource=GAME_HOST)
    await cluster.create(GAME_HOST, host("host-b", **KEY))
    said = await cluster.wait_condition("Stalled", "True", "DuplicateHost", "host-b", GAME_HOST)
    first = (await cluster.seen("host-a", GAME_HOST))["metadata"]["uid"]
    assert "GameHost host-a;" in said["message"]
    assert cluster.machine.state.ledger.host_uid == first
    # The first one's address is edited to another machine: that one is not taken for the known one.
    other = cluster.links.machine_at("198.18.1.2")
    await cluster.edit(GAME_HOST, "host-a", {"spec": {"address": "198.18.1.2"}})
    said = await cluster.wait_condition("Ready", "False", "HostReplaced", "host-a", GAME_HOST)
    assert other.state.machine_id in said["message"]
    assert (other.passes, other.changes) == (0, 0)
    accept = {"warlock.dev/accept-host": other.state.machine_id}
    await cluster.edit(GAME_HOST, "host-a", {"metadata": {"annotations": accept}})
    await cluster.wait_condition("Ready", "True", name="host-a", resource=GAME_HOST)
    found = await cluster.seen("host-a", GAME_HOST)
    assert found["status"]["machineID"] == other.state.machine_id
    await cluster.edit(
        GAME_HOST, "host-b", {"metadata": {"annotations": {"warlock.dev/reconcile": "now"}}}
    )
    await cluster.wait_condition("Ready", "True", name="host-b", resource=GAME_HOST)
    second = (await cluster.seen("host-b", GAME_HOST))["metadata"]["uid"]
    assert cluster.machine.state.ledger.host_uid == second


async def test_the_second_host_of_a_machine_is_served_when_the_first_goes(
    cluster: Cluster,
) -> None:
    cluster.links.machines["198.18.1.2"] = cluster.machine  # by another address
    await cluster.furnish()
    await cluster.start()
    await cluster.wait_condition("Ready", "True", name="host-a", resource=GAME_HOST)
    await cluster.create(GAME_HOST, host("host-b", "198.18.1.2", **KEY))
    await cluster.wait_condition("Stalled", "True", "DuplicateHost", "host-b", GAME_HOST)
    await cluster.delete(GAME_HOST, "host-a")
    await cluster.wait_condition("Ready", "True", name="host-b", resource=GAME_HOST)


async def test_the_younger_of_two_games_is_a_duplicate_until_the_older_goes(
    cluster: Cluster,
) -> None:
    await cluster.start()
    await cluster.create(GAME, plain_game())
    await cluster.wait_condition("Ready", "True", name="openarena", resource=GAME)
    await cluster.create(GAME, plain_game("another"))
    seen = [
        (each["metadata"]["creationTimestamp"], each["metadata"]["uid"], each["metadata"]["name"])
        for each in [await cluster.seen(name, GAME) for name in ("openarena", "another")]
    ]
    older, younger = (name for _, _, name in sorted(seen))
    await cluster.wait_condition("Stalled", "True", "DuplicateGame", younger, GAME)
    await cluster.delete(GAME, older)
    await cluster.wait_condition("Ready", "True", name=younger, resource=GAME)


async def test_a_host_made_anew_by_another_name_takes_over_what_names_the_address(
    cluster: Cluster,
) -> None:
    await cluster.furnish()
    await cluster.start()
    await cluster.instance(host=ADDRESS)
    await cluster.wait_ready()
    before = cluster.pids()

    async def joined_and_gone(new: str, old: str) -> None:
        await cluster.create(GAME_HOST, host(new, **KEY))
        await cluster.wait_condition("Stalled", "True", "DuplicateHost", new, GAME_HOST)
        await cluster.wait_condition("Stalled", "True", "AmbiguousHost")
        await cluster.delete(GAME_HOST, old)
        await cluster.gone(old, GAME_HOST)
        await cluster.wait_ready()

    await joined_and_gone("host-b", "host-a")
    assert cluster.pids() == before
    second = (await cluster.seen("host-b", GAME_HOST))["metadata"]["uid"]
    assert cluster.machine.state.ledger.host_uid == second
    # The one that came last may go as well: whose the machine is does not matter.
    await joined_and_gone("host-c", "host-c")
    assert cluster.pids() == before
    assert not await events(cluster, "LeftBehind")


async def test_of_the_hosts_of_one_address_the_one_that_has_an_instance_shows_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.furnish()
    await cluster.start()
    await cluster.instance(host=ADDRESS)
    await cluster.wait_ready()
    await cluster.create(GAME_HOST, host("host-b", **KEY))
    await cluster.wait_condition("Stalled", "True", "DuplicateHost", "host-b", GAME_HOST)
    await cluster.wait_condition("Stalled", "True", "AmbiguousHost")
    await cluster.wait_condition("Running", "True")
    said: list[tuple[str, Any]] = []
    publish = Publisher.publish

    def noted(publisher: Publisher, item: Any, status: Any) -> None:
        said.append((item.meta.name, status))
        publish(publisher, item, status)

    monkeypatch.setattr(Publisher, "publish", noted)
    again = {"metadata": {"annotations": {"warlock.dev/reconcile": "again"}}}
    await cluster.edit(GAME_HOST, "host-b", again)
    # A host comes after its instances.
    await until(lambda: "host-b" in dict(said), "the second one has shown what it knows")
    found = [status for name, status in said if name == "a"]
    running = {c.status for status in found for c in status.conditions if c.type == "Running"}
    assert "Unknown" not in running
