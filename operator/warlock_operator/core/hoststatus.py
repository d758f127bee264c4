"""The statuses of GameHosts and Games. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from warlock_agent.model import Feature, LedgerEntry
from warlock_operator.api.conditions import Conditions, set_condition
from warlock_operator.api.names import ConditionStatus, ConditionType, Reason, Why
from warlock_operator.api.v1alpha1.game import GameStatus, undeclared_references
from warlock_operator.api.v1alpha1.gamehost import (
    MAX_FEATURES,
    MAX_ORPHANS,
    FeatureState,
    GameHostStatus,
    HostAgent,
    HostFacts,
    HostFeature,
    HostInstances,
    Orphan,
)
from warlock_operator.api.v1alpha1.values import MAX_SHORT, said
from warlock_operator.core.deletion import host_waits_for
from warlock_operator.core.inventory import GameItem, HostItem
from warlock_operator.core.view import HostView
from warlock_operator.errors import (
    ApiError,
    DuplicateGame,
    InvalidObject,
    TerminalError,
    UndeclaredVariable,
)

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
Fact = tuple[ConditionStatus, Why, str]


def host_status(
    item: HostItem,
    view: HostView,
    desired: int,
    orphans: Sequence[LedgerEntry],
    previous: GameHostStatus | None,
    now: datetime,
) -> GameHostStatus:
    """
    Give the status of a GameHost.

    Args:
        desired: GameInstances that mean it.
        orphans: what its ledger has and no GameInstance names.
    """
    before = previous or GameHostStatus()
    generation = item.meta.generation
    conditions: Conditions = before.conditions
    for type_, (status, reason, message) in _host_facts(item, view, desired).items():
        conditions = set_condition(
            conditions,
            type_,
            status,
            reason,
            message,
            now=now,
            observed_generation=generation,
        )
    running = sum(unit.active_state == "active" for unit in view.units.values())
    seen = view.visited and not view.out_of_sight
    made = before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": conditions,
            "instances": HostInstances(desired=desired, running=running if seen else 0),
            "last_seen": None if seen else view.last_seen or before.last_seen,
        }
    )
    return _with_hello(made, item, view, orphans) if view.facts is not None else made


def _host_facts(item: HostItem, view: HostView, desired: int) -> dict[ConditionType, Fact]:
    reachable: Fact = (UNKNOWN, Reason.NOT_VISITED, "the host has not been visited yet")
    stalled: Fact = (FALSE, Reason.NOTHING_WRONG, "")
    error = item.error or view.error
    if view.reachable:
        reachable = (TRUE, Reason.CONNECTED, "the agent on the host answers")
    elif view.error is not None and not isinstance(view.error, ApiError):
        reachable = (FALSE, view.error.reason, str(view.error))
    ready = reachable if reachable[0] != TRUE else (TRUE, Reason.AS_DECLARED, "it is served")
    if error is not None:
        ready = (FALSE, error.reason, str(error))
        if isinstance(error, TerminalError):
            stalled = (TRUE, error.reason, str(error))
    if item.meta.deleting:
        ready = (FALSE, Reason.DELETING, host_waits_for(item, desired, error))
    if item.meta.paused:
        waits = "its deletion waits and " if item.meta.deleting else ""
        text = f"{waits}nothing on it is touched while the warlock.dev/paused annotation is set"
        ready = (FALSE, Reason.PAUSED, text)
    return {
        ConditionType.READY: ready,
        ConditionType.REACHABLE: reachable,
        ConditionType.STALLED: stalled,
    }


def _with_hello(
    made: GameHostStatus, item: HostItem, view: HostView, orphans: Sequence[LedgerEntry]
) -> GameHostStatus:
    facts = view.facts
    trusted = item.object is not None and not item.object.spec.ssh.host_keys
    return made.model_copy(
        update={
            # Only a machine that was known, or was accepted, is greeted: see the worker.
            "machine_id": said(view.observed.machine_id, MAX_SHORT) or made.machine_id,
            "facts": HostFacts(
                os=facts.os,
                kernel=facts.kernel,
                systemd=facts.systemd,
                python=facts.python,
                architecture=facts.architecture,
                cpus=facts.cpus,
                memory_bytes=facts.memory_bytes,
            )
            if facts
            else made.facts,
            "features": _features(view.features) or made.features,
            "host_keys": (made.host_keys or view.host_keys) if trusted else (),
            "agent": HostAgent(digest=view.agent_digest) if view.agent_digest else made.agent,
            "orphans": tuple(
                Orphan(
                    guid=entry.guid,
                    instance_id=entry.instance_id,
                    namespace=entry.namespace,
                    name=entry.name,
                    uid=entry.uid,
                    path=entry.path,
                )
                for entry in orphans[:MAX_ORPHANS]
            ),
        }
    )


def _features(told: Sequence[Feature]) -> tuple[HostFeature, ...]:
    known = {
        (name := said(feature.name, 64)): HostFeature.model_validate(
            {"name": name, "state": feature.state}
        )
        for feature in told[:MAX_FEATURES]
        if feature.state in _STATES and feature.name
    }
    return tuple(known.values())


_STATES = frozenset(str(state) for state in FeatureState)


def game_status(
    item: GameItem, first: GameItem, previous: GameStatus | None, now: datetime
) -> GameStatus:
    """Give the status of a Game. *first*: the Game that counts for its guid."""
    error = ""
    reason = InvalidObject.reason
    if item.error is not None or item.object is None:
        error = str(item.error)
    elif first.uid != item.uid:
        reason = DuplicateGame.reason
        error = (
            f"Game {first.meta.name} is older and has the same guid, so that one counts; "
            "delete one of the two"
        )
    elif unknown := undeclared_references(item.object.spec):
        reason = UndeclaredVariable.reason
        error = (
            f"spec.services: exec uses {', '.join(unknown)}; declare them in spec.variables or "
            "spec.ports"
        )
    good: Fact = (TRUE, Reason.AS_DECLARED, "instances can be made from it")
    facts: dict[ConditionType, Fact] = {
        ConditionType.READY: (FALSE, reason, error) if error else good,
        ConditionType.STALLED: (TRUE, reason, error)
        if error
        else (FALSE, Reason.NOTHING_WRONG, ""),
    }
    before = previous or GameStatus()
    conditions: Conditions = before.conditions
    for type_, (status, why, message) in facts.items():
        conditions = set_condition(
            conditions,
            type_,
            status,
            why,
            message,
            now=now,
            observed_generation=item.meta.generation,
        )
    return before.model_copy(
        update={"observed_generation": item.meta.generation, "conditions": conditions}
    )
