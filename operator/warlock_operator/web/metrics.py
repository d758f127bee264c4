"""
Prometheus metrics, read from the parts' own counters when asked. Labels are bounded: hosts only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from warlock_operator.kube.recorder import Counters as EventCounters
from warlock_operator.kube.status import Counters as StatusCounters
from warlock_operator.reconcile.fleet import HostSnapshot


class OperatorCollector(Collector):
    """Turns snapshots into metric families."""

    def __init__(
        self,
        hosts: Callable[[], list[HostSnapshot]],
        statuses: StatusCounters,
        events: EventCounters,
    ) -> None:
        self._hosts = hosts
        self._statuses = statuses
        self._events = events

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        reachable = GaugeMetricFamily(
            "warlock_host_reachable", "Whether the agent on the host answers.", labels=["host"]
        )
        running = GaugeMetricFamily(
            "warlock_host_units_running", "Units of ours that are active.", labels=["host"]
        )
        passes = CounterMetricFamily(
            "warlock_host_passes", "Times that the host was looked at.", labels=["host"]
        )
        for host in self._hosts():
            reachable.add_metric([host.name], float(host.reachable))
            running.add_metric([host.name], float(host.running))
            passes.add_metric([host.name], float(host.passes))
        yield from (reachable, running, passes)
        writes = CounterMetricFamily(
            "warlock_status_writes", "Status writes, and what was spared.", labels=["outcome"]
        )
        for outcome in ("writes", "measurement_writes", "coalesced", "equal", "dropped", "errors"):
            writes.add_metric([outcome], float(getattr(self._statuses, outcome)))
        yield writes
        dropped = CounterMetricFamily("warlock_events_dropped", "Events that were not posted.")
        dropped.add_metric([], float(self._events.dropped))
        yield dropped
        yield GaugeMetricFamily(
            "warlock_tasks",
            "Tasks of the event loop that have not ended.",
            len(asyncio.all_tasks()),
        )


def exposition(collector: OperatorCollector) -> Callable[[], bytes]:
    """Give the function that renders everything in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)
