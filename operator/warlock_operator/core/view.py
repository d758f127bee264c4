"""
What is known of one host at one moment: values that the worker gathers and statuses are made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from warlock_agent.model import (
    Facts,
    Feature,
    ObservedHost,
    ObservedUnit,
    Operation,
    Refusal,
    StepResult,
)
from warlock_operator.errors import OperatorError

ObservedUnits = Mapping[str, ObservedUnit]


@dataclass(frozen=True)
class HostView:
    """
    One host, as last heard.

    visited: a pass of this process has looked at all that is asked for. error: why there is no
    connection now, or why the last pass was refused whole. out_of_sight: it has been away for
    longer than the grace.
    refusals, failures: of the last pass, by instance key (a failed install: by the Game's guid).
    unwritten: by uid, why our finalizer could not be written on, or off, an instance.
    passing: a pass is under way. restarted: instance keys whose units the last pass has
    restarted; once another process is seen there is another pass.
    """

    visited: bool = False
    error: OperatorError | None = None
    reachable: bool = False
    out_of_sight: bool = False
    last_seen: datetime | None = None
    observed: ObservedHost = field(default_factory=ObservedHost)
    units: Mapping[str, ObservedUnit] = field(default_factory=dict)
    operations: Mapping[str, Operation] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    failures: Mapping[str, StepResult] = field(default_factory=dict)
    unwritten: Mapping[str, OperatorError] = field(default_factory=dict)
    passing: bool = False
    restarted: frozenset[str] = frozenset()
    facts: Facts | None = None
    features: Sequence[Feature] = ()
    host_keys: tuple[str, ...] = ()
    agent_digest: str = ""
