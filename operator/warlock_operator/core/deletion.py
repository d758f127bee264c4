"""
A deletion that can't hang: what it waits for, when it is let go by force, what stays behind. Pure.

==============================================  ===================================================
the machine                                     a deletion
==============================================  ===================================================
answers, and the pass does what is asked        is done as always, ``force-delete`` or not
does not answer, or refuses us, or a step of    waits, says for what and since when; with
the removal failed                              ``force-delete`` it is let go, and Event and log
                                                say what is left behind on which machine
has not been tried by this process              waits for that, ``force-delete`` or not
==============================================  ===================================================

What was left behind is an orphan once the machine is back (:mod:`orphans`).
"""

from __future__ import annotations

from datetime import datetime

from warlock_agent import names
from warlock_agent.model import LedgerEntry
from warlock_operator.api.names import Reason, Why
from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus
from warlock_operator.core.desired import Verdict, key_of
from warlock_operator.core.inventory import HostItem, InstanceItem
from warlock_operator.core.view import HostView
from warlock_operator.errors import BY_REASON, ApiError, OperatorError, StepFailed

Waiting = tuple[Why, str]
"""Reason and message."""

FORCE = (
    'the warlock.dev/force-delete annotation with the value "true" lets go and leaves on the '
    "machine what is there"
)


def waits_for(verdict: Verdict, view: HostView, seen_before: datetime | None) -> Waiting | None:
    """
    Say what the deletion of an instance waits for; None where it is being done.

    Args:
        seen_before: when its host was last seen, as the status has it.
    """
    since = _time(verdict.item.meta.deletion_timestamp)
    asked = f"asked for at {since}" if since else "asked for"
    error = verdict.error or view.error
    failure = view.failures.get(key_of(verdict.item))
    if error is not None:
        last = _time(view.last_seen or seen_before)
        seen = "" if view.reachable else f", {f'last seen at {last}' if last else 'never seen'}"
        host = f"GameHost {verdict.item.text('host')}"
        return error.reason, f"deletion, {asked}, waits for {host}{seen}: {error}; {FORCE}"
    if failure is not None:
        what = f"{failure.step} {failure.target}: {failure.message}"
        reason = BY_REASON.get(failure.reason, StepFailed).reason
        return reason, f"deletion, {asked}, is tried again: {what}; {FORCE}"
    unwritten = view.unwritten.get(verdict.item.uid)
    if unwritten is not None:
        text = f"deletion, {asked}, is tried again: our finalizer can't be taken off: {unwritten}"
        return unwritten.reason, text
    if not view.reachable:
        text = f"deletion, {asked}, waits for the host, which has not been visited yet; {FORCE}"
        return Reason.NOT_VISITED, text
    return None


def host_waits_for(item: HostItem, desired: int, error: OperatorError | None) -> str:
    """
    Say what the deletion of a GameHost waits for.

    Args:
        desired: GameInstances that mean it.
        error: why the machine is not served just now.
    """
    since = _time(item.meta.deletion_timestamp)
    served = f"the machine can't be served: {error}" if error else "it is served until then"
    return (
        f"deletion, asked for at {since}, waits until no GameInstance names it; {desired} do; "
        f"{served}; {FORCE}"
    )


def forced(verdict: Verdict, view: HostView) -> bool:
    """Tell whether an instance is let go although its machine has not been cleaned."""
    meta = verdict.item.meta
    if not (meta.deleting and verdict.item.held and meta.force_delete):
        return False
    # What the apiserver did not do says nothing about the machine.
    away = None if isinstance(view.error, ApiError) else view.error
    hindered = verdict.error or away or view.failures.get(key_of(verdict.item))
    return hindered is not None


def left_behind(
    item: InstanceItem,
    host: HostItem,
    entry: LedgerEntry | None,
    shown: GameInstanceStatus | None,
    machine_id: str,
) -> str:
    """
    Say what stays on which machine, as far as it is known.

    Args:
        entry: what the machine's ledger had of it when it was last read.
        shown: the status of the instance, where the ledger has not been read.
        machine_id: of the machine; empty where it is not known.
    """
    path = entry.path if entry else shown.path if shown else ""
    units = (
        [names.unit_name(service, entry.instance_id) for service in entry.services]
        if entry
        else [service.unit for service in shown.services]
        if shown
        else []
    )
    parts = [*(f"unit {unit}" for unit in units), *([f"directory {path}"] if path else [])]
    address = host.object.spec.address if host.object else host.text("address")
    known = f", machine {machine_id}" if machine_id else ""
    return (
        f"let go by force; left behind on GameHost {host.meta.name} ({address}{known}): "
        f"{', '.join(parts) or 'whatever it had there'} of {key_of(item)}; it is listed in "
        "status.orphans of the GameHost when the machine is back"
    )


def _time(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at is not None else ""
