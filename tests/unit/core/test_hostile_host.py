"""
A machine may say anything that fits the wire: statuses are made of it, and the schema takes them.

A status that could not be made would end the operator for every other machine as well.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.unit.core.worlds import GUID, game, host, instance, inventory_of
from warlock_agent import model, names, wire
from warlock_operator.api.names import Kind
from warlock_operator.api.v1alpha1.gamehost import GameHostStatus
from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus
from warlock_operator.core.desired import desired_host
from warlock_operator.core.events import drift_events
from warlock_operator.core.hoststatus import host_status
from warlock_operator.core.status import Measured, status_of
from warlock_operator.reconcile.sight import Sight

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = model.instance_key(GUID, "default")
UNIT = names.unit_name("warlock-openarena", "default")
TEXTS = st.sampled_from(
    ["", "a", "x" * 70, "x" * 300, "x" * 5000, "\x1b[2J", "\u202e", "\ud800", "a\nb", "Running",
     "Failed", "Succeeded", "active", "failed", "UDP", "Cgroup", "Enforced", KEY, GUID, UNIT]
)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -1, 101, 65536, 2**31, 2**63, 10**18, -(10**18)])


def hostile(cls: type) -> st.SearchStrategy[Any]:
    """Draw any value that the wire lets through as a *cls*."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{f.name: _of(hints[f.name]) for f in dataclasses.fields(cls)})


def _of(hint: Any) -> st.SearchStrategy[Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(_of(inner[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_of, inner))
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(_of, inner))
    if origin is typing.Literal:  # the wire takes other words too: a newer agent's
        return st.sampled_from(inner) | TEXTS
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS, int: NUMBERS, bool: st.booleans(), type(None): st.none()
    }  # fmt: skip
    return plain[hint] if hint in plain else hostile(hint)


@st.composite
def observed_hosts(draw: st.DrawFn) -> model.ObservedHost:
    """Draw a host that says anything, about our instance too."""
    made = draw(hostile(model.ObservedHost))
    entry = dataclasses.replace(
        draw(hostile(model.LedgerEntry)), guid=GUID, instance_id="default",
        namespace="games", name="a", services=draw(st.sampled_from([(), ("warlock-openarena",)])),
    )  # fmt: skip
    unit = dataclasses.replace(draw(hostile(model.ObservedUnit)), unit=UNIT)
    apt, mask = ("openarena-server",), ("openarena-server.service",)
    operation = dataclasses.replace(
        draw(hostile(model.Operation)), id=names.install_operation(GUID, apt, mask)
    )
    package = dataclasses.replace(draw(hostile(model.ObservedPackage)), name=apt[0])
    return dataclasses.replace(
        made,
        ledger=dataclasses.replace(made.ledger, instances=(*made.ledger.instances, entry)),
        units=(*made.units, unit),
        operations=(*made.operations, operation),
        packages=draw(st.sampled_from([(), (package,)])),
    )


@st.composite
def sights(draw: st.DrawFn) -> tuple[Sight, wire.Report]:
    """Draw what a worker has heard from a host that says anything."""
    sight = Sight()
    hello = dataclasses.replace(draw(hostile(wire.Hello)), observed=draw(observed_hosts()))
    sight.greeted(hello, ())
    report = dataclasses.replace(
        draw(hostile(wire.Report)),
        observed=draw(observed_hosts()),
        results=tuple(
            dataclasses.replace(draw(hostile(model.StepResult)), key=KEY, outcome="Failed")
            for _ in range(draw(st.integers(0, 1)))
        ),
        refusals=tuple(
            dataclasses.replace(draw(hostile(model.Refusal)), key=KEY)
            for _ in range(draw(st.integers(0, 1)))
        ),
    )
    sight.reported(report)
    sight.operation_changed(draw(hostile(wire.OperationChanged)))
    sight.units_changed(draw(hostile(wire.UnitsChanged)))
    for _ in range(2):
        sight.sampled(draw(hostile(wire.Sample)))
    return sight, report


@pytest.fixture(scope="module")
def world() -> Any:
    return inventory_of(
        [(Kind.GAME_HOST, host()), (Kind.GAME, game()), (Kind.GAME_INSTANCE, instance())]
    )


# Values are large: shrinking one takes minutes and explains nothing.
@settings(phases=[Phase.explicit, Phase.generate])
@given(heard=sights())
def test_statuses_are_made_of_whatever_a_machine_says(
    world: Any, heard: tuple[Sight, wire.Report]
) -> None:
    sight, report = heard
    item = world.host("host-a")
    decision = desired_host(world, item, report.observed.ledger, report.observed.sockets)
    orphans = report.observed.ledger.instances
    made = host_status(item, sight.view, 1, orphans, None, NOW)
    _as_the_schema_says(GameHostStatus, made.to_json())
    (verdict,) = decision.verdicts.values()
    metrics = next(iter(sight.metrics.values()), None)
    status = status_of(verdict, sight.view, "a", Measured(None, metrics), None, NOW)
    _as_the_schema_says(GameInstanceStatus, status.to_json())
    list(drift_events(report.results, report.observed.ledger))


def _as_the_schema_says(cls: Any, written: dict[str, Any]) -> None:
    """model_copy and the like check nothing; what is written must still be what the CRD says."""
    cls.model_validate(written)
