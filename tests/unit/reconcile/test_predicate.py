"""Which watch events wake anybody."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.core.worlds import Raw, instance
from warlock_operator.api.names import FINALIZER, Kind
from warlock_operator.core.inventory import Inventory
from warlock_operator.reconcile.predicate import matters


def woken(change: Raw, *, spec: Any = None) -> bool:
    before = instance()
    after = copy.deepcopy(before)
    after["metadata"].update(change)
    if spec is not None:
        after["spec"] = spec
    inventory = Inventory()
    return matters(
        inventory.put(Kind.GAME_INSTANCE, before), inventory.put(Kind.GAME_INSTANCE, after)
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"resourceVersion": "2"},
        {"finalizers": [FINALIZER]},
        {"labels": {"a": "b"}},
        {"annotations": {"kubectl.kubernetes.io/x": "y"}},
        {"managedFields": [{"manager": "kubectl"}]},
    ],
)
def test_our_own_writes_and_strangers_marks_wake_nobody(change: Raw) -> None:
    assert not woken(change)


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"deletionTimestamp": "2026-01-02T00:00:00Z"},
        {"annotations": {"warlock.dev/restart": "1"}},
        {"uid": "another"},
    ],
)
def test_what_a_decision_reads_wakes(change: Raw) -> None:
    assert woken(change)


def test_an_edit_past_the_apiserver_wakes_though_no_generation_moved() -> None:
    assert woken({}, spec={"guid": 7})
