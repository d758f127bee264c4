"""
systemd over D-Bus: list, read, start, stop and watch units; batches cost one turn.

A unit that is not listed is inactive. Starting a hundred units is a hundred calls sent at once and
a hundred JobRemoved signals awaited, as ``systemctl start a b c`` does. Called by observe, apply
and watch.
Source: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from .dbus import (
    Connection,
    DBusDisconnected,
    DBusError,
    DBusTimeout,
    Reply,
    connect,
)
from .marshal import DBusProtocolError, Variant
from .message import Message
from .units import object_path, pattern_of, unit_of_path

DESTINATION = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
SERVICE = "org.freedesktop.systemd1.Service"
PROPERTIES = "org.freedesktop.DBus.Properties"
NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_MATCHES = (
    f"type='signal',sender='{DESTINATION}',interface='{MANAGER}',path='{MANAGER_PATH}'",
    f"type='signal',sender='{DESTINATION}',interface='{PROPERTIES}',member='PropertiesChanged',"
    f"path_namespace='{MANAGER_PATH}/unit'",
    f"type='signal',sender='{_BUS}',interface='{_BUS}',member='NameOwnerChanged',"
    f"arg0='{DESTINATION}'",
)
_OF_RUNNING = (
    (SERVICE, "MainPID"),
    (SERVICE, "NRestarts"),
    (UNIT, "ActiveEnterTimestampMonotonic"),
    (UNIT, "StateChangeTimestamp"),
)
_UNSET = 2**64 - 1  # what systemd says for a counter that it does not have
EXIT_CODES = {1: "exited", 2: "killed", 3: "dumped"}
"""Names of ExecMainCode, which is ``si_code`` of waitid(2)."""


@dataclass(frozen=True)
class ListedUnit:
    """One line of ListUnits. job: type of the queued job (``start``), or empty."""

    unit: str
    load_state: str
    active_state: str
    sub_state: str
    job: str = ""


_OF_ITS_OWN_ACCORD = ("oom-kill", "watchdog")


@dataclass(frozen=True)
class UnitState:
    """
    One unit in detail. An unloaded unit is ``not-found``/``inactive``/``dead``.

    exec_main_code: key of :data:`EXIT_CODES`, 0 where nothing has exited yet; exec_main_status:
    exit status or signal number. Counters that systemd does not have are None. ``_usec`` without
    ``monotonic`` is wall clock. invocation_id: 32 hex digits or empty.
    """

    unit: str
    load_state: str = "not-found"
    active_state: str = "inactive"
    sub_state: str = "dead"
    main_pid: int = 0
    result: str = "success"
    exec_main_code: int = 0
    exec_main_status: int = 0
    n_restarts: int = 0
    active_enter_usec: int = 0
    active_enter_monotonic_usec: int = 0
    state_change_usec: int = 0
    active_exit_monotonic_usec: int = 0
    main_start_monotonic_usec: int = 0
    main_exit_monotonic_usec: int = 0
    fragment_path: str = ""
    need_daemon_reload: bool = False
    memory_current: Optional[int] = None
    cpu_usage_nsec: Optional[int] = None
    tasks_current: Optional[int] = None
    control_group: str = ""
    invocation_id: str = ""

    @property
    def exit_code(self) -> str:
        """``exited``, ``killed``, ``dumped`` or empty."""
        return EXIT_CODES.get(self.exec_main_code, "")

    @property
    def stopped(self) -> bool:
        """
        Whether the main process ended since its unit was being stopped, by whomever.

        A unit that is stopped leaves "active" first, and its process ends after that; one whose
        process ends by itself leaves it because of that (systemd 247, 252 and 257). What systemd
        stops of its own accord is no stop in this sense: memory ran out, or a watchdog did.
        """
        return self.result not in _OF_ITS_OWN_ACCORD and (
            self.main_start_monotonic_usec
            < self.active_exit_monotonic_usec
            < self.main_exit_monotonic_usec
        )


@dataclass(frozen=True)
class JobResult:
    """
    How a job ended.

    result: systemd's word (``done``, ``failed``, ``timeout``, ``dependency``…), ``pending`` when it
    had not ended in time, ``error`` when it was refused (then message says why).
    """

    unit: str
    result: str
    message: str = ""

    @property
    def done(self) -> bool:
        """The job did what it was for."""
        return self.result == "done"


@dataclass(frozen=True)
class UnitChanged:
    """Properties of a unit changed; they are read only when asked for."""

    unit: str
    message: Message

    def properties(self) -> dict[str, Any]:
        """Give the changed properties by name. Raises: DBusProtocolError."""
        arguments = self.message.arguments()
        if len(arguments) < 2 or not isinstance(arguments[1], dict):
            raise DBusProtocolError("PropertiesChanged without properties")
        return arguments[1]


@dataclass(frozen=True)
class JobRemoved:
    """A job ended. result: as in :class:`JobResult`."""

    unit: str
    job: str
    result: str


@dataclass(frozen=True)
class UnitNew:
    """systemd loaded a unit."""

    unit: str


@dataclass(frozen=True)
class UnitRemoved:
    """systemd unloaded a unit: it is inactive, and no more signals of it come."""

    unit: str


@dataclass(frozen=True)
class Reloading:
    """A daemon-reload begins (active) or has ended."""

    active: bool


@dataclass(frozen=True)
class SignalsLost:
    """Signals may be missing (reconnected, queue overflow): look at everything again."""


Event = Union[UnitChanged, JobRemoved, UnitNew, UnitRemoved, Reloading, SignalsLost]


class Systemd:
    """
    The service manager. Connects when first used, and again after it was lost.

    Every method raises DBusDisconnected, DBusTimeout or DBusProtocolError when systemd can't be
    talked to; the next call tries a new connection.
    """

    def __init__(
        self, paths: Optional[Sequence[str]] = None, timeout_seconds: float = 25.0
    ) -> None:
        """Remember where to connect to; see :func:`dbus.connect`. timeout_seconds: of one call."""
        self._paths = paths
        self._timeout = timeout_seconds
        self._connection: Optional[Connection] = None
        self._events: deque[Event] = deque()
        self._connected_before = False

    # --- the connection ---

    def fileno(self) -> int:
        """Give the descriptor for a selector, connecting if need be; it changes on reconnection."""
        return self._link().fileno()

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def events(self) -> list[Event]:
        """Give what happened since the last call, without waiting."""
        self._link().process()
        self._sort_signals()
        events = list(self._events)
        self._events.clear()
        return events

    @property
    def has_events(self) -> bool:
        """
        Whether :meth:`events` would give some though nothing more arrives.

        Signals come in between the answers to calls as well, and are then on no descriptor any
        more: look here before waiting on :meth:`fileno`.
        """
        return bool(self._events) or (self._connection is not None and self._connection.has_signals)

    def _link(self) -> Connection:
        if self._connection is None or self._connection.fileno() < 0:
            if self._connected_before:
                self._events.append(SignalsLost())
            self._connection = connect(self._paths)
            self._subscribe(self._connection)
            self._connected_before = True
        return self._connection

    def _subscribe(self, link: Connection) -> None:
        """Ask for signals. On the private socket they come anyway; on the bus, ask it as well."""
        serials = [link.send(DESTINATION, MANAGER_PATH, MANAGER, "Subscribe")]
        if link.name:
            for rule in _MATCHES:
                serials.append(link.send(_BUS, _BUS_PATH, _BUS, "AddMatch", "s", (rule,)))
        for reply in link.collect(serials, self._timeout):
            if isinstance(reply, DBusError) and not reply.name.endswith("AlreadySubscribed"):
                raise DBusDisconnected(f"cannot subscribe: {reply}")

    def _call(self, member: str, signature: str = "", *arguments: Any) -> tuple[Any, ...]:
        return self._link().call(
            DESTINATION, MANAGER_PATH, MANAGER, member, signature, arguments, self._timeout
        )

    def _call_many(
        self, member: str, signature: str, calls: Iterable[Sequence[Any]]
    ) -> list[Reply]:
        """Call the manager once a tuple of arguments; all are sent before any is awaited."""
        link = self._link()
        serials = [
            link.send(DESTINATION, MANAGER_PATH, MANAGER, member, signature, arguments)
            for arguments in calls
        ]
        return link.collect(serials, self._timeout)

    # --- reading ---

    def list_units(self, units: Iterable[str]) -> dict[str, ListedUnit]:
        """Give those of *units* that are loaded, in one call; what is absent is inactive."""
        return self.list_matching(pattern_of(unit) for unit in units)

    def list_matching(self, patterns: Iterable[str]) -> dict[str, ListedUnit]:
        """Give the loaded units whose names match one of the fnmatch *patterns*."""
        wanted = list(patterns)
        if not wanted:
            return {}  # systemd takes no pattern to mean all units
        (rows,) = self._call("ListUnitsByPatterns", "asas", [], wanted)
        return {
            name: ListedUnit(name, load, active, sub, job)
            for name, _, load, active, sub, _, _, _, job, _ in rows
        }

    def details(self, units: Iterable[str]) -> dict[str, UnitState]:
        """
        Read each unit in detail, whether loaded or not: two calls a unit, all in one turn.

        Reading an unloaded unit makes systemd load it for a moment; ask :meth:`list_units` first.
        """
        names = list(units)
        link = self._link()
        serials = []
        for unit in names:
            path = object_path(unit)
            for interface in (UNIT, SERVICE):
                serials.append(
                    link.send(DESTINATION, path, PROPERTIES, "GetAll", "s", (interface,))
                )
        replies = link.collect(serials, self._timeout)
        return {
            unit: unit_state(unit, _properties(replies[2 * i]), _properties(replies[2 * i + 1]))
            for i, unit in enumerate(names)
        }

    def running(self, listed: Iterable[ListedUnit]) -> dict[str, UnitState]:
        """
        Read what matters of units that run: four properties each, all in one turn.

        GetAll has systemd work out two hundred, and costs ten times as much.
        """
        rows = list(listed)
        link = self._link()
        serials = [
            link.send(DESTINATION, path, PROPERTIES, "Get", "ss", (interface, name))
            for path in (object_path(row.unit) for row in rows)
            for interface, name in _OF_RUNNING
        ]
        replies = iter(link.collect(serials, self._timeout))
        made = {}
        for row in rows:
            pid, restarts, entered, changed = (_number(next(replies)) for _ in _OF_RUNNING)
            made[row.unit] = UnitState(
                unit=row.unit,
                load_state=row.load_state,
                active_state=row.active_state,
                sub_state=row.sub_state,
                main_pid=pid,
                n_restarts=restarts,
                active_enter_monotonic_usec=entered,
                state_change_usec=changed,
            )
        return made

    def states(self, units: Iterable[str]) -> dict[str, UnitState]:
        """Give every one of *units*: details of those that are loaded, the rest inactive."""
        names = list(units)
        listed = self.list_units(names)
        states = {unit: UnitState(unit) for unit in names}
        states.update(self.details(unit for unit in names if unit in listed))
        return states

    def version(self) -> str:
        """Give systemd's version: ``252.39-1~deb12u1``."""
        link = self._link()
        (value,) = link.call(
            DESTINATION, MANAGER_PATH, PROPERTIES, "Get", "ss", (MANAGER, "Version"), self._timeout
        )
        return str(value)

    # --- changing ---

    def start(self, units: Iterable[str], timeout_seconds: float) -> dict[str, JobResult]:
        """Start all, in one turn, and wait for the end of their jobs."""
        return self._jobs("StartUnit", units, timeout_seconds)

    def restart(self, units: Iterable[str], timeout_seconds: float) -> dict[str, JobResult]:
        """Restart all, in one turn, and wait for the end of their jobs."""
        return self._jobs("RestartUnit", units, timeout_seconds)

    def stop(self, units: Iterable[str], timeout_seconds: float) -> dict[str, JobResult]:
        """Stop all and wait; 0 seconds: only ask. A unit that is not loaded is stopped already."""
        return self._jobs("StopUnit", units, timeout_seconds)

    def _jobs(
        self, member: str, units: Iterable[str], timeout_seconds: float
    ) -> dict[str, JobResult]:
        names = list(dict.fromkeys(units))
        deadline = time.monotonic() + timeout_seconds
        replies = self._call_many(member, "ss", [(unit, "replace") for unit in names])
        results = {}
        waiting: dict[str, str] = {}
        for unit, reply in zip(names, replies):
            if not isinstance(reply, DBusError):
                waiting[reply[0]] = unit
            elif reply.name == NO_SUCH_UNIT and member == "StopUnit":
                results[unit] = JobResult(unit, "done")
            else:
                results[unit] = JobResult(unit, "error", reply.message)
        ended = self.wait_jobs(waiting, max(0.0, deadline - time.monotonic()))
        for job, unit in waiting.items():
            results[unit] = JobResult(unit, ended.get(job, "pending"))
        return results

    def wait_jobs(self, jobs: Iterable[str], timeout_seconds: float) -> dict[str, str]:
        """
        Wait until *jobs* (object paths) have ended; give the result of those that did.

        Signals that come meanwhile stay queued for :meth:`events`.
        """
        open_jobs = set(jobs)
        ended: dict[str, str] = {}
        deadline = time.monotonic() + timeout_seconds
        link = self._link()
        while True:
            for event in self._sort_signals():
                if isinstance(event, JobRemoved) and event.job in open_jobs:
                    open_jobs.discard(event.job)
                    ended[event.job] = event.result
            if not open_jobs or (timeout_seconds <= 0):
                return ended
            try:
                link.wait_signal(deadline)
            except DBusTimeout:
                return ended

    def reset_failed(self, units: Iterable[str]) -> dict[str, str]:
        """Clear failed states and start limits; give an error message by unit where refused."""
        names = list(units)
        replies = self._call_many("ResetFailedUnit", "s", [(unit,) for unit in names])
        return {
            unit: reply.message
            for unit, reply in zip(names, replies)
            if isinstance(reply, DBusError) and reply.name != NO_SUCH_UNIT
        }

    def kill(self, unit: str, signal: int, whom: str = "main") -> None:
        """Send a signal. whom: ``main``, ``control`` or ``all``. Raises: DBusError."""
        self._call("KillUnit", "ssi", unit, whom, signal)

    def daemon_reload(self, timeout_seconds: float = 90.0) -> None:
        """Have systemd read its unit files again. Raises: DBusError."""
        self._link().call(
            DESTINATION, MANAGER_PATH, MANAGER, "Reload", timeout_seconds=timeout_seconds
        )

    def mask(self, units: Sequence[str]) -> None:
        """Link unit files to /dev/null; takes effect with a reload. Raises: DBusError."""
        self._call("MaskUnitFiles", "asbb", list(units), False, True)

    def start_transient(self, unit: str, properties: Sequence[tuple[str, Variant]]) -> str:
        """
        Start a unit that exists in memory only; give its job. Raises: DBusError, also if it exists.

        properties: see :func:`service_properties`.
        """
        (job,) = self._call("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", properties, [])
        return str(job)

    # --- signals ---

    def _sort_signals(self) -> list[Event]:
        """Turn queued signals into events; give the new ones, and keep them for :meth:`events`."""
        link = self._link()
        new: list[Event] = []
        if link.signals_lost:
            link.signals_lost = False
            new.append(SignalsLost())
        for message in link.take_signals():
            event = event_of(message)
            if isinstance(event, SignalsLost):
                self._subscribe(link)  # systemd was re-executed and has forgotten its subscribers
            if event is not None:
                new.append(event)
        self._keep(new)
        return new

    def _keep(self, new: list[Event]) -> None:
        """Append, but never without bound: nobody may be reading."""
        if len(self._events) + len(new) > MAX_EVENTS:
            self._events.clear()
            self._events.append(SignalsLost())
            return
        self._events.extend(new)


