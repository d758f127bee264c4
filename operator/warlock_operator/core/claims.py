"""
Who holds an identity, a path, a unit name, a port, when two want it. Pure.

==========================================  =======================================
two instances want one thing                it goes to
==========================================  =======================================
the host's ledger shows it as held          the holder, be it named by any CR or not
nobody holds it                             the older GameInstance, then the lower uid
==========================================  =======================================

The loser is told who has it, and gets it by itself when that one goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from warlock_agent import names
from warlock_agent.model import Ledger
from warlock_agent.nesting import Directories
from warlock_operator.errors import (
    ClaimLost,
    HeldByAnother,
    IdentityTaken,
    PathTaken,
    PortTaken,
    UnitTaken,
)

Thing = tuple[str, str]
"""What is claimed: its kind (Identity, Path, Unit, Port) and its name."""

LOST: Mapping[str, type[ClaimLost]] = {
    "Identity": IdentityTaken,
    "Path": PathTaken,
    "Unit": UnitTaken,
    "Port": PortTaken,
}


@dataclass(frozen=True)
class Want:
    """
    What one instance claims on its host.

    owner: ``namespace/name``. key: ``guid/instance_id``. ports: asked for by number or held.
    """

    uid: str
    owner: str
    key: str
    path: str
    units: tuple[str, ...]
    ports: tuple[tuple[str, int], ...] = ()

    def things(self) -> tuple[Thing, ...]:
        """Everything that it claims, the identity first."""
        return (
            ("Identity", self.key),
            ("Path", self.path),
            *(("Unit", unit) for unit in self.units),
            *(("Port", f"{number}/{protocol}") for protocol, number in self.ports),
        )


class Claims:
    """What is taken on one host, and by whom."""

    def __init__(self, ledger: Ledger) -> None:
        """ledger: the host's; its holders come before everybody."""
        self._held: dict[Thing, str] = {}
        self._directories = Directories()
        self._owners: dict[str, str] = {}
        for entry in sorted(ledger.instances, key=lambda each: each.key):
            owner = f"{entry.namespace}/{entry.name}"
            self._owners[entry.key] = owner
            want = Want(
                entry.uid,
                owner,
                entry.key,
                entry.path,
                tuple(names.unit_name(s, entry.instance_id) for s in entry.services),
                tuple((p.protocol, p.number) for p in entry.ports),
            )
            self._hold(want)

    def holds_identity(self, want: Want) -> bool:
        """Say whether the ledger has this identity for this object."""
        return self._owners.get(want.key) == want.owner

    def take(self, want: Want) -> ClaimLost | None:
        """Take all that is wanted, or say what is lost and to whom, and take nothing."""
        ledger_owner = self._owners.get(want.key)
        if ledger_owner is not None and ledger_owner != want.owner:
            return HeldByAnother(
                f"the host runs {want.key} for GameInstance {ledger_owner}; delete that one first, "
                "or give this one another instance_id"
            )
        for thing in want.things():
            holder = self._holder(thing, want.owner)
            if holder:
                kind, name = thing
                return LOST[kind](
                    f"{kind.lower()} {name} is held by GameInstance {holder} on this host; "
                    "choose another one, or delete that GameInstance"
                )
        self._hold(want)
        return None

    def _hold(self, want: Want) -> None:
        for thing in want.things():
            self._held.setdefault(thing, want.owner)
        self._directories.take(want.path, want.owner)

    def _holder(self, thing: Thing, owner: str) -> str:
        kind, name = thing
        if kind == "Path":
            return self._directories.in_the_way(name, owner)
        holder = self._held.get(thing, owner)
        return holder if holder != owner else ""

    def ports(self) -> dict[tuple[str, int], str]:
        """Every claimed port with its owner."""
        made: dict[tuple[str, int], str] = {}
        for (kind, name), owner in self._held.items():
            if kind == "Port":
                number, _, protocol = name.partition("/")
                made[(protocol, int(number))] = owner
        return made


def in_order_of_right(wants: Iterable[Want], claims: Claims) -> Sequence[Want]:
    """Sort wants (given oldest first): those whose identity the ledger shows come first."""
    return sorted(wants, key=lambda want: not claims.holds_identity(want))
