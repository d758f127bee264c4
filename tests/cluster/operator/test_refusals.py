"""What only another object can refuse is Stalled with a reason, and heals with that object."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.operator.conftest import Cluster, plain_game
from tests.unit.core.worlds import Raw
from warlock_operator.kube.refs import GAME, GAME_HOST, NAMESPACE

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
