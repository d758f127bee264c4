"""
What a host should be: the custom resources that mean it, lowered to one message. Pure.

===================================================  ========  ===========================
an instance that means the host                      list      its status
===================================================  ========  ===========================
is being deleted and holds our finalizer             remove    Deleting
is being deleted; paused, or its host is ambiguous   keep      Deleting, waits
is paused, or its host is                            keep      Paused
fails a check (:mod:`admit`) or loses a claim        keep      Stalled, with the reason
is new to a host that takes none                     --        Stalled, with the reason
otherwise                                            converge
===================================================  ========  ===========================

What is kept is named by identity alone, and only while no other object has that identity here. An
orphan that somebody wants gone (:mod:`orphans`) is on the list ``remove`` as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from warlock_agent import names
from warlock_agent.model import (
    DEFAULT_INSTANCE,
    BoundSocket,
    DesiredGame,
    DesiredHost,
    DesiredInstance,
    DesiredPort,
    DesiredService,
    KeptInstance,
    Ledger,
    LedgerEntry,
    RemovedInstance,
    instance_key,
)
from warlock_operator.api.names import Annotation
from warlock_operator.api.v1alpha1 import Game, GameHost, GameInstance
from warlock_operator.api.v1alpha1.gameinstance import RunState
from warlock_operator.core import admit
from warlock_operator.core.claims import Claims, Want, in_order_of_right
from warlock_operator.core.inventory import HostItem, InstanceItem, Inventory
from warlock_operator.core.orphans import OrphanDecision, orphans
from warlock_operator.core.ports import Pool, PortNeed, Slot, allocate
from warlock_operator.errors import (
    HostTerminating,
    HostUnschedulable,
    OperatorError,
    PortsExhausted,
)

MAX_REQUEST = 64
"""Characters of an annotation's value that a host is told as they are; as many as a digest has."""


@dataclass(frozen=True)
class Verdict:
    """
    What is to become of one instance on its host.

    instance: what was sent, where it is converged. game: the Game, where it was found.
    error: why it is not converged. keep: its identity is on the keep list.
    """

    item: InstanceItem
    instance: DesiredInstance | None = None
    game: Game | None = None
    error: OperatorError | None = None
    removing: bool = False
    paused: bool = False


@dataclass(frozen=True)
class HostDecision:
    """The message for a host, a verdict an instance by uid, and what nobody names."""

    desired: DesiredHost
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    orphans: OrphanDecision = field(default_factory=OrphanDecision)


def desired_host(
    inventory: Inventory, host: HostItem, ledger: Ledger, sockets: Sequence[BoundSocket] = ()
) -> HostDecision:
    """
    Decide what *host* should be.

    Args:
        inventory: complete, or something would be missing that is only not read yet.
        ledger: as the host showed it last; empty before the first visit.
        sockets: what is bound on the host; a stranger's port is not given out.
    """
    return _Decider(inventory, host, ledger, sockets).decide()


def key_of(item: InstanceItem) -> str:
    """Give the identity on the host, also of an object that does not parse."""
    return instance_key(item.text("guid"), instance_id_of(item))


def instance_id_of(item: InstanceItem) -> str:
    """Give the instance id, also of an object that does not parse."""
    return item.text("instance_id") or DEFAULT_INSTANCE


def request_of(value: str) -> str:
    """
    Give an annotation's value as a host is told it: only whether it is new counts.

    The apiserver lets 256 KiB of anything through, NUL characters included: one instance's
    annotation must neither spoil nor fill the message that all instances of its host are in.
    """
    if len(value) <= MAX_REQUEST and value.isprintable():
        return value
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def take_over_of(value: str) -> str:
    """Give the take-over annotation's value likewise; what is no owner's name displaces nobody."""
    displaced, slash, anything = value.partition("/")
    return f"{request_of(displaced)}{slash}{request_of(anything)}"


def default_path(host: GameHost, game: Game, instance_id: str) -> str:
    """Give the path of an instance that names none."""
    return f"{host.spec.path_roots[0].rstrip('/')}/{game.metadata.name}-{instance_id}"


@dataclass
class _Candidate:
    """An instance that passed its own checks and now competes with the others."""

    item: InstanceItem
    instance: GameInstance
    game: Game
    env: tuple[tuple[str, str], ...]
    want: Want


