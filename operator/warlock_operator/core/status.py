"""
The status of a GameInstance. Pure: of the verdict, the host's view and what was said last.

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

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from warlock_agent import names
from warlock_agent.model import (
    DesiredInstance,
    DesiredPort,
    LedgerEntry,
    ObservedUnit,
    Operation,
)
from warlock_operator.api.conditions import Conditions, get_condition, set_condition
from warlock_operator.api.names import ConditionStatus, ConditionType, InstanceState, Reason, Why
from warlock_operator.api.v1alpha1 import Game
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
from warlock_operator.core.deletion import waits_for
from warlock_operator.core.desired import Verdict, key_of
from warlock_operator.core.recovery import recovers
from warlock_operator.core.running import Running, running_of, unbound_ports
from warlock_operator.core.view import HostView
from warlock_operator.errors import (
    BY_REASON,
    AgentFailed,
    ApiError,
    InstallFailed,
    PortNotBound,
    StepFailed,
    TerminalError,
)

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
Fact = tuple[ConditionStatus, Why, str]


@dataclass(frozen=True)
class Measured:
    """Numbers from other sources than the pass; None where nothing is known."""

    players: Players | None = None
    metrics: Metrics | None = None


@dataclass(frozen=True)
class _Judgement:
    ready: ConditionStatus
    reconciling: bool
    stalled: bool
    reason: Why
    message: str
    state: InstanceState


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
    before = previous or GameInstanceStatus()
    return _Teller(verdict, view, address, measured, before, now, recovery_grace).tell()


def homeless_status(
    verdict: Verdict, previous: GameInstanceStatus | None, now: datetime
) -> GameInstanceStatus:
    """Give the status of an instance whose host is not to be found."""
    return status_of(verdict, HostView(), "", Measured(), previous, now)


class _Teller:
    """The parts of one status; lives for one call of :func:`status_of`."""

    def __init__(
        self,
        verdict: Verdict,
        view: HostView,
        address: str,
        measured: Measured,
        previous: GameInstanceStatus,
        now: datetime,
        recovery_grace: timedelta,
    ) -> None:
        self.verdict = verdict
        self.view = view
        self.address = address
        self.measured = measured
        self.previous = previous
        self.now = now
        self.recovery_grace = recovery_grace
        self.item = verdict.item
        self.generation = self.item.meta.generation
        entries = {e.key: e for e in view.observed.ledger.instances}
        entry = entries.get(key_of(self.item))
        where = (self.item.meta.namespace, self.item.meta.name)
        self.entry = entry if entry and (entry.namespace, entry.name) == where else None
        self.seen = view.visited and not view.out_of_sight
        # What the host refused to change is as its ledger says, ports and address included.
        refused = key_of(self.item) in view.refusals and self.entry is not None
        self.instance = (None if refused else verdict.instance) or self._from_ledger()
        self.units = self._units()

    def tell(self) -> GameInstanceStatus:
        running = self._running()
        judged = self._judge(running)
        facts = {
            ConditionType.READY: (judged.ready, judged.reason, judged.message),
            ConditionType.RECONCILING: _abnormal(judged.reconciling, judged),
            ConditionType.STALLED: _abnormal(judged.stalled, judged),
            **self._parts(running),
        }
        return self.previous.model_copy(
            update={
                "observed_generation": self.generation,
                "conditions": self._conditions(facts),
                "state": judged.state,
                **self._identity(),
                **self._measurements(running),
                **self._operation(),
                "last_seen": self._last_seen(),
            }
        )

    def _last_seen(self) -> datetime | None:
        """When the host was last heard, while it is not; an earlier process may have noted it."""
        if self.view.visited and not self.view.out_of_sight:
            return None
        return self.view.last_seen or self.previous.last_seen

    # --- what is known ------------------------------------------------------------

    def _from_ledger(self) -> DesiredInstance | None:
        """What runs on the host for a GameInstance that is not converged just now."""
        entry = self.entry
        if entry is None:
            return None
        running = self.item.text("state", "Running") != "Stopped"
        return DesiredInstance(
            entry.guid,
            entry.instance_id,
            entry.namespace,
            entry.name,
            entry.uid,
            entry.generation,
            entry.path,
            ports=entry.ports,
            running=running,
        )

    def _services(self) -> Sequence[str]:
        if self.verdict.instance is not None and self.verdict.game is not None:
            return [service.name for service in self.verdict.game.spec.services]
        return self.entry.services if self.entry else ()

    def _units(self) -> list[ObservedUnit]:
        if self.instance is None:
            return []
        wanted = [names.unit_name(s, self.instance.instance_id) for s in self._services()]
        return [self.view.units.get(unit, ObservedUnit(unit)) for unit in wanted]

    def _running(self) -> Running | None:
        if self.instance is None or not self.units or self.entry is None:
            return None
        return running_of(self.instance, self.units)

    def _is_new(self) -> bool:
        """Whether it has never been applied whole, and nothing of it has been started."""
        applied = self.entry is not None and bool(self.entry.generation)
        return not applied and all(unit.active_state == "inactive" for unit in self.units)

    # --- the judgement --------------------------------------------------------------

    def _judge(self, running: Running | None) -> _Judgement:
        return (
            self._judge_deletion()
            or self._judge_verdict(running)
            or self._judge_sight()
            or self._judge_pass(running)
            or self._judge_units(running)
        )

    def _judge_deletion(self) -> _Judgement | None:
        if not self.item.meta.deleting:
            return None
        if self.verdict.paused:
            text = f"deletion waits, since {self._pause()}; remove that to go on"
            return _Judgement(FALSE, True, False, Reason.PAUSED, text, InstanceState.DELETING)
        waits = waits_for(self.verdict, self.view, self.previous.last_seen)
        if waits is not None:
            return _Judgement(FALSE, True, False, *waits, InstanceState.DELETING)
        path = f"; its files stay at {self.entry.path}" if self.entry else ""
        text = f"the unit is stopped and what registers it is removed{path}"
        return _Judgement(FALSE, True, False, Reason.DELETING, text, InstanceState.DELETING)

    def _pause(self) -> str:
        where = "it" if self.item.meta.paused else f"GameHost {self.item.text('host')}"
        return f"the warlock.dev/paused annotation is set on {where}"

    def _judge_verdict(self, running: Running | None) -> _Judgement | None:
        state = self._plain_state(running)
        if self.verdict.paused:
            text = f"nothing of it is touched, since {self._pause()}"
            return _Judgement(FALSE, False, False, Reason.PAUSED, text, state)
        error = self.verdict.error
        if error is None:
            return None
        return _Judgement(FALSE, False, True, error.reason, str(error), state)

    def _plain_state(self, running: Running | None) -> InstanceState:
        if running is not None and self.seen:
            return running.state
        return InstanceState.UNKNOWN if self.entry is not None else InstanceState.PENDING

    def _judge_sight(self) -> _Judgement | None:
        error = self.view.error
        if isinstance(error, TerminalError) and self.view.reachable:
            state = InstanceState.UNKNOWN if self.entry else InstanceState.PENDING
            return _Judgement(FALSE, False, True, error.reason, str(error), state)
        if not self.view.visited:
            reason: Why = error.reason if error else Reason.NOT_VISITED
            text = str(error) if error else "the host has not been visited yet"
            # What an earlier process has seen running is not to be set up for the first time.
            fresh = self.previous.state in (None, InstanceState.PENDING)
            state = InstanceState.PENDING if fresh else InstanceState.UNKNOWN
            return _Judgement(UNKNOWN, True, False, reason, text, state)
        if self.view.out_of_sight:
            text = f"the host is out of sight: {error}" if error else "the host is out of sight"
            return _Judgement(UNKNOWN, True, False, Reason.NOT_SEEN, text, InstanceState.UNKNOWN)
        return None

    def _judge_pass(self, running: Running | None) -> _Judgement | None:
        key = key_of(self.item)
        refusal = self.view.refusals.get(key)
        if refusal is not None:
            state = self._plain_state(running)
            refused = BY_REASON.get(refusal.reason, AgentFailed)
            stalled = issubclass(refused, TerminalError)
            return _Judgement(FALSE, not stalled, stalled, refused.reason, refusal.message, state)
        failure = self.view.failures.get(key)
        if failure is not None:
            text = f"{failure.step} {failure.target}: {failure.message}"
            state = InstanceState.FAILED if running is None else running.state
            failed = BY_REASON.get(failure.reason, StepFailed)
            return _Judgement(FALSE, True, False, failed.reason, text, state)
        installed = self._installed()
        if installed[0] is not TRUE:
            gave_up = installed[1] == InstallFailed.reason
            state = InstanceState.FAILED if gave_up else InstanceState.INSTALLING
            return _Judgement(FALSE, True, False, installed[1], installed[2], state)
        return None

    def _judge_units(self, running: Running | None) -> _Judgement:
        instance, entry = self.instance, self.entry
        if running is None or instance is None or entry is None or not entry.generation:
            reason, text = self._why_not_yet("it is being set up on the host")
            return _Judgement(FALSE, True, False, reason, text, InstanceState.PENDING)
        if running.looping:
            return _Judgement(FALSE, False, True, running.reason, running.message, running.state)
        judged = self._judge_applied(instance, entry, running)
        ours = self.view.passing or entry.key in self.view.restarted
        if judged.ready is TRUE or not instance.running:
            return judged
        known = (self.previous, self.generation, running, self.units, self.now)
        return self._recovering(judged) if recovers(*known, self.recovery_grace, ours) else judged

    def _judge_applied(
        self, instance: DesiredInstance, entry: LedgerEntry, running: Running
    ) -> _Judgement:
        # Not only whether it runs: a unit that is still stopping is not as declared either.
        settled = InstanceState.RUNNING if instance.running else InstanceState.STOPPED
        if running.state is not settled:
            return _Judgement(FALSE, True, False, running.reason, running.message, running.state)
        if entry.generation != self.generation:
            reason, text = self._why_not_yet("a change of the spec is being applied")
            return _Judgement(FALSE, True, False, reason, text, running.state)
        unbound = unbound_ports(instance, self.units) if instance.running else ""
        if unbound:
            reason = PortNotBound.reason
            return _Judgement(FALSE, True, False, reason, unbound, InstanceState.STARTING)
        text = "the machine is as declared"
        return _Judgement(TRUE, False, False, Reason.AS_DECLARED, text, running.state)

    def _recovering(self, judged: _Judgement) -> _Judgement:
        seconds = round(self.recovery_grace.total_seconds())
        text = f"it ended by itself and has {seconds} s to be Ready again: {judged.message}"
        return _Judgement(FALSE, False, False, Reason.RECOVERING, text, judged.state)

    def _why_not_yet(self, otherwise: str) -> tuple[Why, str]:
        """Say why it is not applied yet: what the last pass over the host came to nothing by."""
        error = self.view.error
        return (error.reason, str(error)) if error else (Reason.CONVERGING, otherwise)

    # --- the parts --------------------------------------------------------------------

    def _parts(self, running: Running | None) -> dict[ConditionType, Fact]:
        known = {
            ConditionType.PORTS_ALLOCATED: self._allocated(),
            ConditionType.INSTALLED: self._installed(),
            ConditionType.REGISTERED: self._registered(),
            ConditionType.RUNNING: self._running_fact(running),
        }
        return {ConditionType.HOST_REACHABLE: self._reachable(), **known}

    def _reachable(self) -> Fact:
        if self.view.reachable:
            return TRUE, Reason.CONNECTED, "the agent on the host answers"
        error = self.view.error
        if error is not None and not isinstance(error, ApiError):
            return FALSE, error.reason, str(error)
        return UNKNOWN, Reason.NOT_VISITED, "the host has not been visited yet"

    def _unseen(self) -> Fact | None:
        if not self.view.visited:
            return UNKNOWN, Reason.NOT_VISITED, "the host has not answered yet"
        if self.view.out_of_sight:
            return UNKNOWN, Reason.NOT_SEEN, "the host is out of sight"
        return None

    def _allocated(self) -> Fact:
        if self.instance is not None:
            told = ", ".join(f"{p.name} {p.number}/{p.protocol}" for p in self.instance.ports)
            return TRUE, Reason.ALLOCATED, told or "the Game has no ports"
        error = self.verdict.error
        if error is not None and error.reason.startswith("Port"):
            return FALSE, error.reason, str(error)
        return self._unseen() or (FALSE, Reason.WAITING, "ports are given when it is admitted")

    def _installed(self) -> Fact:
        unseen = self._unseen()
        if unseen is not None:
            return unseen
        game = self.verdict.game
        if game is None:
            if self.entry is not None and self.entry.generation:
                return TRUE, Reason.INSTALLED, "it was installed when it was last applied"
            return UNKNOWN, Reason.WAITING, "no Game says what to install"
        wanted = game.spec.install.packages.apt if game.spec.install.packages else ()
        there = {p.name for p in self.view.observed.packages}
        missing = [name for name in wanted if name not in there]
        if not missing:
            return TRUE, Reason.INSTALLED, ", ".join(wanted) or "there is nothing to install"
        operation = self._operation_of(game)
        if operation is not None and operation.state == "Failed":
            return FALSE, InstallFailed.reason, operation.message or "the installation failed"
        failure = self.view.failures.get(game.spec.guid)
        if failure is not None:
            return FALSE, InstallFailed.reason, failure.message
        # Percent and step stand in status.operation: a message that moved with them would be
        # one more write each time for the same news.
        return FALSE, Reason.INSTALLING, f"installing {', '.join(missing)}"

    def _registered(self) -> Fact:
        unseen = self._unseen()
        if unseen is not None:
            return unseen
        entry = self.entry
        if entry is None or not entry.generation:
            return FALSE, Reason.WAITING, "it is registered once it is installed"
        path = names.registration_path(entry.guid, entry.instance_id)
        return TRUE, Reason.REGISTERED, path

    def _running_fact(self, running: Running | None) -> Fact:
        unseen = self._unseen()
        if unseen is not None:
            return unseen
        if running is None or (self._is_new() and running.reason == Reason.STARTING):
            return FALSE, Reason.WAITING, "it has not been started yet"
        return (TRUE if running.running else FALSE), running.reason, running.message

    def _conditions(self, facts: dict[ConditionType, Fact]) -> Conditions:
        made: Conditions = self.previous.conditions
        within_grace = self.view.visited and not self.view.reachable and not self.view.out_of_sight
        for type_, (status, reason, message) in facts.items():
            # For a moment out of reach nothing but that is news.
            if within_grace and type_ is not ConditionType.HOST_REACHABLE:
                known = get_condition(made, type_)
                if known is not None and known.observed_generation == self.generation:
                    continue
            made = set_condition(
                made,
                type_,
                status,
                reason,
                message,
                now=self.now,
                observed_generation=self.generation,
            )
        return made

    # --- fields -----------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        instance, entry = self.instance, self.entry
        if instance is None:
            return {"instance_id": self.item.text("instance_id") or "default"}
        user = entry.user if entry else names.user_name(instance.guid, instance.instance_id)
        ports = _port_statuses(instance.ports)
        first = f":{ports[0].port}" if ports else ""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return {
            "instance_id": instance.instance_id,
            "path": said(instance.path, MAX_PATH),
            "user": said(user, MAX_SHORT),
            "ports": ports,
            "address": f"{host}{first}" if self.address else "",
            "services": self._service_statuses(),
            "version": self._version(),
        }

    def _service_statuses(self) -> tuple[ServiceStatus, ...]:
        if not self.seen or self.entry is None:
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
            for service, unit in zip(self._services(), self.units, strict=True)
        )

    def _version(self) -> str:
        game = self.verdict.game
        if not self.view.visited or game is None or game.spec.install.packages is None:
            return self.previous.version
        first = game.spec.install.packages.apt[0]
        version = next((p.version for p in self.view.observed.packages if p.name == first), "")
        return said(version, MAX_SHORT)

    def _measurements(self, running: Running | None) -> dict[str, Any]:
        there = self.seen and running is not None and running.running
        score = self.units[0].security_score_tenths if self.units and self.seen else None
        return {
            "players": self.measured.players if there else None,
            "metrics": self.measured.metrics if there else None,
            "security_score": self.previous.security_score
            if score is None
            else min(max(score, 0), 100) / 10,
        }

    def _operation_of(self, game: Game) -> Operation | None:
        packages = game.spec.install.packages
        if packages is None:
            return None
        wanted = names.install_operation(game.spec.guid, packages.apt, packages.mask)
        return self.view.operations.get(wanted)

    def _operation(self) -> dict[str, Any]:
        game = self.verdict.game
        operation = self._operation_of(game) if game and self.seen else None
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
        return {"operation": None, "history": self._history(operation)}

    def _history(self, operation: Operation) -> tuple[OperationRecord, ...]:
        succeeded = operation.state == "Succeeded"
        record = OperationRecord(
            id=operation.id,
            type=OperationType.INSTALL,
            result=OperationResult.SUCCEEDED if succeeded else OperationResult.FAILED,
            message="" if succeeded else operation.message,
            started_at=_instant(operation.started_at_seconds),
        )
        known = {each.id: each for each in self.previous.history}
        before = known.pop(operation.id, None)
        if before is not None and (before.result, before.started_at) == (
            record.result,
            record.started_at,
        ):
            return self.previous.history
        finished = record.model_copy(update={"finished_at": self.now.replace(microsecond=0)})
        return (finished, *known.values())[:10]


def _abnormal(holds: bool, judged: _Judgement) -> Fact:
    if holds:
        return TRUE, judged.reason, judged.message
    return FALSE, Reason.NOTHING_WRONG, ""


def _port_statuses(ports: Sequence[DesiredPort]) -> tuple[PortStatus, ...]:
    """Give what can be shown; what a ledger says that was tampered with may be no port at all."""
    shown: dict[str, PortStatus] = {}
    for port in ports[:MAX_PORTS]:
        if port.protocol in _PROTOCOLS and 0 < port.number < 65536 and 0 < len(port.name) <= 64:
            fields = {"name": port.name, "port": port.number, "protocol": port.protocol}
            shown.setdefault(port.name, PortStatus.model_validate(fields))
    return tuple(shown.values())


_PROTOCOLS = frozenset(str(protocol) for protocol in Protocol)
_LAST_SECOND = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())


def _instant(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LAST_SECOND else None
