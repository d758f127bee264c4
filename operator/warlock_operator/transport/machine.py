"""
A machine in memory: the agent's own planner, authority check and simulation, without any hands.

What it does to itself (an install ends, a process crashes) and what people do to it (an edit, a
foreign socket) are methods, for tests and demonstrations. Used by :mod:`.fixture`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from warlock_agent import authority as law
from warlock_agent import names
from warlock_agent.model import (
    Authority,
    BoundSocket,
    DesiredHost,
    Facts,
    Feature,
    ObservedFile,
    ObservedHost,
    ObservedUnit,
    StepResult,
    UnitSample,
)
from warlock_agent.plan import Plan, plan
from warlock_agent.simulate import finish_operations, simulate
from warlock_agent.steps import Reload, StartInstall, Step, target_of
from warlock_agent.wire import Fault, Hello, OperationChanged, Report, Sample, UnitsChanged

_PASSES = 8
"""A plan's result needs no second one but where a unit was stopped first; the rest is margin."""
_ANY = "0.0.0.0"  # noqa: S104  (what a machine in memory says; nothing is bound)
_GAME_CPU_PERCENT = 5
_GAME_MEMORY_BYTES = 38 * 1024 * 1024

Push = Callable[[UnitsChanged | OperationChanged | Sample], None]
Game = Callable[[str, int, bytes], tuple[bytes, ...]]


def quake3(protocol: str, port: int, payload: bytes) -> tuple[bytes, ...]:
    """Answer a ``getstatus`` as a Quake III server with two bots does, and nothing else."""
    if protocol != "UDP" or not payload.startswith(b"\xff\xff\xff\xffgetstatus"):
        return ()
    info = rf"\sv_hostname\Fixture {port}\sv_maxclients\8\mapname\oa_dm1"
    bots = '0 0 "Sarge"\n3 0 "Grunt"\n'
    return (b"\xff\xff\xff\xffstatusResponse\n" + f"{info}\n{bots}".encode(),)


@dataclass
class Faults:
    """
    What goes wrong, on request; each holds until it is taken back.

    unreachable: dialling fails, and so does every request of an open link.
    host_key: the key line that the machine shows; empty: whichever is pinned.
    slow_seconds: before each answer. silent: no answer at all.
    drop_after_frames: a link is lost after so many frames in both directions; between a request
    and its answer the pass has happened. die_after_steps: the agent is killed in the middle of a
    pass, after so many steps.
    failing: message by the name of a step's class, ``{"WriteFile": "No space left on device"}``.
    """

    unreachable: bool = False
    host_key: str = ""
    slow_seconds: float = 0.0
    silent: bool = False
    drop_after_frames: int | None = None
    die_after_steps: int | None = None
    failing: dict[str, str] = field(default_factory=dict)


class AgentDied(Exception):
    """The pass was cut off in its middle, as :attr:`Faults.die_after_steps` says."""