class _Decider:
    """The parts of one decision; lives for one call of :func:`desired_host`."""

    def __init__(
        self,
        inventory: Inventory,
        host: HostItem,
        ledger: Ledger,
        sockets: Sequence[BoundSocket],
    ) -> None:
        self.inventory = inventory
        self.item = host
        self.host = host.object
        self.entries = ledger.by_key
        self.ledger = ledger
        self.claims = Claims(ledger)
        self.sockets = sockets
        self.verdicts: dict[str, Verdict] = {}
        self.candidates: list[_Candidate] = []

    def decide(self) -> HostDecision:
        for item in self.inventory.instances_on(self.item):
            self._consider(item)
        winners = self._claim()
        numbers = self._allocate(winners)
        for winner in winners:
            self._lower(winner, numbers)
        named = self._message()
        found = orphans(self.inventory, self.item, self.ledger, named)
        unwanted = () if self.item.meta.paused else found.removals()
        remove = sorted((*named.remove, *unwanted), key=lambda r: (r.key, r.uid))
        return HostDecision(replace(named, remove=tuple(remove)), self.verdicts, found)

    # --- each by itself -----------------------------------------------------------

    def _consider(self, item: InstanceItem) -> None:
        if item.meta.deleting:
            self.verdicts[item.uid] = self._deletion(item)
            return
        if self._is_paused(item):
            self.verdicts[item.uid] = Verdict(item, paused=True)
            return
        try:
            self.candidates.append(self._candidate(item))
        except OperatorError as error:
            self.verdicts[item.uid] = Verdict(item, error=error)

    def _is_paused(self, item: InstanceItem) -> bool:
        return item.meta.paused or self.item.meta.paused

    def _deletion(self, item: InstanceItem) -> Verdict:
        if self._is_paused(item):
            return Verdict(item, paused=True)
        try:
            admit.host_of(self.inventory, item)
        except OperatorError as error:
            # The host that does not have it would let it go before the other one is done with it.
            return Verdict(item, error=error)
        return Verdict(item, removing=item.held)

    def _candidate(self, item: InstanceItem) -> _Candidate:
        admit.host_of(self.inventory, item)
        host = self._usable_host()
        instance = admit.object_of(item)
        admit.check_namespace(self.inventory, host, item.meta.namespace)
        game = admit.game_of(self.inventory, instance.spec.guid)
        env = admit.environment_of(instance, game)
        admit.check_ports(instance, game, host)
        entry = self._own_entry(item)
        if entry is None:
            self._check_open(host)
        path = instance.spec.path or (
            entry.path if entry else default_path(host, game, instance.instance_id)
        )
        admit.check_path(path, host)
        want = Want(
            item.uid,
            item.where,
            key_of(item),
            path,
            tuple(names.unit_name(s.name, instance.instance_id) for s in game.spec.services),
            tuple(self._asked(instance, game)),
        )
        return _Candidate(item, instance, game, env, want)

    def _usable_host(self) -> GameHost:
        if self.host is None:
            raise HostUnschedulable(
                f"GameHost {self.item.meta.name} can't be read: {self.item.error}"
            )
        return self.host

    def _check_open(self, host: GameHost) -> None:
        name = host.metadata.name
        if self.item.meta.deleting:
            raise HostTerminating(f"GameHost {name} is being deleted and takes no new instances")
        if host.spec.unschedulable:
            raise HostUnschedulable(f"GameHost {name} is unschedulable and takes no new instances")

    def _own_entry(self, item: InstanceItem) -> LedgerEntry | None:
        """The ledger's entry of this very object: same identity, namespace and name."""
        entry = self.entries.get(key_of(item))
        own = entry and (entry.namespace, entry.name) == (item.meta.namespace, item.meta.name)
        return entry if own else None

    def _asked(self, instance: GameInstance, game: Game) -> list[Slot]:
        asked = {port.name: port.port for port in instance.spec.ports}
        return [
            (str(port.protocol), number)
            for port in game.spec.ports
            if (number := asked.get(port.name)) is not None
        ]

    # --- one against the other ----------------------------------------------------

    def _claim(self) -> list[_Candidate]:
        by_uid = {each.item.uid: each for each in self.candidates}
        winners: list[_Candidate] = []
        for want in in_order_of_right([each.want for each in self.candidates], self.claims):
            lost = self.claims.take(want)
            if lost is None:
                winners.append(by_uid[want.uid])
            else:
                item = by_uid[want.uid].item
                self.verdicts[want.uid] = Verdict(item, game=by_uid[want.uid].game, error=lost)
        return winners

    def _allocate(self, winners: Sequence[_Candidate]) -> dict[str, int]:
        if self.host is None:
            return {}
        needs: list[PortNeed] = []
        held: dict[str, int] = {}
        kept: dict[Slot, str] = {}
        for winner in winners:
            asked = {port.name for port in winner.instance.spec.ports if port.port is not None}
            for port in winner.game.spec.ports:
                if port.name not in asked:
                    claim = f"{winner.item.uid}/{port.name}"
                    needs.append(PortNeed(claim, str(port.protocol), port.default))
                    number = self._held(winner, port.name, str(port.protocol))
                    if number is not None:
                        held[claim] = number
                        # Those that the ledger has come first: a status says what once was.
                        kept.setdefault((str(port.protocol), number), winner.want.owner)
        missing = {need.claim.partition("/")[0] for need in needs if need.claim not in held}
        unsettled = [winner for winner in winners if winner.item.uid in missing]
        taken = self._taken(winners, unsettled, kept)
        return allocate(needs, held, self._pool(self.host), taken)

    def _pool(self, host: GameHost) -> Pool:
        ranges = tuple((r.from_, r.to) for r in host.spec.ports.ranges)
        return Pool(ranges, frozenset(host.spec.ports.reserved))

    def _held(self, winner: _Candidate, name: str, protocol: str) -> int | None:
        """What the ledger says, else (the ledger is lost, or the machine new) the status."""
        entry = self._own_entry(winner.item)
        ports = entry.ports if entry else ()
        for port in ports:
            if (port.name, port.protocol) == (name, protocol):
                return port.number
        status = winner.instance.status
        for said in status.ports if status else ():
            if (said.name, str(said.protocol)) == (name, protocol):
                number = int(said.port)
                free = self.host is not None and self.host.spec.ports.allows(number)
                return number if free else None
        return None

    def _taken(
        self,
        winners: Sequence[_Candidate],
        unsettled: Sequence[_Candidate],
        kept: Mapping[Slot, str],
    ) -> set[Slot]:
        """
        Ports not to be given: claimed, asked for by number, or bound.

        Args:
            winners: all.
            unsettled: those of them whose ports are to be found. What their own units have bound
                counts for free, or an instance whose ports are on record nowhere would move.
            kept: those that stay with their owner, whoever has them bound: a socket whose process
                is just ending has no unit, and a port that moved for it would cost a restart and
                every player. One that its owner is about to leave is not free before the host
                says so.
        """
        own_units = {unit for winner in unsettled for unit in winner.want.units}
        claimed = self.claims.ports()
        taken = {slot for slot, owner in claimed.items() if kept.get(slot) != owner}
        taken |= {slot for winner in winners for slot in winner.want.ports}
        bound = {(s.protocol, s.port) for s in self.sockets if s.unit not in own_units}
        return taken | (bound - kept.keys())

    # --- the message ----------------------------------------------------------------

    def _lower(self, winner: _Candidate, numbers: Mapping[str, int]) -> None:
        item, spec = winner.item, winner.instance.spec
        asked = {port.name: port.port for port in spec.ports}
        ports: list[DesiredPort] = []
        for port in winner.game.spec.ports:
            number = asked.get(port.name) or numbers.get(f"{item.uid}/{port.name}")
            if number is None:
                error = self._exhausted(port.name, str(port.protocol))
                self.verdicts[item.uid] = Verdict(item, game=winner.game, error=error)
                return
            ports.append(DesiredPort(port.name, str(port.protocol), number))
        instance = DesiredInstance(
            guid=spec.guid,
            instance_id=winner.instance.instance_id,
            namespace=item.meta.namespace,
            name=item.meta.name,
            uid=item.uid,
            generation=item.meta.generation,
            path=winner.want.path,
            instance_name=spec.instance_name or "",
            ports=tuple(ports),
            env=winner.env,
            running=spec.state is RunState.RUNNING,
            restart=request_of(item.meta.annotation(Annotation.RESTART)),
            reconcile=request_of(item.meta.annotation(Annotation.RECONCILE)),
        )
        self.verdicts[item.uid] = Verdict(item, instance, winner.game)

    def _exhausted(self, name: str, protocol: str) -> PortsExhausted:
        by_owner: dict[str, int] = {}
        for slot, owner in self.claims.ports().items():
            if slot[0] == protocol:
                by_owner[owner] = by_owner.get(owner, 0) + 1
        total = sum(by_owner.values())
        most = sorted(by_owner.items(), key=lambda each: (-each[1], each[0]))[:10]
        who = ", ".join(f"{owner} {count}" for owner, count in most) or "nobody"
        return PortsExhausted(
            f"no {protocol} port is left for {name} in the ranges of GameHost "
            f"{self.item.meta.name}; {total} are claimed: {who}; widen spec.ports.ranges of the "
            "GameHost, or delete instances"
        )

    def _message(self) -> DesiredHost:
        verdicts = self.verdicts.values()
        converge = [v.instance for v in verdicts if v.instance is not None]
        remove = [
            RemovedInstance(*_identity(v.item), v.item.uid, v.item.meta.namespace, v.item.meta.name)
            for v in verdicts
            if v.removing
        ]
        named = {i.key for i in converge} | {r.key for r in remove}
        keep = {
            key_of(v.item): KeptInstance(*_identity(v.item))
            for v in verdicts
            if v.instance is None and not v.removing and key_of(v.item) not in named
        }
        games = {v.game.spec.guid: lower_game(v.game) for v in verdicts if v.instance and v.game}
        return DesiredHost(
            host=self.item.meta.name,
            path_roots=self.host.spec.path_roots if self.host else (),
            games=tuple(games[guid] for guid in sorted(games)),
            converge=tuple(sorted(converge, key=lambda i: (i.key, i.uid))),
            keep=tuple(keep[key] for key in sorted(keep)),
            remove=tuple(remove),
        )


def _identity(item: InstanceItem) -> tuple[str, str]:
    return item.text("guid"), instance_id_of(item)


def lower_game(game: Game) -> DesiredGame:
    """Turn a Game into what an agent needs of it."""
    packages = game.spec.install.packages
    return DesiredGame(
        guid=game.spec.guid,
        name=game.metadata.name,
        title=game.spec.title,
        services=tuple(
            DesiredService(s.name, s.exec, str(s.stop.signal), s.stop.timeout_seconds)
            for s in game.spec.services
        ),
        apt=packages.apt if packages else (),
        mask=packages.mask if packages else (),
    )
