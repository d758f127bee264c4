"""
The judgement on a GameInstance: what Ready, Reconciling and Stalled say, and the state. Pure.

The order of judgement, the first that fits:

=============================  =======  ===========  =======  ==============================
what is known                  Ready    Reconciling  Stalled  reason
=============================  =======  ===========  =======  ==============================
it is being deleted            False    True         False    Deleting, or what it waits for
it is paused                   False    False        False    Paused
the verdict has an error       False    False        True     the error's name
the host never answered        Unknown  True         False    NotVisited, or why not
the host is out of sight       Unknown  True         False    NotSeen
the host refuses us            False    False        True     OwnedByAnother and its like
its finalizer is not written   False    True         False    ApiRefused and its like
the host refused the instance  False    False        True     PathOccupied and its like
a step failed                  False    True         False    the step's reason
its packages are missing       False    True         False    Installing, InstallFailed
it is not applied yet          False    True         False    Converging, or what failed
it crashes in a loop           False    False        True     CrashLoop
it has just ended by itself    False    False        False    Recovering
a unit is not as it should be  False    True         False    from the unit
a port is not bound            False    True         False    PortNotBound
all is as declared             True     False        False    AsDeclared
=============================  =======  ===========  =======  ==============================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from warlock_agent.model import DesiredInstance, LedgerEntry
from warlock_operator.api.names import ConditionStatus, ConditionType, InstanceState, Reason, Why
from warlock_operator.core.deletion import waits_for
from warlock_operator.core.desired import key_of
from warlock_operator.core.known import FALSE, TRUE, UNKNOWN, Fact, Known
from warlock_operator.core.parts import installed
from warlock_operator.core.recovery import recovers
from warlock_operator.core.running import Running, unbound_ports
from warlock_operator.errors import (
    BY_REASON,
    AgentFailed,
    ClaimLost,
    HostTerminating,
    HostUnschedulable,
    InstallFailed,
    InvalidObject,
    PortNotBound,
    PortsExhausted,
    StepFailed,
    TerminalError,
)


@dataclass(frozen=True)
class Judgement:
    """Three conditions that share a reason and a message, and the word that is printed."""

    ready: ConditionStatus
    reconciling: bool
    stalled: bool
    reason: Why
    message: str
    state: InstanceState

    def facts(self) -> dict[ConditionType, Fact]:
        """Give the three conditions."""
        return {
            ConditionType.READY: (self.ready, self.reason, self.message),
            ConditionType.RECONCILING: self._abnormal(self.reconciling),
            ConditionType.STALLED: self._abnormal(self.stalled),
        }

    def _abnormal(self, holds: bool) -> Fact:
        if holds:
            return TRUE, self.reason, self.message
        return FALSE, Reason.NOTHING_WRONG, ""


def judge(known: Known, now: datetime, recovery_grace: timedelta) -> Judgement:
    """
    Judge an instance.

    Args:
        now: for the end of a recovery (:mod:`.recovery`); nothing else here moves with time.
        recovery_grace: how long what ended by itself may take to be Ready again.
    """
    return (
        _by_deletion(known)
        or _by_verdict(known)
        or _by_sight(known)
        or _by_pass(known)
        or _by_units(known, now, recovery_grace)
    )


def _by_deletion(known: Known) -> Judgement | None:
    if not known.item.meta.deleting:
        return None
    if known.verdict.paused:
        text = f"deletion waits, since {_pause(known)}; remove that to go on"
        return Judgement(FALSE, True, False, Reason.PAUSED, text, InstanceState.DELETING)
    waits = waits_for(known.verdict, known.view, known.previous.last_seen)
    if waits is not None:
        return Judgement(FALSE, True, False, *waits, InstanceState.DELETING)
    path = f"; its files stay at {known.entry.path}" if known.entry else ""
    text = f"the unit is stopped and what registers it is removed{path}"
    return Judgement(FALSE, True, False, Reason.DELETING, text, InstanceState.DELETING)


def _pause(known: Known) -> str:
    where = "it" if known.item.meta.paused else f"GameHost {known.item.text('host')}"
    return f"the warlock.dev/paused annotation is set on {where}"


def _by_verdict(known: Known) -> Judgement | None:
    state = _plain_state(known)
    if known.verdict.paused:
        text = f"nothing of it is touched, since {_pause(known)}"
        return Judgement(FALSE, False, False, Reason.PAUSED, text, state)
    error = known.verdict.error
    if error is None or (isinstance(error, _BY_LEDGER) and _unread(known)):
        return None
    return Judgement(FALSE, False, True, error.reason, str(error), state)


_BY_LEDGER = (HostUnschedulable, HostTerminating, ClaimLost, PortsExhausted)
"""What may be otherwise for one that the machine's ledger has."""


