"""
What happens, to whom, when and for how long. Pure: a seed gives the same list each time.

One thing at a time for an instance, for a machine, and for what concerns everybody; beside each
other as it comes. So a change meets a machine that is away, and an operator that has just been
killed, and yet for every process that ends there is a cause that can be counted.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Scope = Literal["instance", "host", "all"]
EVERYBODY = -1


@dataclass(frozen=True)
class Kind:
    """
    A kind of weather.

    Attributes:
        weight: how often it comes, beside the others.
        lasts: seconds until it is undone, least and most; zero: nothing is to be undone.
        ends: how many main processes of a concerned instance may end by it.
        loose: one process more may end where another cause comes near: what was edited by hand
            is read by a start that comes before it has been put back.
    """

    name: str
    scope: Scope
    weight: int
    lasts: tuple[float, float] = (0.0, 0.0)
    ends: int = 0
    loose: bool = False


@dataclass(frozen=True)
class Weather:
    """One thing that happens. host, slot: EVERYBODY where it concerns all. value: its own."""

    number: int
    at_seconds: float
    kind: Kind
    host: int
    slot: int
    lasts_seconds: float
    value: int

    def __str__(self) -> str:
        where = "" if self.host == EVERYBODY else f" host {self.host}"
        where += "" if self.slot == EVERYBODY else f" slot {self.slot}"
        lasts = f" for {self.lasts_seconds:.1f} s" if self.lasts_seconds else ""
        return f"#{self.number} at {self.at_seconds:.1f} s: {self.kind.name}{where}{lasts}"

    @property
    def turn(self) -> tuple[Scope, int]:
        """What may not befall two at once: an instance, a machine, everybody."""
        return self.kind.scope, self.slot if self.kind.scope == "instance" else self.host

    def concerns(self, slot: int, per_host: int) -> bool:
        """Whether an instance is among those that it concerns."""
        if self.slot != EVERYBODY:
            return self.slot == slot
        return self.host in (EVERYBODY, slot // per_host)


KINDS: tuple[Kind, ...] = (
    # What people do.
    Kind("edit a variable", "instance", 10, ends=1),
    Kind("edit the port", "instance", 6, ends=1),
    Kind("ask for a restart", "instance", 5, ends=1),
    Kind("stop and run", "instance", 5, (3.0, 15.0), ends=1),
    Kind("pause", "instance", 4, (3.0, 15.0)),
    Kind("delete and create", "instance", 4, (3.0, 15.0), ends=1),
    Kind("recreate at once", "instance", 4, ends=1),
    # What befalls an instance.
    Kind("kill the game", "instance", 8, ends=1),
    Kind("stop the unit by hand", "instance", 4, ends=1),
    Kind("edit a file by hand", "instance", 5, loose=True),
    Kind("remove a file by hand", "instance", 5, loose=True),
    # What befalls a machine.
    Kind("kill the agent", "host", 6),
    Kind("pull the cable", "host", 4, (2.0, 30.0)),
    Kind("restart sshd", "host", 4),
    Kind("re-execute systemd", "host", 3),
    Kind("reboot", "host", 2, ends=1),
    # What befalls everybody.
    Kind("kill the operator", "all", 4),
    Kind("API server away", "all", 2, (2.0, 10.0)),
)
# Five starts within ten seconds are systemd's limit, and a supervisor waits longer each time that
# its operator has ended early.
_REST_SECONDS: Mapping[Scope, float] = {"instance": 4.0, "host": 10.0, "all": 30.0}


def forecast(
    seed: int,
    seconds: float,
    hosts: int,
    per_host: int,
    every_seconds: float,
    kinds: Sequence[Kind] = KINDS,
) -> list[Weather]:
    """
    Give what happens within *seconds*, in order of time.

    Args:
        every_seconds: the mean time between two things.
    """
    chance = random.Random(seed)
    free: dict[tuple[Scope, int], float] = {}
    made: list[Weather] = []
    at = 0.0
    while True:
        at += chance.expovariate(1 / every_seconds)
        # Everything is drawn each time, so that one refusal does not shift what comes behind.
        kind = chance.choices(kinds, [each.weight for each in kinds])[0]
        slot = chance.randrange(hosts * per_host)
        lasts, value = chance.uniform(*kind.lasts), chance.randrange(1, 1000)
        if at + lasts > seconds:
            if at > seconds:
                return made
            continue
        host = EVERYBODY if kind.scope == "all" else slot // per_host
        chosen = slot if kind.scope == "instance" else EVERYBODY
        weather = Weather(len(made), at, kind, host, chosen, lasts, value)
        if free.get(weather.turn, 0.0) > at:
            continue
        free[weather.turn] = at + lasts + _REST_SECONDS[kind.scope]
        made.append(weather)
