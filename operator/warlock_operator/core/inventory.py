"""
The operator's own indexed copy of the custom resources, by uid, host, guid and name. Pure.

Fed by the watches, read by every decision. An object that does not parse stays in it, as broken,
with its last good form where there is one: absence is never deletion. Every change answers which
hosts have to be looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from warlock_operator.api.names import FINALIZER, Kind
from warlock_operator.api.v1alpha1 import Game, GameHost, GameInstance, parse
from warlock_operator.api.v1alpha1.meta import ObjectMeta
from warlock_operator.api.v1alpha1.parse import STATUSES, parse_status
from warlock_operator.errors import InvalidObject

T = TypeVar("T", Game, GameHost, GameInstance)

MetaKey = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""


@dataclass(frozen=True)
class Item(Generic[T]):
    """
    One object. *object* is its newest good form, None where it never parsed.

    raw: as it was written; of one that parses, the texts of its spec alone.
    error: why the newest form can't be used; then *object* is older than *meta*.
    """

    kind: Kind
    meta: ObjectMeta
    object: T | None
    raw: Mapping[str, Any]
    error: InvalidObject | None = None

    @property
    def uid(self) -> str:
        """The object's uid."""
        return self.meta.uid

    @property
    def where(self) -> str:
        """Namespace and name, for people."""
        return f"{self.meta.namespace}/{self.meta.name}" if self.meta.namespace else self.meta.name

    @property
    def age_key(self) -> tuple[str, str]:
        """Sorts older objects first; the uid decides between equals."""
        created = self.meta.creation_timestamp
        return (created.isoformat() if created else "", self.meta.uid)

    @property
    def held(self) -> bool:
        """Whether our finalizer is on it."""
        return FINALIZER in self.meta.finalizers

    def text(self, field: str, default: str = "") -> str:
        """A field of the spec as it was written, also where the object does not parse."""
        spec = self.raw.get("spec")
        value = spec.get(field, default) if isinstance(spec, Mapping) else default
        return value if isinstance(value, str) else default

    @property
    def status(self) -> Any:
        """The status as it was last seen on the object, a model of its kind, or None."""
        if self.object is not None and self.error is None:
            return self.object.status  # read with the rest
        return parse_status(self.kind, self.raw.get("status")) if self.kind in STATUSES else None


InstanceItem = Item[GameInstance]
HostItem = Item[GameHost]
GameItem = Item[Game]


