"""One row of the fault table, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.e2e.faults.stage import Stage

HOST, ARENA = "host", "arena"
"""Whose status is meant: the stage's GameHost, or the instance that rows work on."""

Do = Callable[[Stage], None]
Fact = Callable[[Stage], object]


@dataclass(frozen=True)
class Act:
    """Something that is done. text: for the table."""

    text: str
    do: Do


@dataclass(frozen=True)
class Says:
    """
    What a status must say while the fault is there.

    about: HOST, ARENA, or the name of another instance in the stage's namespace (with a ``/`` in
    front: of another GameHost). hint: a part of the message that tells the reader what to do or
    where to look; several where all must be there.
    """

    about: str
    type: str
    status: str
    reason: str
    hint: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """
    A fault and how it heals.

    Attributes:
        made: makes it, and does what lets it be felt.
        says: what the statuses say meanwhile; none where the fault must not be seen at all.
        unharmed: a fact that must come to be while the fault lasts, beside *says*.
        cured: takes the cause away, and does nothing else.
        healed: what must be so afterwards, beside everything being Ready.
        heals_seconds: within how long, counted from when the cause was gone.
        after: tidies up once it has healed.
        interrupts: the machine goes down: processes end that otherwise must not.
        starts: how often the arena's unit may be started by it, least and most.
        seen_seconds: within how long the statuses must say so.
    """

    name: str
    made: Act
    cured: Act
    heals_seconds: float
    says: tuple[Says, ...] = ()
    unharmed: Fact | None = None
    healed: Fact | None = None
    after: Do | None = None
    interrupts: bool = False
    starts: tuple[int, int] = (0, 0)
    seen_seconds: float = 30.0

    @property
    def id(self) -> str:
        """Its name in a test's id."""
        return self.name.replace(" ", "-").replace(",", "").replace("'", "")


@dataclass
class Measured:
    """What came of a row. harm: what the guard saw."""

    row: Row
    seen_seconds: float = 0.0
    healed_seconds: float = 0.0
    harm: list[str] = field(default_factory=list)
    failure: BaseException | None = None
