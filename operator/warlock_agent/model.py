"""
What should be on a host, what is, and what a pass did: plain values, shared by operator and agent.

Everything here crosses the wire (see :mod:`warlock_agent.wire`), so a field is a ``str``, ``int``,
``bool``, ``None``, a tuple of those, or another class of this module; a word of a closed list is a
``str`` on the wire. Units stand in the names. Times that are compared with each other are seconds
of the host's own boot clock (``uptime_seconds``): a wrong wall clock must not hurt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Optional

from .reasons import Reason

DEFAULT_INSTANCE = "default"
"""The instance id of an instance that names none."""


def instance_key(guid: str, instance_id: str) -> str:
    """Name an instance on its host: ``<guid>/<instance_id>``."""
    return f"{guid}/{instance_id}"


# --- desired -----------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """
    In whose name a mutating frame comes; compared with the ledger under the host's lock.

    owner: uid of the cluster's ``kube-system`` namespace.
    token: fencing token, the resourceVersion of the Lease update that made this process leader.
    holder: identity of this process, new for each process.
    host_uid: uid of the GameHost.
    machine_id: the machine that is meant; empty on the very first visit.
    take_over: value of the take-over annotation, ``<owner displaced>/<anything new>``, or empty.
    replaces: uid of the GameHost that the ledger names, where the operator knows that it exists no
        longer (its lists were complete when it looked) or is another machine by now, or empty.
    """

    owner: str
    token: int
    holder: str
    host_uid: str
    machine_id: str = ""
    take_over: str = ""
    replaces: str = ""


@dataclass(frozen=True)
class DesiredPort:
    """One port of an instance. protocol: ``UDP`` or ``TCP``; number: 1 to 65535."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True)
class DesiredService:
    """
    One template unit, ``<name>@.service``.

    exec: argument words; ``${NAME}`` stands for a variable of the environment file.
    stop_signal: a signal's name, ``SIGTERM``.
    """

    name: str
    exec: tuple[str, ...]
    stop_signal: str = "SIGTERM"
    stop_timeout_seconds: int = 90


@dataclass(frozen=True)
class DesiredGame:
    """
    What all instances of one Game share on this host.

    apt: packages that must be installed; none for a Game that installs nothing.
    mask: units that those packages would start by themselves.
    services: the first is the main one.
    """

    guid: str
    name: str
    title: str
    services: tuple[DesiredService, ...]
    apt: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