MAX_EVENTS = 50_000


def event_of(message: Message) -> Optional[Event]:
    """Say what a signal means; None if it does not matter here. Raises: DBusProtocolError."""
    if message.member == "PropertiesChanged":
        unit = unit_of_path(message.path)
        return UnitChanged(unit, message) if unit else None
    if message.member == "JobRemoved" and message.signature == "uoss":
        _, job, unit, result = message.arguments()
        return JobRemoved(unit, job, result)
    if message.member in ("UnitNew", "UnitRemoved") and message.signature == "so":
        unit = message.arguments()[0]
        return UnitNew(unit) if message.member == "UnitNew" else UnitRemoved(unit)
    if message.member == "Reloading" and message.signature == "b":
        return Reloading(message.arguments()[0])
    if message.member == "NameOwnerChanged":
        return SignalsLost()
    return None


def service_properties(
    argv: Sequence[str],
    *,
    description: str,
    environment: Sequence[str] = (),
    timeout_seconds: int = 0,
) -> list[tuple[str, Variant]]:
    """
    Describe a transient oneshot service that runs *argv* once.

    It is forgotten when it has ended, also after a failure: its result is in its files.
    argv: the program's absolute path, then its arguments; no variable is expanded in them.
    timeout_seconds: 0 is no limit.
    """
    words = [argv[0], *(word.replace("$", "$$") for word in argv[1:])]
    command = [(argv[0], words, False)]
    usec = timeout_seconds * 1_000_000 if timeout_seconds else _UNSET
    return [
        ("Description", Variant("s", description)),
        ("Type", Variant("s", "oneshot")),
        ("CollectMode", Variant("s", "inactive-or-failed")),
        ("TimeoutStartUSec", Variant("t", usec)),
        ("Environment", Variant("as", list(environment))),
        ("StandardInput", Variant("s", "null")),
        ("ExecStart", Variant("a(sasb)", command)),
    ]


