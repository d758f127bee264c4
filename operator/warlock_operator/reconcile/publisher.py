"""
Statuses out: remembers what every object shows, publishes what is next, tells the events between.

One for the process; called by the workers and the fleet. Nothing here waits.
"""

from __future__ import annotations

from typing import Any

from warlock_operator.api.names import Kind
from warlock_operator.api.rules import StatusModel
from warlock_operator.api.v1alpha1.instancestatus import Metrics
from warlock_operator.core.events import Told, events_of
from warlock_operator.core.inventory import Item
from warlock_operator.kube.recorder import Recorder
from warlock_operator.kube.refs import ObjectRef
from warlock_operator.kube.status import StatusWriter


def ref_of(item: Item[Any]) -> ObjectRef:
    """Name the object to the apiserver."""
    return ObjectRef(str(item.kind), item.meta.namespace, item.meta.name, item.uid)


class Publisher:
    """What each object shows, by uid."""

    def __init__(self, writer: StatusWriter, recorder: Recorder) -> None:
        self._writer = writer
        self._recorder = recorder
        self._shown: dict[str, Any] = {}
        self._primed: set[str] = set()

    def seen(self, item: Item[Any]) -> None:
        """Take the status that an object came with; ours is newer once we have published one."""
        if item.uid not in self._primed:
            self._shown[item.uid] = item.status
        elif item.error is None:
            self._writer.found(item.uid, item.meta.resource_version, lambda: _plain(item.status))

    def shown(self, item: Item[Any]) -> Any:
        """The status that the object shows, a model of its kind, or None."""
        return self._shown.get(item.uid)

    def publish(self, item: Item[Any], status: StatusModel) -> None:
        """Show *status*, and tell what changed."""
        before = self._shown.get(item.uid)
        if status == before:  # most of them, and what follows is the dearest part
            if item.uid not in self._primed:  # so that it is known for ours from now on
                plain = self._prime(item, before)
                self._writer.publish(ref_of(item), plain)
            return
        self._shown[item.uid] = status
        for told in events_of(getattr(before, "conditions", ()), getattr(status, "conditions", ())):
            self.tell(item, told)
        if item.uid not in self._primed:
            self._prime(item, before)
        self._writer.publish(ref_of(item), _plain(status))

    def _prime(self, item: Item[Any], before: StatusModel | None) -> dict[str, Any]:
        """Tell the writer, before the first status of ours, what the object came with."""
        plain = _plain(before)
        self._primed.add(item.uid)
        self._writer.prime(ref_of(item), plain)
        return plain

    def measured(self, item: Item[Any], metrics: Metrics) -> bool:
        """
        Show *metrics* beside whatever else an instance shows already.

        Returns:
            False where it shows none so far: whether it may is for the whole status to say.
        """
        shown = self._shown.get(item.uid)
        if shown is None or shown.metrics is None:
            return False
        if shown.metrics != metrics:
            if item.uid not in self._primed:
                self._prime(item, shown)
            self._shown[item.uid] = shown.model_copy(update={"metrics": metrics})
            self._writer.measure(ref_of(item), "metrics", metrics.to_json())
        return True

    def tell(self, item: Item[Any], told: Told) -> None:
        """Post one event about the object."""
        kind = "Warning" if told.warning else "Normal"
        self._recorder.event(ref_of(item), kind, told.reason, told.message, told.action)

    def forget(self, kind: Kind, uid: str) -> None:
        """Drop an object that is gone."""
        self._shown.pop(uid, None)
        self._primed.discard(uid)
        self._writer.forget(uid)


def _plain(status: StatusModel | None) -> dict[str, Any]:
    """A status as it is written: what is empty is left out."""
    if status is None:
        return {}
    plain = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: value for name, value in plain.items() if value not in ("", [])}
