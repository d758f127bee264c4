"""
Namespaces' labels: what a GameHost's ``namespaceSelector`` is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from warlock_operator.kube.reflector import Reflector
from warlock_operator.kube.refs import NAMESPACE
from warlock_operator.kube.verbs import Json, Verbs


class NamespaceLabels:
    """Labels by namespace name."""

    def __init__(self, api: Verbs, changed: Callable[[str], None]) -> None:
        """
        Args:
            changed: called with a namespace's name when it comes, goes or its labels differ.
        """
        self._reflector = Reflector(api, NAMESPACE, None, labels_of, changed)
        self.synced = self._reflector.synced

    def get(self, name: str) -> Mapping[str, str] | None:
        """The labels; None where there is no such namespace (or before ``synced``)."""
        return self._reflector.values.get(name)

    def all(self) -> Mapping[str, Mapping[str, str]]:
        """All labels by namespace name, as of now; a view, never to be changed."""
        return self._reflector.values

    async def run(self) -> None:
        """Keep the labels current until cancelled."""
        await self._reflector.run()


def labels_of(namespace: Json) -> Mapping[str, str]:
    """A namespace's labels; never empty, since the apiserver sets the one with its name."""
    return MappingProxyType(dict(namespace["metadata"].get("labels") or {}))
