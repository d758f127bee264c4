"""What systemd's signals and properties mean. What it does is tried on a real host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.dbus_values import signatures
from warlock_agent import systemd
from warlock_agent.marshal import DBusProtocolError, Variant, marshal
from warlock_agent.message import SIGNAL, Message
from warlock_agent.units import object_path
from warlock_agent.unmarshal import unmarshal


def _signal(member: str, signature: str, *values: Any, path: str = "/") -> Message:
    body = marshal(signature, values)
    return Message(SIGNAL, 1, body, path=path, member=member, signature=signature)


def test_a_change_says_of_which_unit_and_what() -> None:
    changed = {"ActiveState": Variant("s", "failed"), "ExecMainStatus": Variant("i", 9)}
    event = systemd.event_of(
        _signal(
            "PropertiesChanged",
            "sa{sv}as",
            systemd.UNIT,
            changed,
            ["Job"],
            path=object_path("game@a-b.service"),
        )
    )
    assert isinstance(event, systemd.UnitChanged)
    assert event.unit == "game@a-b.service"
    assert event.properties() == {"ActiveState": "failed", "ExecMainStatus": 9}


def test_the_end_of_a_job_says_how_it_ended() -> None:
    event = systemd.event_of(_signal("JobRemoved", "uoss", 7, "/job/7", "a.service", "timeout"))
    assert event == systemd.JobRemoved("a.service", "/job/7", "timeout")


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (_signal("UnitNew", "so", "a.service", "/a"), systemd.UnitNew("a.service")),
        (_signal("UnitRemoved", "so", "a.service", "/a"), systemd.UnitRemoved("a.service")),
        (_signal("Reloading", "b", True), systemd.Reloading(True)),
        (_signal("NameOwnerChanged", "sss", "a", ":1", ":2"), systemd.SignalsLost()),
        (_signal("StartupFinished", "t", 1), None),
        (_signal("JobRemoved", "s", "not as it should be"), None),
        (_signal("PropertiesChanged", "s", "of the manager", path="/org"), None),
    ],
    ids=lambda one: getattr(one, "member", ""),
)
def test_other_signals(message: Message, event: systemd.Event | None) -> None:
    assert systemd.event_of(message) == event


@given(
    st.sampled_from(["PropertiesChanged", "JobRemoved", "UnitNew", "UnitRemoved", "Reloading"]),
    st.one_of(st.sampled_from(["uoss", "so", "b", "sa{sv}as"]), signatures),
    st.binary(max_size=80),
)
def test_any_signal_means_something_nothing_or_is_refused(
    member: str, signature: str, body: bytes
) -> None:
    path = object_path("a.service")
    message = Message(SIGNAL, 1, body, path=path, member=member, signature=signature)
    try:
        event = systemd.event_of(message)
        if isinstance(event, systemd.UnitChanged):
            event.properties()
    except DBusProtocolError:
        pass


def test_counters_that_systemd_does_not_have_are_none() -> None:
    unset = 2**64 - 1
    state = systemd.unit_state(
        "a.service",
        {"ActiveState": "active", "InvocationID": b"\x01\xff"},
        {"MemoryCurrent": unset, "TasksCurrent": unset, "CPUUsageNSec": 5, "ExecMainCode": 2},
    )
    assert (state.memory_current, state.tasks_current, state.cpu_usage_nsec) == (None, None, 5)
    assert (state.invocation_id, state.exit_code) == ("01ff", "killed")


@pytest.mark.parametrize(
    ("started", "left_active", "ended", "stopped"),
    [
        (10, 20, 30, True),  # it was stopped, and ended after that
        (10, 30, 20, False),  # it ended, and its unit with it
        (10, 0, 20, False),  # it never got so far as to be active
        (30, 20, 40, False),  # what was active then was the run before
        (10, 20, 0, False),  # it is being stopped
    ],
)
def test_who_was_stopped_left_active_before_it_ended(
    started: int, left_active: int, ended: int, stopped: bool
) -> None:
    general = {"ActiveExitTimestampMonotonic": left_active}
    times = {
        "ExecMainStartTimestampMonotonic": started,
        "ExecMainExitTimestampMonotonic": ended,
    }
    assert systemd.unit_state("a.service", general, times).stopped == stopped


def test_a_unit_that_systemd_does_not_know_is_inactive() -> None:
    state = systemd.unit_state("a.service", {}, {})
    assert state == systemd.UnitState("a.service")
    assert (state.load_state, state.active_state, state.exit_code) == ("not-found", "inactive", "")


def test_a_transient_service_runs_its_words_as_they_are() -> None:
    properties = systemd.service_properties(
        ["/bin/echo", "$HOME", "a b"], description="d", timeout_seconds=5
    )
    data = marshal("a(sv)", [properties])
    read = dict(unmarshal("a(sv)", data)[0][0])
    assert read["ExecStart"] == [("/bin/echo", ["/bin/echo", "$$HOME", "a b"], False)]
    assert read["TimeoutStartUSec"] == 5_000_000
