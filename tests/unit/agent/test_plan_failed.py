"""A failed unit: failed by itself it waits its turn, stopped by somebody it runs at once."""

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
    steps = plan(WANTED, with_unit(settled, stopped=True)).steps
    assert [type(step) for step in steps] == [SetRetry, ResetFailed, StartUnit]
    start = steps[-1]
    assert isinstance(start, StartUnit)
    assert start.found == "the unit was not running"


def test_started_again_by_an_edit_nobody_is_blamed(settled: ObservedHost) -> None:
    _, stopped = settle(host(replace(instance(GUIDS[0]), generation=2, running=False)), settled)
    steps = plan(host(replace(instance(GUIDS[0]), generation=3)), stopped).steps
    assert [step.found for step in steps if isinstance(step, StartUnit)] == [""]


@pytest.mark.parametrize(
    "how", [{}, {"restarts": 4}, {"result": "start-limit-hit"}, {"exit_code": "", "exit_status": 0}]
)
def test_failed_by_itself_it_waits_and_nobody_is_blamed(
    settled: ObservedHost, how: dict[str, object]
) -> None:
    failed = with_unit(settled, **how)
    first = plan(WANTED, failed)
    assert [type(step) for step in first.steps] == [SetRetry]
    later = replace(simulate(failed, first.steps), uptime_seconds=failed.uptime_seconds + 10)
    start = plan(WANTED, later).steps[-1]
    assert isinstance(start, StartUnit)
    assert start.found == ""


def test_one_that_is_stopped_again_at_once_waits_too(settled: ObservedHost) -> None:
    failed = with_unit(settled, stopped=True)
    again = with_unit(simulate(failed, plan(WANTED, failed).steps), stopped=True)
    assert plan(WANTED, again).steps == ()
    assert 1 <= plan(WANTED, again).next_pass_seconds <= 10
