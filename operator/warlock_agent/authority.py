"""
Who may change this machine: a frame's authority against the ledger. Pure; asked under the lock.

The rows are tried from the top, the first that fits decides:

======================================================  =====================
the frame                                                answer
======================================================  =====================
names no owner, holder or GameHost                       BadFrame
means another machine than this one                      HostReplaced
the ledger has no owner yet                              accepted
carries a take-over that names the ledger's owner and    accepted; the fencing
was never seen here                                      token starts anew
comes from another owner                                 OwnedByAnother
has a lower token, or the same of another holder         StaleLeader
comes from another GameHost, and does not say that it    DuplicateHost
replaces the one that the ledger names
otherwise                                                accepted
======================================================  =====================

A GameHost that was deleted and made again has a new uid: its operator sees the old uid in the
ledger that hello carries, finds no GameHost of that uid in its complete lists, and says so in
``Authority.replaces``. That is a compare-and-swap: if another GameHost has got in meanwhile, the
ledger names that one, and the frame is refused.

A take-over acts once. Every value that an accepted frame carries is remembered, also where there
was nothing to take over; else two clusters whose annotations name each other would take the
machine from each other for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Optional

from .model import Authority, Ledger
from .reasons import Misspoken, Reason

TAKE_OVERS_KEPT = 100
"""Arbitrary: each is an annotation that a person wrote."""


@dataclass(frozen=True)
class Denial:
    """Why a frame must not change this machine. reason: of :class:`~.wire.Fault`."""

    reason: Literal[Reason, Misspoken]
    message: str


def takes_over(authority: Authority, ledger: Ledger) -> bool:
    """Tell whether the frame displaces the ledger's owner (or resets its own token) just now."""
    displaced, slash, anything = authority.take_over.partition("/")
    return (
        bool(slash and anything)
        and displaced == ledger.owner
        and authority.take_over not in ledger.take_overs
    )


def check(authority: Authority, ledger: Ledger, machine_id: str) -> Optional[Denial]:
    """
    Decide whether a frame may change this machine; None means yes.

    Args:
        authority: of the frame.
        ledger: as read under the lock.
        machine_id: of this machine.
    """
    if not (authority.owner and authority.holder and authority.host_uid):
        return Denial("BadFrame", "the authority must name an owner, a holder and a GameHost")
    if authority.machine_id and authority.machine_id != machine_id:
        return Denial(
            "HostReplaced",
            f"this is machine {machine_id}, not {authority.machine_id}; if it is meant to be, set "
            f"the annotation warlock.dev/accept-host to {machine_id} on the GameHost",
        )
    if not ledger.owner or takes_over(authority, ledger):
        return None
    return (
        _other_owner(authority, ledger)
        or _stale(authority, ledger)
        or _other_game_host(authority, ledger)
    )


def _other_owner(authority: Authority, ledger: Ledger) -> Optional[Denial]:
    if authority.owner == ledger.owner:
        return None
    used = " (this value was used before)" if authority.take_over in ledger.take_overs else ""
    return Denial(
        "OwnedByAnother",
        f"this machine belongs to cluster {ledger.owner}; to displace it, set the annotation "
        f"warlock.dev/take-over to {ledger.owner}/<anything new> on the GameHost{used}",
    )


def _stale(authority: Authority, ledger: Ledger) -> Optional[Denial]:
    if authority.token < ledger.token:
        return Denial(
            "StaleLeader",
            f"token {authority.token} of {authority.holder} is older than {ledger.token} of "
            f"{ledger.holder}; after a restore of etcd, set the annotation warlock.dev/take-over "
            f"to {ledger.owner}/<anything new> on the GameHost",
        )
    if authority.token == ledger.token and authority.holder != ledger.holder:
        return Denial(
            "StaleLeader",
            f"token {authority.token} belongs to {ledger.holder}, not to {authority.holder}",
        )
    return None


def _other_game_host(authority: Authority, ledger: Ledger) -> Optional[Denial]:
    if ledger.host_uid in ("", authority.host_uid, authority.replaces):
        return None
    return Denial(
        "DuplicateHost",
        f"this machine is already served as the GameHost with uid {ledger.host_uid}; "
        "delete one of the two",
    )


def accept(authority: Authority, ledger: Ledger) -> Ledger:
    """Give the ledger that records an authority which :func:`check` let pass; entries stay."""
    return replace(
        ledger,
        owner=authority.owner,
        token=authority.token,
        holder=authority.holder,
        host_uid=authority.host_uid,
        take_overs=_seen(authority.take_over, ledger.take_overs),
    )


def _seen(value: str, take_overs: tuple[str, ...]) -> tuple[str, ...]:
    if not value or value in take_overs:
        return take_overs
    return (*take_overs, value)[-TAKE_OVERS_KEPT:]
