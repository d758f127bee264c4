"""
What an instance's units say about it: the Running condition and the word that is printed. Pure.

=============================  ==========  ===========  =====================================
the worst of its units         Running     state        reason
=============================  ==========  ===========  =====================================
failed, since it was stopped   False       Starting or  Stopped
                                           Stopped
failed                         False       Failed       CrashLoop when restarted too often,
                                                        MainProcessExited when it ran before,
                                                        StartFailed otherwise
activating (auto-restart)      False       Crashed      MainProcessExited
activating                     False       Starting     Starting
deactivating, or being         False       Stopping     Stopping
cleaned (maintenance)
inactive                       False       Starting or  Starting, Stopped
                                           Stopped
active, no main process        False       Starting     Starting
active, a port not bound       True        Starting     PortNotBound (in Ready)
active                         True        Running      Running
=============================  ==========  ===========  =====================================
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from warlock_agent import retry
from warlock_agent.model import DesiredInstance, ObservedUnit
from warlock_operator.api.names import InstanceState, Reason, Why
from warlock_operator.errors import CrashLoop, MainProcessExited, StartFailed

_ENDINGS = frozenset({"success", "exit-code", "signal", "core-dump", "oom-kill", "watchdog"})
"""Results of a unit whose program ran; with any other systemd did not get as far."""

SYSTEMD_EXIT_STATUSES = range(200, 246)
"""systemd's own, for what failed before the program ran: 203 is "no such program"."""


@dataclass(frozen=True)
class Running:
    """The Running condition and the printed state. looping: only a person can end it."""

    running: bool
    reason: Why
    message: str
    state: InstanceState
    looping: bool = False


def running_of(instance: DesiredInstance, units: Sequence[ObservedUnit]) -> Running:
    """Judge the units of an instance, the main one first; *units* is not empty."""
    judged = [_judge(unit, instance.running) for unit in units]
    return min(judged, key=lambda each: _RANK[each.state])


_RANK = {
    state: rank
    for rank, state in enumerate(
        (
            InstanceState.FAILED,
            InstanceState.CRASHED,
            InstanceState.STOPPING,
            InstanceState.STARTING,
            InstanceState.STOPPED,
            InstanceState.RUNNING,
        )
    )
}


def _judge(unit: ObservedUnit, wanted: bool) -> Running:
    name = unit.unit
    if unit.active_state == "failed":
        return _failed(unit, wanted)
    if unit.active_state == "activating" and unit.sub_state.startswith("auto-restart"):
        return Running(
            False,
            MainProcessExited.reason,
            _with_journal(f"{name}: {ended(unit)}; systemd is restarting it", unit),
            InstanceState.CRASHED,
        )
    if unit.active_state == "activating":
        return Running(False, Reason.STARTING, f"{name} is starting", InstanceState.STARTING)
    if unit.active_state == "deactivating":
        return Running(False, Reason.STOPPING, f"{name} is stopping", InstanceState.STOPPING)
    if unit.active_state == "maintenance":
        text = f"{name} is being cleaned, as systemctl clean does; it can be started afterwards"
        return Running(False, Reason.STOPPING, text, InstanceState.STOPPING)
    if unit.active_state in ("active", "reloading"):
        # systemd tells the two apart: a process that has just ended may be gone from the one and
        # not from the other. Until it says which, nothing runs that one could point at.
        if wanted and not unit.main_pid:
            text = f"{name} has no main process just now"
            return Running(False, Reason.STARTING, text, InstanceState.STARTING)
        return Running(
            True,
            Reason.RUNNING,
            f"{name} runs with main pid {unit.main_pid}",
            InstanceState.RUNNING,
        )
    if wanted:
        return Running(False, Reason.STARTING, f"{name} is not running", InstanceState.STARTING)
    return Running(False, Reason.STOPPED, f"{name} is stopped", InstanceState.STOPPED)


def _failed(unit: ObservedUnit, wanted: bool) -> Running:
    if unit.stopped or not wanted:
        state = InstanceState.STARTING if wanted else InstanceState.STOPPED
        text = f"{unit.unit} was stopped; {ended(unit)}"
        return Running(False, Reason.STOPPED, text, state)
    looping = retry.gave_up(unit)
    if looping:
        text = (
            f"{unit.unit}: {ended(unit)}, {unit.restarts} times in a row; it is tried again after "
            "10 s, doubling to 5 minutes, and at once after an edit or a new "
            "warlock.dev/reconcile annotation"
        )
        return Running(
            False, CrashLoop.reason, _with_journal(text, unit), InstanceState.FAILED, looping=True
        )
    # systemd passes through "failed" on its way to every automatic restart.
    own_fault = unit.result in _ENDINGS
    by_systemd = unit.exit_code == "exited" and unit.exit_status in SYSTEMD_EXIT_STATUSES
    error = MainProcessExited if own_fault and not by_systemd else StartFailed
    text = f"{unit.unit} failed ({unit.result}): {ended(unit)}"
    return Running(False, error.reason, _with_journal(text, unit), InstanceState.FAILED)


def ended(unit: ObservedUnit) -> str:
    """Say how the main process ended: its exit code or the signal that killed it."""
    if unit.exit_code in ("killed", "dumped"):
        core = ", with a core dump" if unit.exit_code == "dumped" else ""
        return f"the main process was killed by {_signal(unit.exit_status)}{core}"
    if unit.exit_code == "exited":
        return f"the main process ended with exit code {unit.exit_status}"
    return f"the last result is {unit.result}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _with_journal(text: str, unit: ObservedUnit) -> str:
    return "\n".join((text, "Its last lines:", *unit.journal)) if unit.journal else text


def unbound_ports(instance: DesiredInstance, units: Sequence[ObservedUnit]) -> str:
    """Say which declared ports no unit of the instance has bound, and what it bound instead."""
    bound = {slot for unit in units for slot in unit.ports}
    declared = {(p.protocol, p.number): p.name for p in instance.ports}
    missing = [f"{n}/{p} ({declared[p, n]})" for p, n in sorted(set(declared) - bound)]
    if not missing:
        return ""
    others = [f"{n}/{p}" for p, n in sorted(bound - set(declared))]
    told = f"; it has bound {', '.join(others)}" if others else ""
    return f"the process runs and has not bound port {', '.join(missing)}{told}"
