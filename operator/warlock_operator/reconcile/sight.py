"""
What the worker of a host has heard of it so far, as one value for the statuses.

Fed with answers and unasked frames; decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from warlock_agent.model import ObservedHost, ObservedUnit, Operation, StepResult, UnitSample
from warlock_agent.wire import Hello, OperationChanged, Report, Sample, UnitsChanged
from warlock_operator.api.v1alpha1.instancestatus import MemorySource, Metrics
from warlock_operator.core.view import HostView
from warlock_operator.errors import OperatorError

_SOURCES = {str(source): source for source in MemorySource}


def utc_now() -> datetime:
    """The wall clock, for people and for transition times."""
    return datetime.now(UTC)


class Sight:
    """The newest view of one host and the metrics of its units."""

    def __init__(self) -> None:
        self.view = HostView()
        self.metrics: dict[str, Metrics] = {}
        self._samples: dict[str, tuple[int, UnitSample]] = {}

    def greeted(self, hello: Hello, host_keys: tuple[str, ...]) -> None:
        """Take an agent's first frame."""
        self._saw(hello.observed)
        self.view = replace(
            self.view,
            error=None,
            facts=hello.facts,
            features=hello.features,
            host_keys=host_keys,
            agent_digest=hello.digest,
        )

    def reported(self, report: Report) -> None:
        """Take the answer to a pass."""
        self._saw(report.observed)
        failures: dict[str, StepResult] = {}
        for result in report.results:
            if result.outcome == "Failed":
                failures.setdefault(result.key, result)
        self.view = replace(
            self.view,
            visited=True,
            error=None,
            refusals={refusal.key: refusal for refusal in report.refusals},
            failures=failures,
            restarted=frozenset(r.key for r in report.results if r.step == "RestartUnit"),
        )

    def passing(self, under_way: bool) -> None:
        """Note that a pass begins or has ended: what ends meanwhile may be its doing."""
        self.view = replace(self.view, passing=under_way)

    def _saw(self, observed: ObservedHost) -> None:
        self.view = replace(
            self.view,
            reachable=True,
            out_of_sight=False,
            last_seen=utc_now(),
            observed=observed,
            units={unit.unit: unit for unit in observed.units},
            operations={operation.id: operation for operation in observed.operations},
        )

    def units_changed(self, frame: UnitsChanged) -> list[ObservedUnit]:
        """Take units that changed; gives them as they were before."""
        before = [self.view.units.get(u.unit, ObservedUnit(u.unit)) for u in frame.units]
        units = {**self.view.units, **{unit.unit: unit for unit in frame.units}}
        self.view = replace(self.view, units=units, last_seen=utc_now())
        return before

    def operation_changed(self, frame: OperationChanged) -> Operation | None:
        """Take an operation's progress; gives it as it was before."""
        before = self.view.operations.get(frame.operation.id)
        operations = {**self.view.operations, frame.operation.id: frame.operation}
        self.view = replace(self.view, operations=operations, last_seen=utc_now())
        return before

    def sampled(self, sample: Sample) -> None:
        """Turn counters into rates; the first sample of a unit gives none."""
        now = sample.uptime_milliseconds
        made: dict[str, Metrics] = {}
        for unit in sample.units:
            then, before = self._samples.get(unit.unit, (now, unit))
            elapsed, used = now - then, unit.cpu_usec - before.cpu_usec
            # A counter that went back belongs to another process.
            rate = round(used / elapsed) if elapsed > 0 and used >= 0 else None
            source = _SOURCES.get(unit.memory_source)
            made[unit.unit] = Metrics(
                cpu_millicores=rate,
                memory_bytes=unit.memory_bytes if source else None,
                memory_source=source,
                tasks=unit.tasks,
            )
        self._samples = {unit.unit: (now, unit) for unit in sample.units}
        self.metrics = made
        self.view = replace(self.view, last_seen=utc_now())

    def failed(self, error: OperatorError) -> None:
        """Note why a pass came to nothing, the connection being as it is."""
        self.view = replace(self.view, error=error)

    def unwritten(self, beside: Collection[str], errors: Mapping[str, OperatorError]) -> None:
        """
        Note which objects could not be given, or rid of, our finalizer.

        Args:
            beside: uids of those that were not tried now: what is known of them stays.
            errors: of those that were, by uid.
        """
        known = {uid: error for uid, error in self.view.unwritten.items() if uid in beside}
        self.view = replace(self.view, unwritten={**known, **errors})

    def lost(self, error: OperatorError) -> None:
        """Note that the connection is gone."""
        self.metrics, self._samples = {}, {}
        self.view = replace(self.view, error=error, reachable=False)

    def went_out_of_sight(self) -> None:
        """Note that it has been away for longer than the grace."""
        self.view = replace(self.view, out_of_sight=True)