def _unread(known: Known) -> bool:
    """
    Whether an earlier process has seen it on its host, and this one has not read the ledger yet.

    Without that it passes for new, and would be told to be refused while it runs.
    """
    before = known.previous.state not in (None, InstanceState.PENDING)
    return before and not known.view.visited and not isinstance(known.view.error, InvalidObject)


def _plain_state(known: Known) -> InstanceState:
    if known.running is not None and known.seen:
        return known.running.state
    return InstanceState.UNKNOWN if known.entry is not None else InstanceState.PENDING


def _by_sight(known: Known) -> Judgement | None:
    error = known.view.error
    if isinstance(error, TerminalError) and known.view.reachable:
        state = InstanceState.UNKNOWN if known.entry else InstanceState.PENDING
        return Judgement(FALSE, False, True, error.reason, str(error), state)
    if not known.view.visited:
        reason: Why = error.reason if error else Reason.NOT_VISITED
        text = str(error) if error else "the host has not been visited yet"
        # What an earlier process has seen running is not to be set up for the first time.
        fresh = known.previous.state in (None, InstanceState.PENDING)
        state = InstanceState.PENDING if fresh else InstanceState.UNKNOWN
        return Judgement(UNKNOWN, True, False, reason, text, state)
    if known.view.out_of_sight:
        text = f"the host is out of sight: {error}" if error else "the host is out of sight"
        return Judgement(UNKNOWN, True, False, Reason.NOT_SEEN, text, InstanceState.UNKNOWN)
    return None


def _by_pass(known: Known) -> Judgement | None:
    unwritten = known.view.unwritten.get(known.item.uid)
    if unwritten is not None:
        text = f"our finalizer can't be put on it, so nothing was sent to the host: {unwritten}"
        return Judgement(FALSE, True, False, unwritten.reason, text, _plain_state(known))
    key = key_of(known.item)
    refusal = known.view.refusals.get(key)
    if refusal is not None:
        refused = BY_REASON.get(refusal.reason, AgentFailed)
        stalled = issubclass(refused, TerminalError)
        return Judgement(
            FALSE, not stalled, stalled, refused.reason, refusal.message, _plain_state(known)
        )
    failure = known.view.failures.get(key)
    if failure is not None:
        text = f"{failure.step} {failure.target}: {failure.message}"
        state = InstanceState.FAILED if known.running is None else known.running.state
        failed = BY_REASON.get(failure.reason, StepFailed)
        return Judgement(FALSE, True, False, failed.reason, text, state)
    status, reason, message = installed(known)
    if status is not TRUE:
        gave_up = reason == InstallFailed.reason
        state = InstanceState.FAILED if gave_up else InstanceState.INSTALLING
        return Judgement(FALSE, True, False, reason, message, state)
    return None


def _by_units(known: Known, now: datetime, recovery_grace: timedelta) -> Judgement:
    instance, entry, running = known.instance, known.entry, known.running
    if running is None or instance is None or entry is None or not entry.generation:
        reason, text = _why_not_yet(known, "it is being set up on the host")
        return Judgement(FALSE, True, False, reason, text, InstanceState.PENDING)
    if running.looping:
        return Judgement(FALSE, False, True, running.reason, running.message, running.state)
    judged = _of_applied(known, instance, entry, running)
    if judged.ready is TRUE or not instance.running:
        return judged
    ours = known.view.passing or entry.key in known.view.restarted
    told = (known.previous, known.generation, running, known.units)
    if recovers(*told, now, recovery_grace, ours):
        return _recovering(judged, recovery_grace)
    return judged


def _of_applied(
    known: Known, instance: DesiredInstance, entry: LedgerEntry, running: Running
) -> Judgement:
    # Not only whether it runs: a unit that is still stopping is not as declared either.
    settled = InstanceState.RUNNING if instance.running else InstanceState.STOPPED
    if running.state is not settled:
        return Judgement(FALSE, True, False, running.reason, running.message, running.state)
    if entry.generation != known.generation:
        reason, text = _why_not_yet(known, "a change of the spec is being applied")
        return Judgement(FALSE, True, False, reason, text, running.state)
    unbound = unbound_ports(instance, known.units) if instance.running else ""
    if unbound:
        reason = PortNotBound.reason
        return Judgement(FALSE, True, False, reason, unbound, InstanceState.STARTING)
    text = "the machine is as declared"
    return Judgement(TRUE, False, False, Reason.AS_DECLARED, text, running.state)


def _recovering(judged: Judgement, grace: timedelta) -> Judgement:
    seconds = round(grace.total_seconds())
    text = f"it ended by itself and has {seconds} s to be Ready again: {judged.message}"
    return Judgement(FALSE, False, False, Reason.RECOVERING, text, judged.state)


def _why_not_yet(known: Known, otherwise: str) -> tuple[Why, str]:
    """Say why it is not applied yet: what the last pass over the host came to nothing by."""
    error = known.view.error
    return (error.reason, str(error)) if error else (Reason.CONVERGING, otherwise)
