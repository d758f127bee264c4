"""Watch GameInstances until all are ready, and tell how far they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demokit.kubectl import Kubectl
from labkit import progress
from labkit.errors import LabError

_POLL_SECONDS = 0.5
_MESSAGE_WIDTH = 160
_TROUBLE_SECONDS = 3.0


@dataclass(frozen=True)
class Seen:
    """How one instance is, taken from its object."""

    name: str
    state: str
    ready: bool
    players: int | None
    step: str
    progress: int | None  # percent; None: no operation is under way
    trouble: str  # why it is Stalled, else empty

    @property
    def done(self) -> bool:
        """Whether it runs, as declared, with its players counted."""
        return self.ready and self.state == "Running" and bool(self.players)


def seen(instance: dict[str, Any]) -> Seen:
    """Read one GameInstance."""
    status = instance.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    fresh = status.get("observedGeneration") == instance["metadata"].get("generation")
    operation = status.get("operation") or {}
    stalled = conditions.get("Stalled", {})
    trouble = f"{stalled['reason']}: {stalled['message']}" if _true(stalled) else ""
    return Seen(
        name=instance["metadata"]["name"],
        state=status.get("state") or "Pending",
        ready=fresh and _true(conditions.get("Ready", {})),
        players=(status.get("players") or {}).get("online"),
        step=operation.get("step", ""),
        progress=operation.get("progress"),
        trouble=trouble[:_MESSAGE_WIDTH],
    )


def wait_for_all(kubectl: Kubectl, limit_seconds: float, tell: progress.Callback) -> None:
    """
    Return when every GameInstance runs, is ready, and its players are counted.

    Raises:
        LabError: it took longer; says how the instances are, and why.
    """
    deadline = time.monotonic() + limit_seconds
    changes = Changes(tell)
    with progress.step("three game servers", tell) as step:
        while True:
            found = [seen(each) for each in kubectl.items("gameinstances", "-A")]
            for each in found:
                changes.note(each, step.elapsed_seconds)
            step.update(_detail(found), _fraction(found))
            if found and all(each.done for each in found):
                step.detail = ", ".join(f"{each.name} {each.players} players" for each in found)
                return
            if time.monotonic() > deadline:
                raise LabError(
                    f"not all run after {limit_seconds:.0f} s: {_detail(found)}; "
                    "kubectl describe gameinstances -A"
                )
            time.sleep(_POLL_SECONDS)


class Changes:
    """Tells a line for each change of state, and for a trouble that lasts."""

    def __init__(self, tell: progress.Callback) -> None:
        self._tell = tell
        self._told: dict[str, str] = {}
        self._trouble: dict[str, tuple[str, float]] = {}  # since when, in seconds

    def note(self, each: Seen, elapsed_seconds: float) -> None:
        """Take how an instance is, so many seconds after the begin."""
        trouble, since_seconds = self._trouble.get(each.name, ("", 0.0))
        if trouble != each.trouble:
            trouble, since_seconds = each.trouble, elapsed_seconds
            self._trouble[each.name] = trouble, since_seconds
        # Watches overtake each other: an instance may be seen a moment before its host.
        lasting = trouble if elapsed_seconds - since_seconds >= _TROUBLE_SECONDS else ""
        text = f"{each.name:<10} {each.state}  {lasting}".rstrip()
        if self._told.get(each.name) != text:
            self._told[each.name] = text
            progress.note(f"{elapsed_seconds:5.1f} s  {text}", self._tell)


def _detail(found: Sequence[Seen]) -> str:
    """Say what is under way: an installation once a machine, else who is not there yet."""
    working = [each for each in found if each.progress is not None]
    if working:
        return ", ".join(f"{each.name}: {each.step or each.state}" for each in working)
    waiting = [each for each in found if not each.done]
    return ", ".join(f"{each.name}: {_lacking(each)}" for each in waiting)


def _lacking(each: Seen) -> str:
    if each.trouble:
        return each.trouble
    return "players not counted yet" if each.ready and each.state == "Running" else each.state


def _fraction(found: Sequence[Seen]) -> float | None:
    """The share of the installation that is furthest behind; None where none is under way."""
    shares = [each.progress for each in found if each.progress is not None]
    return min(shares) / 100 if shares else None


def _true(condition: dict[str, Any]) -> bool:
    return condition.get("status") == "True"
