"""When a status is written: state at once, measurements on a dead band and a budget."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from warlock_operator.kube.decisions import MEASUREMENTS, Lane, due
from warlock_operator.settings import Settings

SETTINGS = Settings()
PERIOD = SETTINGS.status_measurement_seconds

states = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["Running", "Crashed", "Unknown"]),
        "observedGeneration": st.integers(1, 5),
        "conditions": st.lists(st.fixed_dictionaries({"type": st.sampled_from(["Ready"])})),
    },
)
measurements = st.fixed_dictionaries(
    {},
    optional={
        "players": st.fixed_dictionaries(
            {"online": st.integers(0, 3)}, optional={"names": st.lists(st.text(max_size=3))}
        ),
        "metrics": st.fixed_dictionaries(
            {},
            optional={
                "cpuMillicores": st.integers(0, 5000),
                "memoryBytes": st.integers(0, 2**33),
                "tasks": st.integers(0, 500),
            },
        ),
    },
)
statuses = st.builds(lambda a, b: a | b, states, measurements)
moments = st.floats(0, 1e6)


def state_of(status: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in MEASUREMENTS}


@given(statuses, moments, moments)
def test_what_is_written_already_is_never_due(status: Any, now: float, at: float) -> None:
    assert due(status, dict(status), now, at, SETTINGS) is None


@given(statuses, moments)
def test_an_unknown_status_is_due_at_once(status: Any, now: float) -> None:
    decision = due(None, status, now, -math.inf, SETTINGS)
    assert decision is not None
    assert (decision.at, decision.lane) == (now, Lane.STATE)


@given(statuses, statuses, moments, moments)
def test_a_change_of_state_is_due_at_once_whatever_was_written_when(
    written: Any, wanted: Any, now: float, at: float
) -> None:
    decision = due(written, wanted, now, at, SETTINGS)
    changed = state_of(written) != state_of(wanted)
    assert (decision is not None and decision.lane is Lane.STATE) == changed
    if changed and decision is not None:
        assert decision.at == now


@given(statuses, measurements, moments, moments)
def test_measurements_wait_for_their_period_and_are_never_due_in_the_past(
    written: Any, measured: Any, now: float, at: float
) -> None:
    decision = due(written, state_of(written) | measured, now, at, SETTINGS)
    if decision is not None:
        assert decision.lane is Lane.MEASUREMENT
        assert decision.at == max(now, at + PERIOD)


@given(states, st.sampled_from(["players", "metrics"]), moments)
def test_a_measurement_that_comes_or_goes_is_due(state: Any, key: str, now: float) -> None:
    with_it = state | {key: {"online": 1} if key == "players" else {"tasks": 1}}
    for written, wanted in ((state, with_it), (with_it, state)):
        decision = due(written, wanted, now, -math.inf, SETTINGS)
        assert decision is not None
        assert decision.lane is Lane.MEASUREMENT


def _due_metric(key: str, before: float, after: float) -> bool:
    return due({"metrics": {key: before}}, {"metrics": {key: after}}, 0, 0, SETTINGS) is not None


def test_the_dead_band_takes_both_a_share_and_an_amount() -> None:
    table = [
        # key, before, after, due
        ("cpuMillicores", 1, 20, False),  # much in percent, little in millicores
        ("cpuMillicores", 1, 22, True),
        ("cpuMillicores", 1000, 1090, False),  # more than 20 millicores, less than 10 %
        ("cpuMillicores", 1000, 1110, True),
        ("memoryBytes", 2**20, 4 * 2**20, False),
        ("memoryBytes", 2**30, 2**30 + 2**26, False),
        ("memoryBytes", 2**30, 2**30 + 2**27, True),
        ("tasks", 10, 12, False),
        ("tasks", 10, 13, True),
    ]
    for key, before, after, expected in table:
        assert _due_metric(key, before, after) is expected, (key, before, after)


def test_every_player_counts() -> None:
    before, after = {"players": {"online": 100}}, {"players": {"online": 101}}
    assert due(before, after, 0, 0, SETTINGS) is not None
