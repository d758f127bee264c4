"""Small clusters, so that collisions happen: objects as the apiserver gives them, and ledgers."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from tests.unit.api.objects import sample
from warlock_agent import names
from warlock_agent.model import DesiredPort, Ledger, LedgerEntry
from warlock_operator.api.names import FINALIZER, Kind
from warlock_operator.core.inventory import Inventory

Raw = dict[str, Any]
World = list[tuple[Kind, Raw]]

GUID = "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61"
OTHER_GUID = "700798f0-35be-bc6c-da84-62c510dfbd06"
_GAME, _HOST = sample("Game"), sample("GameHost")
IDS = (None, "550e8400-e29b-41d4-a716-446655440000")
PATHS = (None, "/opt/a", "/opt/a/b", "/etc/x")
ADDRESS = "198.18.1.1"


def meta(name: str, uid: str, age: int = 0, **more: Any) -> Raw:
    """Metadata of an object; a higher *age* is a younger object."""
    made = {
        "name": name,
        "uid": uid,
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": f"2026-01-01T00:00:{age:02}Z",
    }
    return {**made, **more}


def game(guid: str = GUID, name: str = "openarena") -> Raw:
    """A Game whose units have its own name."""
    made = copy.deepcopy(_GAME)
    made["metadata"] = meta(name, f"uid-{name}")
    made["spec"]["guid"] = guid
    made["spec"]["services"][0]["name"] = f"warlock-{name}"
    return made


def host(name: str = "host-a", address: str = ADDRESS, **spec: Any) -> Raw:
    """A GameHost with four ports and one root."""
    made = copy.deepcopy(_HOST)
    made["metadata"] = meta(name, f"uid-{name}", finalizers=[FINALIZER])
    made["spec"].update(
        address=address, ports={"ranges": [{"from": 27960, "to": 27963}]}, pathRoots=["/opt"]
    )
    made["spec"].pop("namespaceSelector", None)
    made["spec"].update(spec)
    return made


def instance(name: str = "a", *, namespace: str = "games", age: int = 0, **spec: Any) -> Raw:
    """A GameInstance on host-a; None as a value leaves the field out."""
    fields = {"guid": GUID, "host": "host-a", **spec}
    return {
        "apiVersion": "warlock.dev/v1alpha1",
        "kind": "GameInstance",
        "metadata": meta(name, f"uid-{namespace}-{name}", age, namespace=namespace),
        "spec": {key: value for key, value in fields.items() if value is not None},
    }


def inventory_of(world: Iterable[tuple[Kind, Raw]]) -> Inventory:
    """Feed objects into an inventory, in the order given."""
    made = Inventory()
    for kind, raw in world:
        made.put(kind, raw)
    return made


@st.composite
def instances(draw: st.DrawFn, name: str) -> Raw:
    """Draw one GameInstance, in any condition: deleting, paused, broken, colliding."""
    port = draw(st.sampled_from([None, None, 27960, 27961, 29000]))
    made = instance(
        name,
        namespace=draw(st.sampled_from(["games", "other"])),
        age=draw(st.integers(0, 2)),
        guid=draw(st.sampled_from([GUID, GUID, GUID, OTHER_GUID])),
        host=draw(st.sampled_from(["host-a", "host-a", ADDRESS, "nowhere"])),
        instance_id=draw(st.sampled_from([*IDS, f"550e8400-e29b-41d4-a716-44665544000{name}"])),
        path=draw(st.sampled_from([None, None, *PATHS])),
        ports=None if port is None else [{"name": "game", "port": port}],
    )
    if draw(st.booleans()):
        made["metadata"]["finalizers"] = [FINALIZER]
    if draw(st.sampled_from([False, False, True])):
        made["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    if draw(st.sampled_from([False, False, False, True])):
        made["metadata"]["annotations"] = {"warlock.dev/paused": "true"}
    if draw(st.sampled_from([False, False, False, True])):
        made["spec"]["env"] = "broken"
    return made


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a host, maybe its Game, maybe a second host of the same address, some instances."""
    unschedulable = draw(st.sampled_from([False, False, True]))
    world: World = [(Kind.GAME_HOST, host(unschedulable=unschedulable))]
    if draw(st.sampled_from([False, False, True])):
        world.append((Kind.GAME_HOST, host("host-b")))
    if draw(st.sampled_from([True, True, True, False])):
        world.append((Kind.GAME, game()))
    for name in "0123456"[: draw(st.integers(0, 6))]:
        world.append((Kind.GAME_INSTANCE, draw(instances(name))))
    return world


def entry_of(raw: Raw, number: int, path: str = "") -> LedgerEntry:
    """What a host remembers of an instance that ran there with that port."""
    spec, where = raw["spec"], raw["metadata"]
    instance_id = spec.get("instance_id", "default")
    return LedgerEntry(
        spec["guid"],
        instance_id,
        where["namespace"],
        where["name"],
        where["uid"],
        1,
        path or spec.get("path") or f"/opt/openarena-{instance_id}",
        names.user_name(spec["guid"], instance_id),
        (DesiredPort("game", "UDP", number),),
        ("warlock-openarena",),
    )


@st.composite
def ledgers(draw: st.DrawFn, world: World) -> Ledger:
    """Draw what the host remembers: some of the instances, and somebody whom nobody names."""
    raws = [raw for kind, raw in world if kind is Kind.GAME_INSTANCE]
    raws.append(instance("gone", instance_id="550e8400-e29b-41d4-a716-446655440099"))
    chosen = [raw for raw in raws if draw(st.booleans())]
    numbers = draw(st.permutations(range(27960, 27969)))
    made = {e.key: e for e in map(entry_of, chosen, numbers)}
    return Ledger("owner", 1, "holder", "uid-host-a", (), tuple(made.values()))
