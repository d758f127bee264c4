"""
Every knob of the operator: name, unit, default, bounds, why. Read once, at start.

A knob ``resync_seconds`` is set by the environment variable ``WARLOCK_RESYNC_SECONDS``. Units
stand in the names. A test that must not wait passes ``Settings(resync_seconds=0.2)``; bounds are
for what people type into a Deployment, so they hold for the environment and for code alike.

To add one: a line in ``Settings`` below, in the section of the package that reads it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "WARLOCK_"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


class SettingInvalid(ValueError):
    """A variable's value can't be used; the message names variable, value and what would do."""


def _knob(
    default: Any,
    why: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """One setting: *low* and *high* are inclusive; *choices* are the words allowed."""
    return field(
        default=default, metadata={"why": why, "low": low, "high": high, "choices": choices}
    )


def _seconds(default: float, why: str, *, low: float = 0.0) -> Any:
    return _knob(default, why, low=low, high=7 * 24 * 3600.0)


def _count(default: int, why: str, *, low: int = 1, high: int | None = None) -> Any:
    return _knob(default, why, low=low, high=high)


@dataclass(frozen=True)
class Settings:
    """All knobs, checked. Raises SettingInvalid where one is out of its bounds."""

    # --- process ------------------------------------------------------------------------
    namespace: str = _knob(
        "warlock-system", "the operator's own: its key Secrets and its Lease; Events' default"
    )
    kubeconfig: str = _knob(
        "", "path; empty: $KUBECONFIG where set, else the pod's ServiceAccount, else ~/.kube/config"
    )
    transport: str = _knob("ssh", "how hosts are reached", choices=("ssh", "fixture"))
    log_level: str = _knob(
        "info", "what is logged at least", choices=("debug", "info", "warning", "error")
    )
    shutdown_seconds: float = _seconds(
        10.0, "for flushing statuses and releasing the Lease; less than a pod's grace of 30 s"
    )

    # --- web ----------------------------------------------------------------------------
    web_address: str = _knob("0.0.0.0", "probes and metrics listen here")  # noqa: S104
    web_port: int = _knob(8080, "probes and metrics; 0 takes a free one", low=0, high=65535)

    # --- apiserver ----------------------------------------------------------------------
    api_request_timeout_seconds: float = _seconds(
        30.0, "a request without an answer is given up; watches are not requests", low=0.05
    )
    api_page_size: int = _count(500, "objects a page of a LIST, as in client-go", high=10_000)
    api_connections: int = _count(64, "requests in flight at most", high=1000)
    api_conflict_attempts: int = _count(5, "reads and writes again on a conflict, then gives up")
    api_retry_initial_seconds: float = _seconds(0.5, "first wait after a failed request", low=0.001)
    api_retry_cap_seconds: float = _seconds(30.0, "longest wait after failed requests", low=0.001)
    watch_seconds: float = _seconds(
        290.0, "the apiserver is asked to end a watch after this, as client-go does", low=0.1
    )
    watch_grace_seconds: float = _seconds(
        15.0, "a watch that outlives watch_seconds by this is dead, and dropped", low=0.05
    )
    crd_wait_seconds: float = _seconds(
        300.0, "for the three kinds to be in discovery, before the process gives up"
    )
    crd_poll_seconds: float = _seconds(2.0, "between two looks at discovery", low=0.01)

    # --- leadership ---------------------------------------------------------------------
    lease_name: str = _knob("warlock-operator", "the Lease in the operator's namespace")
    lease_duration_seconds: float = _seconds(
        15.0, "others wait for this long after the last renewal that they saw", low=0.1
    )
    lease_renew_seconds: float = _seconds(
        10.0, "a leader that could not renew for this long ends itself", low=0.05
    )
    lease_retry_seconds: float = _seconds(2.0, "between two attempts to get or renew", low=0.01)

    # --- statuses -----------------------------------------------------------------------
    status_measurement_seconds: float = _seconds(
        60.0, "an instance's players and metrics are written once in this time at most"
    )
    status_measurements_per_second: float = _knob(
        2.0, "writes of measurements alone, for the whole fleet", low=0.001, high=1000.0
    )
    status_dead_band_percent: float = _knob(
        10.0, "a number is written when it differs by more than this from the one written",
        low=0.0, high=1000.0,
    )  # fmt: skip
    status_dead_band_cpu_millicores: float = _knob(
        20.0, "and by more than this many millicores, so that an idle one causes no writes", low=0.0
    )
    status_dead_band_memory_bytes: float = _knob(
        4.0 * 1024 * 1024, "and by more than this many bytes", low=0.0
    )
    status_writes_in_flight: int = _count(32, "status writes at the same time", high=1000)

    # --- events -------------------------------------------------------------------------
    event_window_seconds: float = _seconds(
        360.0, "equal events within this become one with a count, as in client-go"
    )
    event_series_seconds: float = _seconds(
        30.0, "between two writes of a series' count; 0: at once"
    )
    event_burst: int = _count(25, "events of one object at once, as in client-go")
    event_refill_seconds: float = _seconds(
        300.0, "an object may have one event more after this, as in client-go", low=0.001
    )
    event_queue: int = _count(1000, "events waiting to be written; more are counted and dropped")

    # --- reconciling --------------------------------------------------------------------
    resync_seconds: float = _seconds(
        600.0, "each host is looked at again after this, whatever was heard", low=0.05
    )
    list_resync_seconds: float = _seconds(
        600.0, "the intake is compared with a LIST of names: a watch that went deaf heals", low=0.05
    )
    backoff_initial_seconds: float = _seconds(1.0, "first wait after a failed pass", low=0.001)
    backoff_cap_seconds: float = _seconds(300.0, "longest wait after failed passes", low=0.001)
    unknown_grace_seconds: float = _seconds(
        30.0, "out of sight for this long, and what depends on the host becomes Unknown"
    )
    recovery_grace_seconds: float = _seconds(
        30.0,
        "a server that ended by itself has this long to be Ready again before it is Progressing",
    )
    intake_quiet_seconds: float = _seconds(
        1.0, "a first list that brings nothing for this long is compared object by object", low=0.01
    )
    coalesce_seconds: float = _seconds(
        0.02, "a woken worker waits this long for more of the same, so 10 events make one pass"
    )

    # --- hosts: connection --------------------------------------------------------------
    connect_timeout_seconds: float = _seconds(15.0, "TCP, key exchange and login", low=0.05)
    connects_in_flight: int = _count(100, "connections being made at the same time", high=10_000)
    connects_per_address: int = _count(
        5, "of those to one address: sshd refuses some from the 10th on (MaxStartups)", high=10_000
    )
    probe_period_seconds: float = _seconds(
        5.0, "a host that does not answer is tried by a bare TCP connect this often", low=0.05
    )
    probes_per_second: float = _knob(
        50.0, "of these for the whole fleet; where more hosts are away, each is tried less often",
        low=0.1, high=10_000.0,
    )  # fmt: skip
    probe_timeout_seconds: float = _seconds(
        3.0, "such a connect is given up; the kernel has sent a second packet by then", low=0.05
    )
    agent_start_timeout_seconds: float = _seconds(
        30.0, "loader, push of the archive and hello; a slow disk takes seconds", low=0.05
    )
    request_timeout_seconds: float = _seconds(
        120.0, "for a pass: the host waits 60 s for its lock alone", low=0.05
    )
    ping_seconds: float = _seconds(10.0, "between two pings on a quiet channel", low=0.02)
    ping_timeout_seconds: float = _seconds(20.0, "a ping without an answer: connection lost")
    agent_silence_seconds: float = _seconds(
        30.0, "an agent without a frame for this long finishes its step and ends", low=0.1
    )
    close_timeout_seconds: float = _seconds(2.0, "a connection that does not end is cut", low=0.01)
    frame_bytes: int = _count(32 * 1024 * 1024, "a longer frame is refused", low=1024)
    noise_bytes: int = _count(64 * 1024, "of what a login shell prints before the first frame")

    # --- hosts: work --------------------------------------------------------------------
    host_lock_seconds: float = _seconds(60.0, "the host's lock is waited for this long at most")
    install_timeout_seconds: float = _seconds(
        3600.0, "an install without an end is stopped and reported after this", low=0.1
    )
    start_timeout_seconds: float = _seconds(
        60.0, "a started unit without its ports bound is reported after this", low=0.05
    )
    crash_loop_initial_seconds: float = _seconds(
        10.0, "a unit that hit its start limit is started again after this, doubling", low=0.01
    )
    crash_loop_cap_seconds: float = _seconds(300.0, "longest of these waits", low=0.01)
    sample_seconds: float = _seconds(
        15.0, "between two samples of CPU, memory and tasks; a status takes one a minute", low=0.05
    )
    signal_coalesce_seconds: float = _seconds(
        0.05, "one start of a unit is 14 signals; failures are never held back"
    )
    journal_lines: int = _count(10, "of a crashed unit's journal, in the message", low=0, high=100)

    # --- players ------------------------------------------------------------------------
    query_seconds: float = _seconds(30.0, "between two queries of an instance", low=0.05)
    query_timeout_seconds: float = _seconds(3.0, "a query without an answer", low=0.01)
    queries_in_flight: int = _count(50, "queries at the same time", high=10_000)
    player_names: int = _count(64, "names of players in a status at most", low=0, high=1000)

    def __post_init__(self) -> None:
        for knob in dataclasses.fields(self):
            _check(knob, getattr(self, knob.name))
        _check_order(
            self, "lease_retry_seconds", "lease_renew_seconds", "lease_duration_seconds"
        )  # two attempts in a renewal at least, and an end before the takeover
        _check_order(self, "api_retry_initial_seconds", "api_retry_cap_seconds")
        _check_order(self, "backoff_initial_seconds", "backoff_cap_seconds")
        _check_order(self, "crash_loop_initial_seconds", "crash_loop_cap_seconds")


def from_environment(environ: Mapping[str, str]) -> Settings:
    """
    Read every knob that *environ* sets; the others keep their defaults.

    Raises:
        SettingInvalid: a value that is no number, no boolean, out of bounds or no choice.
    """
    found: dict[str, Any] = {
        knob.name: _parse(knob, environ[variable(knob.name)])
        for knob in dataclasses.fields(Settings)
        if variable(knob.name) in environ
    }
    return Settings(**found)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """``WARLOCK_`` variables that are no knob: a typing error, which start-up warns about."""
    known = {variable(knob.name) for knob in dataclasses.fields(Settings)}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def variable(name: str) -> str:
    """The environment variable of the knob *name*."""
    return PREFIX + name.upper()


def describe() -> list[tuple[str, str, str]]:
    """(variable, default, why) of every knob, in order: the table of the documentation."""
    return [
        (variable(knob.name), str(knob.default), str(knob.metadata["why"]))
        for knob in dataclasses.fields(Settings)
    ]


def _parse(knob: dataclasses.Field[Any], text: str) -> bool | int | float | str:
    default: object = knob.default
    try:
        if isinstance(default, bool):
            return _boolean(text)
        if isinstance(default, int):
            return int(text)
        return float(text) if isinstance(default, float) else text.strip()
    except ValueError:
        raise _invalid(knob, text) from None


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in TRUE | FALSE:
        return word in TRUE
    raise ValueError(text)


def _check(knob: dataclasses.Field[Any], value: object) -> None:
    """Refuse what is out of the knob's bounds or choices, NaN and infinity included."""
    low, high, choices = (knob.metadata[key] for key in ("low", "high", "choices"))
    if choices and value not in choices:
        raise _invalid(knob, value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if not math.isfinite(value) or _outside(value, low, high):
        raise _invalid(knob, value)


def _outside(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value < low) or (high is not None and value > high)


def _check_order(settings: Settings, *names: str) -> None:
    """Refuse settings of which a later one is smaller than the one before it."""
    for less, more in itertools.pairwise(names):
        if getattr(settings, less) > getattr(settings, more):
            raise SettingInvalid(
                f"{variable(less)}={getattr(settings, less)} is more than "
                f"{variable(more)}={getattr(settings, more)}: make it at most that"
            )


def _invalid(knob: dataclasses.Field[Any], value: object) -> SettingInvalid:
    shown = f"{value:.15g}" if isinstance(value, float) else str(value)
    return SettingInvalid(f"{variable(knob.name)}={shown:.80}: {_wanted(knob)}")


def _wanted(knob: dataclasses.Field[Any]) -> str:
    low, high, choices = (knob.metadata[key] for key in ("low", "high", "choices"))
    if choices:
        return f"must be one of {', '.join(choices)}"
    if isinstance(knob.default, bool):
        return "must be true or false"
    bounds = " ".join(
        text
        for text in (
            f"of at least {low:g}" if low is not None else "",
            f"and at most {high:g}" if high is not None else "",
        )
        if text
    )
    noun = "a whole number" if isinstance(knob.default, int) else "a number"
    return f"must be {noun} {bounds}, such as {knob.default}".replace("number ,", "number,")