@dataclass(frozen=True)
class DesiredInstance:
    """
    One instance as it should be. Its Game is found by *guid* in :attr:`DesiredHost.games`.

    env: the Game's variables with their final values, by name; what the agent adds itself
        (``WARLOCK_*``, ``PORT_*``, ``HOME``) is not in it.
    generation: of the custom resource; becomes observed once it has been applied.
    restart: value of the restart annotation; a new one restarts once, an empty one is as before.
    reconcile: value of the reconcile annotation; a new one resets back-off.
    """

    guid: str
    instance_id: str
    namespace: str
    name: str
    uid: str
    generation: int
    path: str
    instance_name: str = ""
    ports: tuple[DesiredPort, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    running: bool = True
    restart: str = ""
    reconcile: str = ""

    @property
    def key(self) -> str:
        """The instance's name on this host."""
        return instance_key(self.guid, self.instance_id)


@dataclass(frozen=True)
class KeptInstance:
    """Hands off: its files, units, ports and path stay claimed and are not touched."""

    guid: str
    instance_id: str

    @property
    def key(self) -> str:
        """The instance's name on this host."""
        return instance_key(self.guid, self.instance_id)


@dataclass(frozen=True)
class RemovedInstance:
    """
    A custom resource that is being deleted.

    The ledger's entry must be its own: the same uid, or the same namespace and name (a restored
    object has a new uid). Anything else is somebody else's and stays.
    """

    guid: str
    instance_id: str
    uid: str
    namespace: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """The instance's name on this host."""
        return instance_key(self.guid, self.instance_id)


@dataclass(frozen=True)
class DesiredHost:
    """
    The whole of a host, in one message.

    An instance that the ledger has and no list names is an orphan: reported, never stopped.
    path_roots: an instance's path lies under one of these; absolute, normal.
    """

    host: str
    path_roots: tuple[str, ...]
    games: tuple[DesiredGame, ...] = ()
    converge: tuple[DesiredInstance, ...] = ()
    keep: tuple[KeptInstance, ...] = ()
    remove: tuple[RemovedInstance, ...] = ()


# --- the ledger ----------------------------------------------------------------


@dataclass(frozen=True)
class LedgerFile:
    """A file that we wrote. digest: sha256 hex of its content; empty while it is being written."""

    path: str
    digest: str


@dataclass(frozen=True)
class LedgerEntry:
    """
    What was applied for one instance.

    generation: the newest that was applied whole; 0 before the first.
    started_digest: ``WARLOCK_DIGEST`` of the last start that we asked for; empty: it is not to run.
    tried: the newest request (generation, restart, reconcile) that a pass has begun with; a new
        one resets back-off, once.
    services: the Game's template units when it was applied, so that removal needs no Game.
    """

    guid: str
    instance_id: str
    namespace: str
    name: str
    uid: str
    generation: int
    path: str
    user: str
    ports: tuple[DesiredPort, ...] = ()
    services: tuple[str, ...] = ()
    files: tuple[LedgerFile, ...] = ()
    restart: str = ""
    reconcile: str = ""
    started_digest: str = ""
    tried: str = ""

    @property
    def key(self) -> str:
        """The instance's name on this host."""
        return instance_key(self.guid, self.instance_id)


@dataclass(frozen=True)
class Ledger:
    """
    The host's record. An empty *owner* means that nobody has claimed the machine yet.

    take_overs: values of the take-over annotation that were seen, oldest first: each acts once.
    """

    owner: str = ""
    token: int = 0
    holder: str = ""
    host_uid: str = ""
    take_overs: tuple[str, ...] = ()
    instances: tuple[LedgerEntry, ...] = ()

    @cached_property
    def by_key(self) -> Mapping[str, LedgerEntry]:
        """*instances*, each by its name on this host."""
        return {entry.key: entry for entry in self.instances}


# --- observed --------------------------------------------------------------------


@dataclass(frozen=True)
class ObservedFile:
    """
    What is at a path. kind: ``File``, ``Link``, ``Directory`` or ``Other``.

    digest: sha256 hex of a file's content; a link's target, for a link.
    owner: user name, or the number where it has none. mode: permission bits.
    empty: a directory without entries; marker: first line of its marker file, else empty.
    """

    path: str
    kind: str
    digest: str = ""
    mode: int = 0
    owner: str = "root"
    empty: bool = True
    marker: str = ""
    ours: bool = False


@dataclass(frozen=True)
class ObservedUnit:
    """
    One unit as systemd shows it; a unit that is not listed is ``inactive``.

    since_seconds: wall clock of the last state change, epoch; for people.
    active_uptime_seconds: boot clock at which it became active; 0 when it is not.
    exit_code: ``exited``, ``killed``, ``dumped`` or empty; exit_status: number of it.
    stopped: it ended so since somebody stopped the unit, not by itself.
    digest: ``WARLOCK_DIGEST`` in the main process's environment; None where it can't be read.
    ports: bound by processes of the unit's own control group.
    journal: last lines, only where the unit has failed by itself or is about to be restarted.
    """

    unit: str
    active_state: str = "inactive"
    sub_state: str = "dead"
    main_pid: int = 0
    result: str = "success"
    exit_code: str = ""
    exit_status: int = 0
    stopped: bool = False
    restarts: int = 0
    since_seconds: int = 0
    active_uptime_seconds: int = 0
    digest: Optional[str] = None
    ports: tuple[tuple[str, int], ...] = ()
    journal: tuple[str, ...] = ()
    security_score_tenths: Optional[int] = None


@dataclass(frozen=True)
class ObservedPackage:
    """An installed package."""

    name: str
    version: str


@dataclass(frozen=True)
class Operation:
    """
    Long work on the host, run as a transient unit. state: ``Running``, ``Succeeded``, ``Failed``.

    id: ``install-<guid>-<digest>``; progress: percent, 0 to 100; times: epoch seconds.
    """

    id: str
    guid: str
    type: str
    state: str
    step: str = ""
    progress: int = 0
    started_at_seconds: int = 0
    deadline_seconds: int = 0
    message: str = ""


@dataclass(frozen=True)
class BoundSocket:
    """A bound UDP socket or a listening TCP one. unit: of its process, or empty."""

    protocol: str
    address: str
    port: int
    pid: int = 0
    process: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Retry:
    """When a failed unit or operation may be tried again. next_at_seconds: boot clock."""

    name: str
    attempts: int
    next_at_seconds: int


@dataclass(frozen=True)
class ObservedHost:
    """
    A host as one pass saw it.

    files: only of paths that desired and ledger name, only those that exist. Stays on the host.
    units: of every service in ledger and desired.
    reload_pending: unit files were written and systemd has not read them yet.
    as_before: on the wire alone, see :mod:`warlock_agent.recall`: nothing but the uptime is said.
    """

    machine_id: str = ""
    boot_id: str = ""
    uptime_seconds: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    files: tuple[ObservedFile, ...] = ()
    units: tuple[ObservedUnit, ...] = ()
    users: tuple[str, ...] = ()
    packages: tuple[ObservedPackage, ...] = ()
    operations: tuple[Operation, ...] = ()
    sockets: tuple[BoundSocket, ...] = ()
    retries: tuple[Retry, ...] = ()
    reload_pending: bool = False
    as_before: bool = False


@dataclass(frozen=True)
class Feature:
    """What was tried on this machine. state: ``Enforced``, ``Advisory`` or ``Unsupported``."""

    name: str
    state: str


@dataclass(frozen=True)
class Facts:
    """What kind of machine this is; for people."""

    hostname: str = ""
    os: str = ""
    kernel: str = ""
    systemd: str = ""
    python: str = ""
    architecture: str = ""
    cpus: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True)
class UnitSample:
    """Raw counters of one unit. memory_source: ``Cgroup``, ``ProcessPSS`` or empty (unknown)."""

    unit: str
    cpu_usec: int
    memory_bytes: int
    memory_source: str
    tasks: int


# --- what a pass did ---------------------------------------------------------------


@dataclass(frozen=True)
class StepResult:
    """
    One step of a pass. outcome: ``Done``, ``Failed`` or ``Skipped`` (an earlier step failed).

    step: the step's class name; target: path, unit, user or operation; key: the instance, the
    Game's guid, or empty for the host. found: what a person had left in place of ours, else empty.
    """

    step: str
    target: str
    key: str
    outcome: str = "Done"
    reason: Literal[Reason, ""] = ""
    message: str = ""
    found: str = ""


@dataclass(frozen=True)
class Refusal:
    """Why the agent leaves an instance as it is. reason goes unchanged into the condition."""

    key: str
    reason: Reason
    message: str
