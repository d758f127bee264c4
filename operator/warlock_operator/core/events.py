"""
What a person would want to read in ``kubectl describe``: events out of two statuses. Pure.

An event tells a change; what merely stays so is in the conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from warlock_agent import names
from warlock_agent.model import Ledger, LedgerEntry, StepResult
from warlock_operator.api.conditions import Conditions, get_condition
from warlock_operator.api.names import ConditionStatus, ConditionType, Reason
from warlock_operator.api.v1alpha1.meta import Condition
from warlock_operator.errors import InstallFailed

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

_BEFORE_THE_FIRST_START = (Reason.WAITING, Reason.STARTING)
_ON_PURPOSE = (*_BEFORE_THE_FIRST_START, Reason.STOPPED, Reason.STOPPING)


@dataclass(frozen=True)
class Told:
    """One event. warning: somebody may have to act. action: what was being done, CamelCase."""

    warning: bool
    reason: str
    message: str
    action: str


def events_of(before: Conditions, after: Conditions) -> Iterator[Told]:
    """Yield what changed from one status's conditions to the next's, in the order of the story."""
    for type_ in (ConditionType.HOST_REACHABLE, ConditionType.REACHABLE):
        for old, new in _changed(before, after, type_):
            if new.status == FALSE:
                yield Told(True, new.reason, new.message, "Connect")
            elif new.status == TRUE and old is not None and old.status == FALSE:
                yield Told(False, "HostReachable", new.message, "Connect")
    for _, new in _changed(before, after, ConditionType.INSTALLED):
        if new.status != UNKNOWN and new.reason != Reason.WAITING:
            yield Told(new.reason == InstallFailed.reason, new.reason, new.message, "Install")
    for old, new in _changed(before, after, ConditionType.RUNNING):
        if new.status == TRUE:
            yield Told(False, "Started", new.message, "Start")
        elif new.status == FALSE and not _is_on_its_way(old, new):
            trouble = new.reason not in _ON_PURPOSE
            yield Told(trouble, new.reason, new.message, "Run")
    for _, new in _changed(before, after, ConditionType.STALLED):
        if new.status == TRUE:
            yield Told(True, new.reason, new.message, "Reconcile")
    for old, new in _changed(before, after, ConditionType.READY):
        if new.status == TRUE and (old is None or old.status != TRUE):
            yield Told(False, "Ready", new.message, "Reconcile")


def _is_on_its_way(old: Condition | None, new: Condition) -> bool:
    """Whether it is yet to run, as it was, or as far as anybody knew: Started will tell."""
    if new.reason not in _BEFORE_THE_FIRST_START:
        return False
    return old is None or old.status == UNKNOWN or old.reason in _BEFORE_THE_FIRST_START


def _changed(
    before: Conditions, after: Conditions, type_: ConditionType
) -> Iterator[tuple[Condition | None, Condition]]:
    old, new = get_condition(before, type_), get_condition(after, type_)
    if new is not None and (old is None or (old.status, old.reason) != (new.status, new.reason)):
        yield old, new


def drift_events(results: Iterable[StepResult], ledger: Ledger) -> Iterator[tuple[str, Told]]:
    """
    Yield, by instance key, what a person had changed on the machine and was put back.

    A template unit is put back for one of the instances that share it; each of them is told.
    """
    for result in results:
        if result.found and result.outcome == "Done":
            text = f"{result.target}: {result.found}; it has been put back as declared"
            told = Told(True, "DriftCorrected", text, "Converge")
            shared = {e.key for e in ledger.instances if _has_template(e, result.target)}
            yield from ((key, told) for key in sorted(shared | {result.key}))


def _has_template(entry: LedgerEntry, path: str) -> bool:
    return any(path == names.template_path(service) for service in entry.services)
