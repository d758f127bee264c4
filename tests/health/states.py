"""
In which state an object is, as far as anybody's judgement of its health depends on it. Pure.

A state has a word and, where it says more, a reason. What can't change the judgement is not in it,
and neither is which of many reasons of one sort it is: chance decides of two that come together.

==============  ===========================================================================
word            the first that fits
==============  ===========================================================================
deleting        it is being deleted
behind          the operator has not seen this generation
stalled         Stalled is True
paused          Ready's reason is Paused
unseen          the host can't be seen: Ready Unknown, and it is known to be out of reach
reconciling     Reconciling is True
recovering      Ready's reason is Recovering
ready           Ready is True
waiting         none of these
contradiction   conditions that exclude each other; there is none
==============  ===========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warlock_operator.errors import (
    BY_REASON,
    AgentFailed,
    ApiError,
    AuthenticationFailed,
    HostBusy,
    HostKeyMismatch,
    HostReplaced,
    HostTimeout,
    HostUnreachable,
    InternalError,
    KeySecretMissing,
    LedgerUnreadable,
    PythonMissing,
    PythonTooOld,
    StepFailed,
    SudoDenied,
    SystemdUnreachable,
)

Object = dict[str, Any]

PAUSED = "warlock.dev/paused"
_NO_PASS = (
    AgentFailed,
    ApiError,
    AuthenticationFailed,
    HostBusy,
    HostKeyMismatch,
    HostReplaced,
    HostTimeout,
    HostUnreachable,
    InternalError,
    KeySecretMissing,
    LedgerUnreadable,
    PythonMissing,
    PythonTooOld,
    SudoDenied,
    SystemdUnreachable,
)
_SORTS = {"NoPass": _NO_PASS, "StepFailed": (StepFailed,)}
"""Of reasons: why a pass over the host came to nothing; why a step of one did."""


@dataclass(frozen=True, order=True)
class State:
    """Of one object. kind: of the object; reason: CamelCase, may be empty; more: sets it apart."""

    kind: str
    word: str
    reason: str = ""
    more: str = ""

    @property
    def name(self) -> str:
        """The name of its record."""
        return "-".join(part.lower() for part in (self.word, self.reason, self.more) if part)


def condition(found: Object, type_: str) -> Object:
    """Give the condition of that type; an empty one where it is not there."""
    listed = found.get("status", {}).get("conditions", ())
    return next((each for each in listed if each["type"] == type_), {})


def state_of(found: Object) -> State:
    """Give the state of a Game, GameHost or GameInstance."""
    return _Reader(found).state()


class _Reader:
    """The parts of one answer."""

    def __init__(self, found: Object) -> None:
        self.kind: str = found["kind"]
        self.meta: Object = found["metadata"]
        self.status: Object = found.get("status", {})
        self.ready = condition(found, "Ready")
        self.reach = condition(found, "HostReachable") or condition(found, "Reachable")
        self.stalled = condition(found, "Stalled").get("status") == "True"
        self.reconciling = condition(found, "Reconciling").get("status") == "True"
        self.well = self.ready.get("status") == "True"
        self.away = self.reach.get("status") == "False"

    def state(self) -> State:
        if "deletionTimestamp" in self.meta:
            return State(self.kind, "deleting", self._deletion())
        if self.status.get("observedGeneration") != self.meta["generation"]:
            new = not self.status.get("observedGeneration")
            return State(self.kind, "behind", more="new" if new else "")
        if self.well + self.stalled + self.reconciling > 1:
            return State(self.kind, "contradiction", self._reason())
        if self.stalled:
            return State(self.kind, "stalled", self._reason())
        if self.ready.get("reason") == "Paused":
            return State(self.kind, "paused", more=self._pause())
        if self._unseen():
            return State(self.kind, "unseen", more="" if "lastSeen" in self.status else "never")
        if self.reconciling:
            return State(self.kind, "reconciling", self._reason())
        if self.ready.get("reason") == "Recovering":
            return State(self.kind, "recovering", more="host-just-lost" * self.away)
        if self.well:
            return State(self.kind, "ready", self._printed(), "host-just-lost" * self.away)
        return State(self.kind, "waiting", self._reason())

    def _unseen(self) -> bool:
        if self.kind == "GameHost":
            return self.away
        unknown = self.ready.get("status") == "Unknown"
        return unknown and (self.away or self.ready.get("reason") == "NotSeen")

    def _pause(self) -> str:
        if self.meta.get("annotations", {}).get(PAUSED) == "true":
            return "itself"
        return "with-its-host" if "GameHost" in self.ready["message"] else "just-resumed"

    def _deletion(self) -> str:
        """Say what the deletion waits for; empty until the operator has said anything of it."""
        if self.kind == "GameHost":
            said = self.ready.get("reason") in ("Deleting", "Paused")
        else:
            said = self.status.get("state") == "Deleting"
        return self._reason() if said else ""

    def _printed(self) -> str:
        """What Ready stands for: a server that was told to stop is Ready once it has."""
        stopped = self.status.get("state") == "Stopped"
        return "Stopped" if stopped else str(self.ready.get("reason", ""))

    def _reason(self) -> str:
        reason = str(self.ready.get("reason", ""))
        error = BY_REASON.get(reason)
        sorts = (sort for sort, kinds in _SORTS.items() if error and issubclass(error, kinds))
        return next(sorts, reason)