class Inventory:
    """All objects of the three kinds and the labels of all namespaces."""

    def __init__(self) -> None:
        self._items: dict[Kind, dict[str, Item[Any]]] = {kind: {} for kind in Kind}
        self._by_name: dict[Kind, dict[MetaKey, str]] = {kind: {} for kind in Kind}
        self._by_host: dict[str, set[str]] = {}
        self._by_guid: dict[str, set[str]] = {}
        self._games: dict[str, set[str]] = {}
        self._addresses: dict[str, set[str]] = {}
        self._labels: Mapping[str, Mapping[str, str]] = {}

    # --- feeding ------------------------------------------------------------------

    def put(self, kind: Kind, raw: Mapping[str, Any]) -> Item[Any]:
        """Take an object as the apiserver gives it; never raises for what stands in it."""
        meta = _meta(raw)
        before = self._items[kind].get(meta.uid)
        if before is not None:
            self._unindex(before)
        # Another object of that name has gone without our hearing of it.
        stale = self._by_name[kind].get((meta.namespace, meta.name))
        if stale is not None and stale != meta.uid:
            self.remove(kind, stale)
        item = _read(kind, meta, raw, before)
        self._items[kind][meta.uid] = item
        self._index(item)
        return item

    def amend(self, item: Item[Any]) -> None:
        """Take what we know of an object before its watch event; indexes do not change."""
        if item.uid in self._items[item.kind]:
            self._items[item.kind][item.uid] = item

    def remove(self, kind: Kind, uid: str) -> Item[Any] | None:
        """Forget an object that is gone from the apiserver."""
        item = self._items[kind].pop(uid, None)
        if item is not None:
            self._unindex(item)
        return item

    def set_labels(self, labels: Mapping[str, Mapping[str, str]]) -> None:
        """Take the labels of all namespaces, by name."""
        self._labels = labels

    # --- reading ------------------------------------------------------------------

    def get(self, kind: Kind, uid: str) -> Item[Any] | None:
        """The object of that uid."""
        return self._items[kind].get(uid)

    def uid_of(self, kind: str, namespace: str, name: str) -> str | None:
        """The uid of the object of that name, or None."""
        return self._by_name[Kind(kind)].get((namespace, name))

    def uids(self, kind: Kind) -> frozenset[str]:
        """All uids of a kind."""
        return frozenset(self._items[kind])

    def hosts(self) -> Iterator[HostItem]:
        """All GameHosts."""
        yield from tuple(self._items[Kind.GAME_HOST].values())

    def instances(self) -> Iterator[InstanceItem]:
        """All GameInstances."""
        yield from tuple(self._items[Kind.GAME_INSTANCE].values())

    def games(self) -> Iterator[GameItem]:
        """All Games."""
        yield from tuple(self._items[Kind.GAME].values())

    def host(self, name: str) -> HostItem | None:
        """The GameHost of that name."""
        uid = self._by_name[Kind.GAME_HOST].get(("", name))
        return self._items[Kind.GAME_HOST].get(uid) if uid else None

    def labels(self, namespace: str) -> Mapping[str, str]:
        """Labels of a namespace; none where it is not known."""
        return self._labels.get(namespace, {})

    def games_of(self, guid: str) -> tuple[GameItem, ...]:
        """Games of that guid, the one that counts first."""
        items = (self._items[Kind.GAME][uid] for uid in self._games.get(guid, ()))
        return tuple(sorted(items, key=lambda item: item.age_key))

    def hosts_at(self, address: str) -> tuple[HostItem, ...]:
        """GameHosts of that address, by name."""
        items = (self._items[Kind.GAME_HOST][u] for u in self._addresses.get(address, ()))
        return tuple(sorted(items, key=lambda item: item.meta.name))

    def hosts_meant(self, reference: str) -> tuple[HostItem, ...]:
        """
        GameHosts that ``spec.host`` may mean: the one of that name, else those of that address.

        One that is being deleted gives way to another that reaches the same machine: each would
        wait for the other otherwise, the GameHost for its instances and they for one meaning.
        """
        named = self.host(reference)
        if named is not None:
            return (named,)
        there = self.hosts_at(reference)
        heirs = {_endpoint(host) for host in there if not _leaves(host)}
        return tuple(h for h in there if not (_leaves(h) and _endpoint(h) in heirs))

    def instances_on(self, host: HostItem) -> tuple[InstanceItem, ...]:
        """Instances that may mean *host*, oldest first; by its name, or its address."""
        uids = set(self._by_host.get(host.meta.name, ()))
        address = host_address(host)
        if address and any(meant.uid == host.uid for meant in self.hosts_meant(address)):
            uids |= self._by_host.get(address, set())
        items = (self._items[Kind.GAME_INSTANCE][uid] for uid in uids)
        return tuple(sorted(items, key=lambda item: item.age_key))

    def hosts_of_guid(self, guid: str) -> frozenset[str]:
        """Names of the hosts with instances of that Game."""
        items = (self._items[Kind.GAME_INSTANCE][uid] for uid in self._by_guid.get(guid, ()))
        return frozenset(h.meta.name for i in items for h in self.hosts_meant(i.text("host")))

    # --- indexes ------------------------------------------------------------------

    def _index(self, item: Item[Any]) -> None:
        self._by_name[item.kind][(item.meta.namespace, item.meta.name)] = item.uid
        for index, key in self._keys(item):
            index.setdefault(key, set()).add(item.uid)

    def _unindex(self, item: Item[Any]) -> None:
        name = (item.meta.namespace, item.meta.name)
        if self._by_name[item.kind].get(name) == item.uid:
            del self._by_name[item.kind][name]
        for index, key in self._keys(item):
            index.get(key, set()).discard(item.uid)
            if not index.get(key):
                index.pop(key, None)

    def _keys(self, item: Item[Any]) -> Iterable[tuple[dict[str, set[str]], str]]:
        if item.kind is Kind.GAME_INSTANCE:
            yield self._by_host, item.text("host")
            yield self._by_guid, item.text("guid")
        elif item.kind is Kind.GAME:
            yield self._games, item.text("guid")
        else:
            yield self._addresses, host_address(item)


def host_address(item: HostItem) -> str:
    """The address that a GameHost's newest good form says, else what stands there."""
    return item.object.spec.address if item.object else item.text("address")


def _endpoint(host: HostItem) -> tuple[str, int]:
    """Address and port of SSH: behind one address there may be several machines."""
    return host_address(host), host.object.spec.ssh.port if host.object else 0


def _leaves(host: HostItem) -> bool:
    return host.meta.deleting and not host.meta.paused


def _meta(raw: Mapping[str, Any]) -> ObjectMeta:
    meta = raw.get("metadata") or {}
    plain = {
        "name": meta.get("name", ""),
        "namespace": meta.get("namespace") or "",
        "uid": meta.get("uid", ""),
        "generation": meta.get("generation") or 0,
        "resourceVersion": meta.get("resourceVersion") or "",
        "creationTimestamp": meta.get("creationTimestamp"),
        "deletionTimestamp": meta.get("deletionTimestamp"),
        "finalizers": tuple(meta.get("finalizers") or ()),
        "annotations": dict(meta.get("annotations") or {}),
        "labels": dict(meta.get("labels") or {}),
    }
    return ObjectMeta.model_validate(plain)


def _read(
    kind: Kind, meta: ObjectMeta, raw: Mapping[str, Any], before: Item[Any] | None
) -> Item[Any]:
    try:
        parsed: Any = parse(kind, raw)
    except InvalidObject as error:
        return Item(kind, meta, before.object if before else None, raw, error)
    return Item(kind, meta, parsed, _kept(raw))


def _kept(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """What :meth:`Item.text` reads of an object that parses; the whole is ten times as large."""
    spec: Mapping[str, Any] = raw.get("spec") or {}
    return {"spec": {name: value for name, value in spec.items() if isinstance(value, str)}}
