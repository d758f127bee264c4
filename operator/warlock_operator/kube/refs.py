"""
Which object: resources of the API as paths, and references to objects as values.

Used by all of ``kube`` and by its callers; decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from warlock_operator.api import names


@dataclass(frozen=True)
class Resource:
    """One resource of the Kubernetes API; ``group`` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """``group/version``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of the group and version, without a trailing slash."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str = "", sub: str = "") -> str:
        """
        The path of an object, or of a list where *name* is empty.

        Without a *namespace*, a namespaced resource's list is that of the whole cluster.
        """
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, sub) if part)
        return f"{self.root}{inside}/{self.plural}{tail}"


def _ours(kind: names.Kind, *, namespaced: bool) -> Resource:
    return Resource(names.GROUP, names.VERSION, names.PLURALS[kind], str(kind), namespaced)


GAME: Final = _ours(names.Kind.GAME, namespaced=False)
GAME_HOST: Final = _ours(names.Kind.GAME_HOST, namespaced=False)
GAME_INSTANCE: Final = _ours(names.Kind.GAME_INSTANCE, namespaced=True)
OURS: Final = (GAME, GAME_HOST, GAME_INSTANCE)
BY_KIND: Final = {resource.kind: resource for resource in OURS}

EVENT: Final = Resource("events.k8s.io", "v1", "events", "Event", namespaced=True)
LEASE: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
NAMESPACE: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SECRET: Final = Resource("", "v1", "secrets", "Secret", namespaced=True)


@dataclass(frozen=True, order=True)
class ObjectRef:
    """
    One object of ours, this very one: another with its name has another uid.

    Attributes:
        kind: ``Game``, ``GameHost`` or ``GameInstance``.
        namespace: empty for cluster-scoped kinds.
    """

    kind: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """``GameInstance games/arena-pvp``: as a log line or message says it."""
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"
