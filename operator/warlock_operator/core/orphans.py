"""
What a machine has and no GameInstance names, and which of it somebody wants gone. Pure.

A value of the annotation is ``<guid>/<instance_id>/<uid>``, as ``status.orphans`` shows them:

=================================================  =========================================
the value                                          what becomes of it
=================================================  =========================================
is not of that form                                told to whoever wrote it
names nothing that the machine's ledger has        nothing: it has been done
names what was made from another object            told, with the uid that is there
names what a GameInstance names, wherever that is  told: delete that one
names an orphan                                    is put on the list ``remove``
=================================================  =========================================

The uid is why an annotation that was left standing does nothing later: an instance that is made
anew has another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warlock_agent.model import DesiredHost, Ledger, LedgerEntry, RemovedInstance
from warlock_agent.plan import orphans_of
from warlock_operator.api.names import Annotation, Kind
from warlock_operator.core.inventory import HostItem, Inventory


@dataclass(frozen=True)
class OrphanDecision:
    """
    The orphans of one host.

    known: all of them, by key. removing: those that somebody wants gone. refused: why not, by what
    was asked for.
    """

    known: tuple[LedgerEntry, ...] = ()
    removing: tuple[LedgerEntry, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    def removals(self) -> tuple[RemovedInstance, ...]:
        """Give what goes on the list ``remove``."""
        return tuple(
            RemovedInstance(e.guid, e.instance_id, e.uid, e.namespace, e.name)
            for e in self.removing
        )


def orphans(
    inventory: Inventory, host: HostItem, ledger: Ledger, desired: DesiredHost
) -> OrphanDecision:
    """
    Decide about what *ledger* has and *desired* does not name.

    Args:
        inventory: complete; also what means another host is in it.
        desired: without orphans on its list ``remove``.
    """
    known = {entry.key: entry for entry in orphans_of(desired, ledger)}
    removing: list[LedgerEntry] = []
    refused: list[tuple[str, str]] = []
    for asked in _asked(host):
        key, _, uid = asked.rpartition("/")
        entry = ledger.by_key.get(key)
        if asked.count("/") != 2:
            refused.append((asked, "it is not <guid>/<instance_id>/<uid>, as in status.orphans"))
        elif entry is None:
            continue
        elif why := _objection(inventory, entry, uid, known):
            refused.append((asked, why))
        else:
            removing.append(entry)
    return OrphanDecision(tuple(known.values()), tuple(removing), tuple(refused))


def token(entry: LedgerEntry) -> str:
    """Give what the annotation has to say for this orphan to be removed."""
    return f"{entry.key}/{entry.uid}"


def _asked(host: HostItem) -> Iterator[str]:
    """Give the values of the annotation, each once."""
    written = host.meta.annotation(Annotation.REMOVE_ORPHAN).split(",")
    yield from dict.fromkeys(each.strip() for each in written if each.strip())


def _objection(
    inventory: Inventory, entry: LedgerEntry, uid: str, known: Mapping[str, LedgerEntry]
) -> str:
    """Say why the entry is not to be removed; empty where nothing is in the way."""
    where = f"{entry.namespace}/{entry.name}"
    if entry.uid != uid:
        return f"what the machine has there comes from GameInstance {where} with uid {entry.uid}"
    of_that_name = inventory.uid_of(Kind.GAME_INSTANCE, entry.namespace, entry.name)
    of_that_uid = inventory.get(Kind.GAME_INSTANCE, entry.uid)
    if entry.key not in known or of_that_name is not None or of_that_uid is not None:
        return f"GameInstance {where} or another one names it; delete that one instead"
    return ""
