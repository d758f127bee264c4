"""
One start of the operator, and one minute of rest: what they took, on either side.

The operator's own CPU time is counted apart from that of the machines, of the API server and of
etcd, which share the cores with it; wall clock is of all of them together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from demokit.operator import Operator
from labkit.cgroups import Group
from labkit.errors import LabError
from labkit.lab import Lab
from scalekit.audit import AuditLog, Requests
from scalekit.fleet import Machines, Told
from scalekit.proc import cpu_seconds, peak_rss_bytes, rss_bytes, started_at

_POLL_SECONDS = 0.2
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Fleet:
    """How much there is."""

    hosts: int
    per_host: int

    @property
    def instances(self) -> int:
        """On all hosts together."""
        return self.hosts * self.per_host


@dataclass(frozen=True)
class Start:
    """
    From the start of the process to the last host's answer to its first pass.

    ready_seconds: every object seen. cpu: of the operator, until settled; the others likewise.
    requests: by verb and resource. writes: the Lease's left out. changes: steps done on machines.
    round_trips: requests that the machines got.
    """

    fleet: Fleet
    ready_seconds: float
    settled_seconds: float
    cpu_seconds: float
    machines_cpu_seconds: float
    control_plane_cpu_seconds: float
    rss_bytes: int
    peak_rss_bytes: int
    writes: int
    lease_writes: int
    changes: int
    greeted: int
    round_trips: int
    bytes_to_hosts: int
    bytes_from_hosts: int
    requests: dict[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "instances": self.fleet.instances}


@dataclass(frozen=True)
class Idle:
    """A settled fleet left alone. cpu_percent: of one core, the operator's."""

    fleet: Fleet
    seconds: float
    cpu_percent: float
    machines_cpu_percent: float
    control_plane_cpu_percent: float
    rss_bytes: int
    rss_growth_bytes: int
    writes_per_second: float
    lease_writes_per_second: float
    changes: int
    frames_per_second: dict[str, float]
    requests: dict[str, int]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "instances": self.fleet.instances}


class Meter:
    """Everything that is read while the operator runs."""

    def __init__(self, lab: Lab, machines: Machines, operator: Operator, audit: AuditLog) -> None:
        self._lab = lab
        self._machines = machines
        self._operator = operator
        self._audit = audit

    def start(
        self, fleet: Fleet, settings: dict[str, str], limit_seconds: float, tell: Progress
    ) -> Start:
        """Start the operator and return when it has settled; raises LabError where it does not."""
        self._machines.reset()
        before = self._machines.told()
        plane = self._control_plane_cpu()
        self._audit.skip()
        self._operator.start(settings)
        pid = self._pid()
        began = started_at(pid)
        ready_seconds = 0.0
        while True:
            told, cpu = self._machines.told(), self._cpu_seconds(pid)
            if not ready_seconds and self._operator.ready():
                ready_seconds = time.monotonic() - began
            if told.answered >= fleet.hosts:
                break
            if time.monotonic() - began > limit_seconds:
                raise LabError(f"{told.answered} of {fleet.hosts} hosts: see {self._operator.log}")
            tell(f"{told.answered} of {fleet.hosts} hosts", told.answered / fleet.hosts)
            time.sleep(_POLL_SECONDS)
        rss = rss_bytes(pid)
        peak = peak_rss_bytes(pid)
        plane = self._control_plane_cpu() - plane
        asked = self._settle_writes()
        return Start(
            fleet,
            ready_seconds,
            told.answered_at - began,
            cpu,
            told.cpu_seconds - before.cpu_seconds,
            plane,
            rss,
            peak,
            asked.writes,
            asked.lease_writes,
            self._machines.told().changes - before.changes,
            told.greeted,
            _round_trips(told),
            told.bytes_in,
            told.bytes_out,
            asked.plain(),
        )

    def idle(self, fleet: Fleet, seconds: float, tell: Progress) -> Idle:
        """Look on for a while."""
        pid = self._pid()
        self._machines.reset()
        self._audit.skip()
        before, began, cpu = self._machines.told(), time.monotonic(), cpu_seconds(pid)
        rss, plane = rss_bytes(pid), self._control_plane_cpu()
        while (passed := time.monotonic() - began) < seconds:
            tell(f"{passed:.0f} of {seconds:.0f} s", passed / seconds)
            time.sleep(min(1.0, seconds - passed))
        cpu, told = cpu_seconds(pid) - cpu, self._machines.told()
        passed = time.monotonic() - began
        asked = self._audit.requests()
        machines = told.cpu_seconds - before.cpu_seconds
        return Idle(
            fleet,
            passed,
            100 * cpu / passed,
            100 * machines / passed,
            100 * (self._control_plane_cpu() - plane) / passed,
            rss_bytes(pid),
            rss_bytes(pid) - rss,
            asked.writes / passed,
            asked.lease_writes / passed,
            told.changes - before.changes,
            {name: count / passed for name, count in told.frames.most_common()},
            asked.plain(),
        )

    def _settle_writes(self) -> Requests:
        """Count requests until a few seconds after the end: what the last answer caused, too."""
        time.sleep(3.0)
        return self._audit.requests()

    def _cpu_seconds(self, pid: int) -> float:
        try:
            return cpu_seconds(pid)
        except FileNotFoundError as error:
            raise LabError(f"the operator ended: see {self._operator.log}") from error

    def _pid(self) -> int:
        deadline = time.monotonic() + 5.0
        while True:
            try:
                return self._operator.pid
            except LabError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _control_plane_cpu(self) -> float:
        parts = ("kube-apiserver", "etcd")
        return sum(
            cpu_seconds(pid) for part in parts for pid in Group(self._lab.name, part).processes()
        )


def _round_trips(told: Told) -> int:
    return told.frames["Converge"] + told.frames["Observe"] + told.frames["Exchange"]
