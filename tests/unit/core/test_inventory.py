"""The inventory stays whole after any sequence of events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.worlds import ADDRESS, GUID, OTHER_GUID, Raw, host, instance, inventory_of
from warlock_operator.api.names import Kind
from warlock_operator.core.inventory import Inventory


@st.composite
def events(draw: st.DrawFn) -> list[tuple[str, Kind, Raw]]:
    made: list[tuple[str, Kind, Raw]] = []
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            address = draw(st.sampled_from([ADDRESS, "198.18.1.2", "host-a"]))
            raw = host(draw(st.sampled_from(["host-a", "host-b"])), address)
            raw["spec"]["ssh"]["port"] = draw(st.sampled_from([22, 22, 2222]))
            if draw(st.booleans()):
                raw["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
            kind = Kind.GAME_HOST
        else:
            place = draw(st.sampled_from(["host-a", "host-b", ADDRESS]))
            guid = draw(st.sampled_from([GUID, OTHER_GUID]))
            raw = instance(draw(st.sampled_from("ab")), host=place, guid=guid)
            kind = Kind.GAME_INSTANCE
        raw["metadata"]["uid"] += draw(st.sampled_from(["", "-again"]))
        if draw(st.sampled_from([False, False, True])):
            raw["spec"]["unknown"] = raw["spec"]["ports"] = 7
        made.append((draw(st.sampled_from(["put", "put", "remove"])), kind, raw))
    return made


@given(events())
def test_indexes_say_what_the_objects_say(happened: list[tuple[str, Kind, Raw]]) -> None:
    inventory = Inventory()
    there: dict[tuple[Kind, str, str], Raw] = {}
    for what, kind, raw in happened:
        where = raw["metadata"]
        name = (kind, where.get("namespace", ""), where["name"])
        if what == "put":
            inventory.put(kind, raw)
            there[name] = raw
        else:
            inventory.remove(kind, where["uid"])
            if name in there and there[name]["metadata"]["uid"] == where["uid"]:
                del there[name]
    for kind in (Kind.GAME_HOST, Kind.GAME_INSTANCE):
        uids = {raw["metadata"]["uid"] for name, raw in there.items() if name[0] is kind}
        assert inventory.uids(kind) == uids
    for (kind, namespace, name), raw in there.items():
        assert inventory.uid_of(kind, namespace, name) == raw["metadata"]["uid"]
    for item in inventory.hosts():
        meant = {
            each.uid for each in inventory.instances()
            if item in inventory.hosts_meant(each.text("host"))
        }  # fmt: skip
        assert {each.uid for each in inventory.instances_on(item)} == meant
    for guid in (GUID, OTHER_GUID):
        hosts = {
            meant.meta.name for each in inventory.instances() if each.text("guid") == guid
            for meant in inventory.hosts_meant(each.text("host"))
        }  # fmt: skip
        assert inventory.hosts_of_guid(guid) == hosts


def test_a_broken_object_keeps_its_last_good_form_and_says_why() -> None:
    inventory = inventory_of([(Kind.GAME_INSTANCE, instance())])
    broken = instance(env="broken")
    item = inventory.put(Kind.GAME_INSTANCE, broken)
    assert item.error is not None
    assert item.object is not None
    assert inventory.put(Kind.GAME_INSTANCE, instance()).error is None


def test_a_name_comes_before_an_address_and_an_address_may_mean_several() -> None:
    inventory = inventory_of([
        (Kind.GAME_HOST, host("host-a", ADDRESS)),
        (Kind.GAME_HOST, host("host-b", ADDRESS)),
        (Kind.GAME_HOST, host("host-c", "host-a")),
    ])  # fmt: skip
    assert [h.meta.name for h in inventory.hosts_meant("host-a")] == ["host-a"]
    assert [h.meta.name for h in inventory.hosts_meant(ADDRESS)] == ["host-a", "host-b"]
    assert inventory.hosts_meant("nowhere") == ()


@pytest.mark.parametrize(
    ("leaving", "staying", "meant"),
    [
        ({}, {}, ["host-b"]),
        ({"port": 2222}, {}, ["host-a", "host-b"]),
        ({"paused": True}, {}, ["host-a", "host-b"]),
        ({}, {"leaves": True}, ["host-a", "host-b"]),
        ({}, None, ["host-a"]),
    ],
    ids=["same machine", "another port", "paused", "both leave", "no other"],
)
def test_a_host_that_leaves_gives_way_to_another_for_the_same_machine(
    leaving: dict[str, Any], staying: dict[str, Any] | None, meant: list[str]
) -> None:
    first, second = host("host-a"), host("host-b")
    first["spec"]["ssh"]["port"] = leaving.get("port", 22)
    if leaving.get("paused"):
        first["metadata"]["annotations"] = {"warlock.dev/paused": "true"}
    leaves = [first, *([second] if staying and staying.get("leaves") else [])]
    for raw in leaves:
        raw["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    hosts = [first] if staying is None else [first, second]
    inventory = inventory_of([(Kind.GAME_HOST, raw) for raw in hosts])
    assert [h.meta.name for h in inventory.hosts_meant(ADDRESS)] == meant
    assert {h.meta.name for h in inventory.hosts_at(ADDRESS)} >= set(meant)
