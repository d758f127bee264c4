"""What all workers share: the ways in and out, and in whose name they write."""

from __future__ import annotations

from dataclasses import dataclass

from warlock_operator.core.inventory import Inventory
from warlock_operator.kube.secrets import KeySecrets
from warlock_operator.reconcile.finalizers import Finalizers
from warlock_operator.reconcile.prober import Prober
from warlock_operator.reconcile.publisher import Publisher
from warlock_operator.reconcile.turns import Turns
from warlock_operator.settings import Settings
from warlock_operator.transport.link import LinkFactory
from warlock_operator.transport.players import PlayerQueries


@dataclass(frozen=True)
class Leader:
    """In whose name this process writes. See :class:`~warlock_agent.model.Authority`."""

    owner: str
    token: int
    holder: str


@dataclass(frozen=True)
class Surroundings:
    """What all workers share."""

    settings: Settings
    inventory: Inventory
    links: LinkFactory
    prober: Prober
    secrets: KeySecrets
    finalizers: Finalizers
    publisher: Publisher
    queries: PlayerQueries
    leader: Leader
    turns: Turns
