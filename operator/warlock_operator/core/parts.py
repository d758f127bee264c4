"""
The conditions of a GameInstance that each say one thing of it, beside the judgement. Pure.

    HostReachable   the agent on its host answers
    PortsAllocated  it has its ports
    Installed       the packages of its Game are there
    Registered      it stands in the ledger, and in Warlock's directory
    Running         its processes run
"""

from __future__ import annotations

from warlock_agent import names
from warlock_operator.api.names import ConditionType, Reason
from warlock_operator.core.known import FALSE, TRUE, UNKNOWN, Fact, Known
from warlock_operator.errors import ApiError, InstallFailed


def parts_of(known: Known) -> dict[ConditionType, Fact]:
    """Give them all, in the order in which they come true."""
    return {
        ConditionType.HOST_REACHABLE: _reachable(known),
        ConditionType.PORTS_ALLOCATED: _allocated(known),
        ConditionType.INSTALLED: installed(known),
        ConditionType.REGISTERED: _registered(known),
        ConditionType.RUNNING: _running(known),
    }


def _reachable(known: Known) -> Fact:
    if known.view.reachable:
        return TRUE, Reason.CONNECTED, "the agent on the host answers"
    error = known.view.error
    if error is not None and not isinstance(error, ApiError):
        return FALSE, error.reason, str(error)
    return UNKNOWN, Reason.NOT_VISITED, "the host has not been visited yet"


def _allocated(known: Known) -> Fact:
    if known.instance is not None and known.has_ports:
        told = ", ".join(f"{p.name} {p.number}/{p.protocol}" for p in known.instance.ports)
        return TRUE, Reason.ALLOCATED, told or "the Game has no ports"
    error = known.verdict.error
    if error is not None and error.reason.startswith("Port"):
        return FALSE, error.reason, str(error)
    return known.unseen() or (FALSE, Reason.WAITING, "ports are given when it is admitted")


def installed(known: Known) -> Fact:
    """Say whether the packages of its Game are on the host."""
    unseen = known.unseen()
    if unseen is not None:
        return unseen
    game = known.verdict.game
    if game is None:
        if known.entry is not None and known.entry.generation:
            return TRUE, Reason.INSTALLED, "it was installed when it was last applied"
        return UNKNOWN, Reason.WAITING, "no Game says what to install"
    wanted = game.spec.install.packages.apt if game.spec.install.packages else ()
    there = {p.name for p in known.view.observed.packages}
    missing = [name for name in wanted if name not in there]
    if not missing:
        return TRUE, Reason.INSTALLED, ", ".join(wanted) or "there is nothing to install"
    operation = known.operation_of(game)
    if operation is not None and operation.state == "Failed":
        return FALSE, InstallFailed.reason, operation.message or "the installation failed"
    failure = known.view.failures.get(game.spec.guid)
    if failure is not None:
        return FALSE, InstallFailed.reason, failure.message
    # Percent and step stand in status.operation: a message that moved with them would be one
    # more write each time for the same news.
    return FALSE, Reason.INSTALLING, f"installing {', '.join(missing)}"


def _registered(known: Known) -> Fact:
    unseen = known.unseen()
    if unseen is not None:
        return unseen
    entry = known.entry
    if entry is None or not entry.generation:
        return FALSE, Reason.WAITING, "it is registered once it is installed"
    path = names.registration_path(entry.guid, entry.instance_id)
    return TRUE, Reason.REGISTERED, path


def _running(known: Known) -> Fact:
    unseen = known.unseen()
    if unseen is not None:
        return unseen
    running = known.running
    if running is None or (known.is_new and running.reason == Reason.STARTING):
        return FALSE, Reason.WAITING, "it has not been started yet"
    return (TRUE if running.running else FALSE), running.reason, running.message