class Machine:
    """
    One host. *state* is all of it, files included; change it by the methods, or between passes.

    install_seconds: how long an install takes; 0: it ends right after the pass that started it.
    game: what answers on the ports of the units that run.
    """

    def __init__(
        self,
        machine_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        install_seconds: float = 0.0,
        game: Game = quake3,
    ) -> None:
        """clock: seconds of the boot clock; any start."""
        self.state = ObservedHost(machine_id=machine_id, boot_id=_hex(f"{machine_id}/1"))
        self.faults = Faults()
        self.facts = Facts("fixture", "Fixture 1", "6.1", "252", "3.11", "x86_64", 2, 1 << 32)
        self.features: tuple[Feature, ...] = (Feature("MemoryMax", "Advisory"),)
        self.passes = 0
        self.changes = 0
        self._clock = clock
        self._boots = 1
        self._last_pid = 100_000  # simulate() counts up from 1000
        self._booted_at = clock() - 1000.0
        self._install_seconds = install_seconds
        self._game = game
        self._links: dict[int, tuple[Push, Callable[[], None]]] = {}
        self._starting: list[StartInstall] = []

    # --- what the agent does ----------------------------------------------------------------

    def hello(self, protocol: int) -> Hello:
        """The first frame of an agent here."""
        return Hello(protocol, "", self.facts, self.features, self.seen())

    def seen(self, desired: DesiredHost | None = None) -> ObservedHost:
        """What crosses the wire: no files, and every unit that ledger or *desired* names."""
        state = self._now()
        there = {unit.unit: unit for unit in state.units}
        wanted = {
            names.unit_name(service, entry.instance_id)
            for entry in state.ledger.instances
            for service in entry.services
        }
        if desired is not None:
            services = {game.guid: game.services for game in desired.games}
            wanted |= {
                names.unit_name(service.name, one.instance_id)
                for one in desired.converge
                for service in services.get(one.guid, ())
            }
        units = tuple(there.get(unit) or ObservedUnit(unit) for unit in sorted(wanted))
        return replace(state, units=units, files=())

    def converge(self, request: int, authority: Authority, desired: DesiredHost) -> Report | Fault:
        """
        One pass.

        Raises:
            AgentDied: as asked for; what was done until then stays done.
        """
        self.passes += 1
        denial = law.check(authority, self.state.ledger, self.state.machine_id)
        if denial is not None:
            return Fault(request, denial.reason, denial.message)
        self.state = replace(self.state, ledger=law.accept(authority, self.state.ledger))
        try:
            return self._pass(request, desired)
        finally:
            self._run_installs()  # a unit of its own: it outlives the agent

    def _pass(self, request: int, desired: DesiredHost) -> Report:
        results: list[StepResult] = []
        reloads = 0
        for _ in range(_PASSES):
            planned = plan(desired, self._now())
            done = self._apply(planned)
            results += done
            reloads += sum(isinstance(step, Reload) for step in planned.steps)
            if not planned.steps or any(one.outcome == "Failed" for one in done):
                break
        return Report(
            request,
            tuple(results),
            planned.refusals,
            self.seen(desired),
            planned.next_pass_seconds,
            reloads,
        )

    def exchange(self, protocol: str, port: int, payload: bytes) -> tuple[bytes, ...]:
        """Ask what is bound there, as one of our running units."""
        bound = any(
            (protocol, port) in unit.ports
            for unit in self.state.units
            if unit.active_state == "active"
        )
        return self._game(protocol, port, payload) if bound else ()

    def sample(self) -> Sample:
        """Counters of what runs: a steady, plausible load."""
        uptime = self._now().uptime_seconds
        return Sample(
            uptime * 1000,
            tuple(
                UnitSample(
                    unit.unit,
                    (uptime - unit.active_uptime_seconds) * _GAME_CPU_PERCENT * 10_000,
                    _GAME_MEMORY_BYTES,
                    "ProcessPSS",
                    2,
                )
                for unit in self.state.units
                if unit.active_state == "active"
            ),
        )

    # --- what happens to it -----------------------------------------------------------------

    def crash(self, unit: str, *, status: int = 1, gives_up: bool = False) -> None:
        """
        End the unit's process by itself; systemd starts it again, unless it *gives_up*.

        A unit that gives up has hit its start limit: failed, until it is reset.
        """
        dead = replace(
            self._unit(unit),
            active_state="failed" if gives_up else "activating",
            sub_state="failed" if gives_up else "auto-restart",
            main_pid=0,
            result="start-limit-hit" if gives_up else "exit-code",
            exit_code="exited",
            exit_status=status,
            active_uptime_seconds=0,
            ports=(),
            journal=("the fixture's process ended",),
        )
        self.set_unit(dead)

    def restart(self, unit: str) -> None:
        """Let the automatic restart of a crashed unit happen."""
        before = self._unit(unit)
        self._start(unit, before.restarts + 1, before.digest)

    def _start(self, unit: str, restarts: int, digest: str | None) -> None:
        self._last_pid += 1
        uptime = max(1, self._now().uptime_seconds)
        started = ObservedUnit(unit, "active", "running", self._last_pid, restarts=restarts)
        ports = self._ports_of(unit)
        self.set_unit(replace(started, active_uptime_seconds=uptime, digest=digest, ports=ports))

    def stop_unit(self, unit: str) -> None:
        """Stop a unit by hand, as somebody with a shell would."""
        self.set_unit(ObservedUnit(unit))

    def set_unit(self, unit: ObservedUnit) -> None:
        """Put a unit into a state, and tell the open links as systemd's signal would."""
        others = tuple(one for one in self.state.units if one.unit != unit.unit)
        own = [
            BoundSocket(protocol, _ANY, number, unit.main_pid, "game", unit.unit)
            for protocol, number in unit.ports
        ]
        sockets = tuple(one for one in self.state.sockets if one.unit != unit.unit)
        self.state = replace(self.state, units=(*others, unit), sockets=(*sockets, *own))
        self._tell(UnitsChanged((unit,)))

    def edit_file(self, path: str, text: str) -> None:
        """Write into a file by hand."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._put_file(path, ObservedFile(path, "File", digest, 0o644))

    def remove_file(self, path: str) -> None:
        """Remove a file by hand."""
        self._put_file(path, None)

    def bind(self, protocol: str, port: int, process: str = "nginx") -> None:
        """Have something that is not ours take a port."""
        foreign = BoundSocket(protocol, _ANY, port, 77, process)
        self.state = replace(self.state, sockets=(*self.state.sockets, foreign))

    def release(self, protocol: str, port: int) -> None:
        """Have it let go."""
        left = tuple(
            one
            for one in self.state.sockets
            if one.unit or (one.protocol, one.port) != (protocol, port)
        )
        self.state = replace(self.state, sockets=left)

    def fail_install(self, operation: str, message: str) -> None:
        """Have a running install end in failure."""
        changed = tuple(
            replace(one, state="Failed", message=message) if one.id == operation else one
            for one in self.state.operations
        )
        self.state = replace(self.state, operations=changed)
        for one in changed:
            if one.id == operation:
                self._tell(OperationChanged(one))

    def reboot(self) -> None:
        """Start anew: links are lost, what is enabled runs again, volatile memory is gone."""
        self.cut()
        self._boots += 1
        self._booted_at = self._clock()
        links = {file.path for file in self.state.files if file.kind == "Link"}
        wanted = f"{names.WANTS_DIR}/"
        units = tuple(u for u in self.state.units if wanted + u.unit in links)
        self.state = replace(
            self.state,
            boot_id=_hex(f"{self.state.machine_id}/{self._boots}"),
            units=(),
            sockets=(),
            retries=(),
            operations=(),
            reload_pending=False,
        )
        for unit in units:
            self._start(unit.unit, 0, unit.digest)

    # --- links ------------------------------------------------------------------------------

    def attach(self, link: int, push: Push, cut: Callable[[], None]) -> None:
        """Tell *push* what changes, and *cut* that the line is gone, until :meth:`detach`."""
        self._links[link] = (push, cut)

    def detach(self, link: int) -> None:
        """Tell it no more."""
        self._links.pop(link, None)

    def cut(self) -> None:
        """Lose every open link."""
        for _, cut in list(self._links.values()):
            cut()

    # --- inside -----------------------------------------------------------------------------

    def _now(self) -> ObservedHost:
        return replace(self.state, uptime_seconds=int(self._clock() - self._booted_at))

    def _unit(self, unit: str) -> ObservedUnit:
        found = (one for one in self.state.units if one.unit == unit)
        return next(found, ObservedUnit(unit))

    def _ports_of(self, unit: str) -> tuple[tuple[str, int], ...]:
        """Ports of the instance whose main unit this is."""
        for entry in self.state.ledger.instances:
            if entry.services and names.unit_name(entry.services[0], entry.instance_id) == unit:
                return tuple((port.protocol, port.number) for port in entry.ports)
        return ()

    def _put_file(self, path: str, file: ObservedFile | None) -> None:
        others = tuple(one for one in self.state.files if one.path != path)
        self.state = replace(self.state, files=others if file is None else (*others, file))

    def _tell(self, frame: UnitsChanged | OperationChanged) -> None:
        for push, _ in list(self._links.values()):
            push(frame)

    def _apply(self, planned: Plan) -> list[StepResult]:
        """Do the steps in their order; after a failure skip what follows with the same key."""
        results: list[StepResult] = []
        doing: list[Step] = []
        failed: set[str] = set()
        left = self.faults.die_after_steps
        for step in planned.steps:
            if left is not None and len(results) >= left:
                self._do(doing)
                raise AgentDied(f"after {left} steps")
            outcome, message = self._outcome(step, failed)
            if outcome == "Done":
                doing.append(step)
            found = getattr(step, "found", "")
            name, target = type(step).__name__, target_of(step)
            made = StepResult(name, target, step.key, outcome, message=message, found=found)
            results.append(replace(made, reason="StepFailed") if outcome == "Failed" else made)
        self._do(doing)
        return results

    def _outcome(self, step: Step, failed: set[str]) -> tuple[str, str]:
        if step.key in failed:
            return "Skipped", ""
        message = self.faults.failing.get(type(step).__name__)
        if message is not None:
            failed.add(step.key)
            return "Failed", message
        return "Done", ""

    def _do(self, steps: list[Step]) -> None:
        """All at once: a simulation of each alone would copy the host as often as it has steps."""
        self._starting += [step for step in steps if isinstance(step, StartInstall)]
        self.changes += len(steps)
        self.state = replace(simulate(self._now(), steps), uptime_seconds=0)

    def _run_installs(self) -> None:
        starting, self._starting = self._starting, []
        if not starting:
            return
        asyncio.get_running_loop().call_later(self._install_seconds, self._finish, starting)

    def _finish(self, started: Iterable[StartInstall]) -> None:
        ids = {step.operation for step in started}
        self.state = finish_operations(self.state, started)
        for operation in self.state.operations:
            if operation.id in ids:
                self._tell(OperationChanged(operation))


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