def _properties(reply: Reply) -> dict[str, Any]:
    """Give a GetAll's answer; an error (no such unit, not a service) has no properties."""
    if isinstance(reply, DBusError) or not reply or not isinstance(reply[0], dict):
        return {}
    return reply[0]


def _number(reply: Reply) -> int:
    """Give a Get's answer; 0 where there is none (the unit is gone)."""
    value = None if isinstance(reply, DBusError) or not reply else reply[0]
    value = value.value if isinstance(value, Variant) else value
    return value if isinstance(value, int) else 0


def _counter(properties: dict[str, Any], name: str) -> Optional[int]:
    value = properties.get(name)
    return value if isinstance(value, int) and value != _UNSET else None


def unit_state(unit: str, general: dict[str, Any], service: dict[str, Any]) -> UnitState:
    return UnitState(
        unit=unit,
        load_state=general.get("LoadState", "not-found"),
        active_state=general.get("ActiveState", "inactive"),
        sub_state=general.get("SubState", "dead"),
        main_pid=service.get("MainPID", 0),
        result=service.get("Result", "success"),
        exec_main_code=service.get("ExecMainCode", 0),
        exec_main_status=service.get("ExecMainStatus", 0),
        n_restarts=service.get("NRestarts", 0),
        active_enter_usec=general.get("ActiveEnterTimestamp", 0),
        active_enter_monotonic_usec=general.get("ActiveEnterTimestampMonotonic", 0),
        state_change_usec=general.get("StateChangeTimestamp", 0),
        active_exit_monotonic_usec=general.get("ActiveExitTimestampMonotonic", 0),
        main_start_monotonic_usec=service.get("ExecMainStartTimestampMonotonic", 0),
        main_exit_monotonic_usec=service.get("ExecMainExitTimestampMonotonic", 0),
        fragment_path=general.get("FragmentPath", ""),
        need_daemon_reload=general.get("NeedDaemonReload", False),
        memory_current=_counter(service, "MemoryCurrent"),
        cpu_usage_nsec=_counter(service, "CPUUsageNSec"),
        tasks_current=_counter(service, "TasksCurrent"),
        control_group=service.get("ControlGroup", ""),
        invocation_id=bytes(general.get("InvocationID", b"")).hex(),
    )
