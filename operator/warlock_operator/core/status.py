"""
The status of a GameInstance: the judgement, the conditions beside it, and the fields. Pure.

    known.py      verdict, view and what was published last, joined
    judgement.py  Ready, Reconciling, Stalled and the state: the table is there
    parts.py      the conditions that each say one thing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from warlock_agent import names
from warlock_agent.model import DesiredPort, Operation
from warlock_operator.api.conditions import Conditions, get_condition, set_condition
from warlock_operator.api.names import ConditionType
from warlock_operator.api.v1alpha1.game import Protocol
from warlock_operator.api.v1alpha1.instancestatus import (
    GameInstanceStatus,
    Metrics,
    OperationRecord,
    OperationResult,
    OperationStatus,
    OperationType,
    Players,
    PortStatus,
    ServiceStatus,
)
from warlock_operator.api.v1alpha1.values import MAX_PATH, MAX_PORTS, MAX_SHORT, said
from warlock_operator.core.desired import Verdict, instance_id_of
from warlock_operator.core.judgement import judge
from warlock_operator.core.known import Fact, Known, known_of
from warlock_operator.core.parts import parts_of
from warlock_operator.core.view import HostView


@dataclass(frozen=True)
class Measured:
    """Numbers from other sources than the pass; None where nothing is known."""

    players: Players | None = None
    metrics: Metrics | None = None


def status_of(
    verdict: Verdict,
    view: HostView,
    address: str,
    measured: Measured,
    previous: GameInstanceStatus | None,
    now: datetime,
    recovery_grace: timedelta = timedelta(0),
) -> GameInstanceStatus:
    """
    Give the whole status of an instance.

    Args:
        address: the host's, as players reach it.
        previous: what was published last; transition times and history come from it.
        now: for transitions, and for the end of a recovery (:mod:`.recovery`); nothing else
            in a status moves with time.
        recovery_grace: how long what ended by itself may take to be Ready again.
    """
    known = known_of(verdict, view, previous or GameInstanceStatus())
    judged = judge(known, now, recovery_grace)
    return known.previous.model_copy(
        update={
            "observed_generation": known.generation,
            "conditions": _conditions(known, {**judged.facts(), **parts_of(known)}, now),
            "state": judged.state,
            **_identity(known, address),
            **_measurements(known, measured),
            **_operation(known, now),
            "last_seen": known.last_seen,
        }
    )


def homeless_status(
    verdict: Verdict, previous: GameInstanceStatus | None, now: datetime
) -> GameInstanceStatus:
    """Give the status of an instance whose host is not to be found."""
    return status_of(verdict, HostView(), "", Measured(), previous, now)


def _conditions(known: Known, facts: dict[ConditionType, Fact], now: datetime) -> Conditions:
    made: Conditions = known.previous.conditions
    view, generation = known.view, known.generation
    within_grace = view.visited and not view.reachable and not view.out_of_sight
    for type_, (status, reason, message) in facts.items():
        # For a moment out of reach nothing but that is news.
        if within_grace and type_ is not ConditionType.HOST_REACHABLE:
            before = get_condition(made, type_)
            if before is not None and before.observed_generation == generation:
                continue
        made = set_condition(
            made, type_, status, reason, message, now=now, observed_generation=generation
        )
    return made


# --- fields -------------------------------------------------------------------------------


def _identity(known: Known, address: str) -> dict[str, Any]:
    instance, entry = known.instance, known.entry
    if instance is None:
        return {"instance_id": instance_id_of(known.item)}
    user = entry.user if entry else names.user_name(instance.guid, instance.instance_id)
    ports = _port_statuses(instance.ports) if known.has_ports else ()
    first = f":{ports[0].port}" if ports else ""
    host = f"[{address}]" if ":" in address else address
    return {
        "instance_id": instance.instance_id,
        "path": said(instance.path, MAX_PATH),
        "user": said(user, MAX_SHORT),
        "ports": ports,
        "address": f"{host}{first}" if address else "",
        "services": _service_statuses(known),
        "version": _version(known),
    }


def _service_statuses(known: Known) -> tuple[ServiceStatus, ...]:
    if not known.seen or known.entry is None:
        return ()
    return tuple(
        ServiceStatus(
            name=service,
            unit=unit.unit,
            active_state=unit.active_state,
            sub_state=unit.sub_state,
            main_pid=unit.main_pid,
            since=_instant(unit.since_seconds),
            restarts=unit.restarts,
        )
        for service, unit in zip(known.services, known.units, strict=True)
    )


def _version(known: Known) -> str:
    game = known.verdict.game
    if not known.view.visited or game is None or game.spec.install.packages is None:
        return known.previous.version
    first = game.spec.install.packages.apt[0]
    there = known.view.observed.packages
    return said(next((p.version for p in there if p.name == first), ""), MAX_SHORT)


def _measurements(known: Known, measured: Measured) -> dict[str, Any]:
    there = known.seen and known.running is not None and known.running.running
    score = known.units[0].security_score_tenths if known.units and known.seen else None
    return {
        "players": measured.players if there else None,
        "metrics": measured.metrics if there else None,
        "security_score": known.previous.security_score
        if score is None
        else min(max(score, 0), 100) / 10,
    }


def _operation(known: Known, now: datetime) -> dict[str, Any]:
    game = known.verdict.game
    operation = known.operation_of(game) if game and known.seen else None
    if operation is None:
        return {"operation": None}
    if operation.state == "Running":
        return {
            "operation": OperationStatus(
                id=operation.id,
                type=OperationType.INSTALL,
                step=operation.step,
                progress=operation.progress,
                started_at=_instant(operation.started_at_seconds),
                deadline=_instant(operation.deadline_seconds),
            )
        }
    return {"operation": None, "history": _history(known.previous, operation, now)}


def _history(
    previous: GameInstanceStatus, operation: Operation, now: datetime
) -> tuple[OperationRecord, ...]:
    succeeded = operation.state == "Succeeded"
    record = OperationRecord(
        id=operation.id,
        type=OperationType.INSTALL,
        result=OperationResult.SUCCEEDED if succeeded else OperationResult.FAILED,
        message="" if succeeded else operation.message,
        started_at=_instant(operation.started_at_seconds),
    )
    known = {each.id: each for each in previous.history}
    before = known.pop(operation.id, None)
    if before is not None and (before.result, before.started_at) == (
        record.result,
        record.started_at,
    ):
        return previous.history
    finished = record.model_copy(update={"finished_at": now.replace(microsecond=0)})
    return (finished, *known.values())[:10]


def _port_statuses(ports: Sequence[DesiredPort]) -> tuple[PortStatus, ...]:
    """Give what can be shown; what a ledger says that was tampered with may be no port at all."""
    shown: dict[str, PortStatus] = {}
    for port in ports[:MAX_PORTS]:
        if port.protocol in _PROTOCOLS and 0 < port.number < 65536 and 0 < len(port.name) <= 64:
            name = said(port.name, 64)  # half a character is no text at all
            fields = {"name": name, "port": port.number, "protocol": port.protocol}
            shown.setdefault(name, PortStatus.model_validate(fields))
    return tuple(shown.values())


_PROTOCOLS = frozenset(str(protocol) for protocol in Protocol)
_LAST_SECOND = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())


def _instant(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LAST_SECOND else None
