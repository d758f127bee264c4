"""A failed unit: given up by systemd it waits its turn, stopped by somebody it runs at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.agent.hosts import GAMES, GUIDS, empty_host, host, instance
from tests.unit.agent.test_plan_properties import settle
from warlock_agent import names
from warlock_agent.model import ObservedHost, ObservedUnit
from warlock_agent.plan import plan
from warlock_agent.simulate import simulate
from warlock_agent.steps import ResetFailed, SetRetry, StartUnit

WANTED = host(instance(GUIDS[0]))
UNIT = names.unit_name(GAMES[0].services[0].name, "default")


def with_unit(observed: ObservedHost, **changes: object) -> ObservedHost:
    """The host with its only unit failed, in that way."""
    failed = ObservedUnit(UNIT, "failed", "failed", exit_code="exited", exit_status=1)
    return replace(observed, units=(replace(failed, **changes),))  # type: ignore[arg-type]


@pytest.fixture
def settled() -> ObservedHost:
    _, observed = settle(WANTED, empty_host())
    return observed


def test_stopped_by_somebody_it_is_started_at_once_and_told(settled: ObservedHost) -> None:
    steps = plan(WANTED, with_unit(settled, result="exit-code")).steps
    assert [type(step) for step in steps] == [SetRetry, ResetFailed, StartUnit]
    start = steps[-1]
    assert isinstance(start, StartUnit)
    assert start.found == "the unit was not running"


@pytest.mark.parametrize("how", [{"restarts": 4}, {"result": "start-limit-hit"}])
def test_given_up_by_systemd_it_waits_and_nobody_is_blamed(
    settled: ObservedHost, how: dict[str, object]
) -> None:
    failed = with_unit(settled, **how)
    first = plan(WANTED, failed)
    assert [type(step) for step in first.steps] == [SetRetry]
    later = replace(simulate(failed, first.steps), uptime_seconds=failed.uptime_seconds + 10)
    start = plan(WANTED, later).steps[-1]
    assert isinstance(start, StartUnit)
    assert start.found == ""


def test_one_that_fails_again_at_once_waits_too(settled: ObservedHost) -> None:
    """Somebody's own drop-in may have switched systemd's restarts off."""
    failed = with_unit(settled)
    again = with_unit(simulate(failed, plan(WANTED, failed).steps))
    assert plan(WANTED, again).steps == ()
    assert 1 <= plan(WANTED, again).next_pass_seconds <= 10
