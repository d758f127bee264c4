"""
Measure the ways on the machines: converge, no-op, one change, status.

Ways take turns in rounds, so that what else happens on this machine meets all of them. Before each
turn the machines are made empty; after each run they are looked at, byte by byte: a way that has
not done its work has no time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchkit import machines
from benchkit.measure import Pairs, Sample, gathered, timed
from benchkit.turn import Turn
from benchkit.ways.agent import Agent
from benchkit.ways.bare import Bare
from benchkit.ways.way import Way
from benchkit.workload import Wish, wish
from labkit import progress
from labkit.host import Host

_LOOKS = 5  # in a turn, where one costs little


@dataclass(frozen=True)
class Scene:
    """So many servers on each of so many machines; rounds of quick ways, and of slow ones."""

    servers: int
    machines: int
    rounds: int
    slow_rounds: int

    @property
    def name(self) -> str:
        """``10 on 1`` or ``10 on each of 10``."""
        each = "each of " if self.machines > 1 else ""
        return f"{self.servers} on {each}{self.machines}"


def measure(
    scene: Scene, hosts: Sequence[Host], ways: Sequence[Way], turn: Turn, step: progress.Step
) -> list[Sample]:
    """Measure *ways* in a scene, on the first machines of *hosts*."""
    chosen = hosts[: scene.machines]
    pairs: Pairs = []
    order = [
        (number, way)
        for number in range(scene.rounds)
        for way in ways
        if number < (scene.slow_rounds if way.slow else scene.rounds)
    ]
    for at, (number, way) in enumerate(order):
        step.update(f"round {number + 1}, {way.name}", at / len(order))
        pairs += _Turn(scene, chosen, way, number, turn).everything()
    machines.empty(chosen)
    step.detail = f"{len(order)} turns of {len(ways)} ways"
    return gathered(pairs)


class _Turn:
    """One way does everything once."""

    def __init__(
        self, scene: Scene, hosts: Sequence[Host], way: Way, number: int, turn: Turn
    ) -> None:
        self._scene = scene
        self._hosts = hosts
        self._way = way
        self._number = number
        self._turn = turn
        self._pairs: Pairs = []

    def everything(self) -> Pairs:
        """Measure all phases; a way that holds connections does so without a pause."""
        with self._turn():  # all of it: a link that waits for its turn is taken for a dead one
            machines.empty(self._hosts)
            self._phases()
            if isinstance(self._way, Agent) and self._scene.machines == 1:
                self._with_users(self._way)
        return self._pairs

    def _phases(self) -> None:
        way, servers = self._way, self._scene.servers
        way.open(self._hosts)
        try:
            self._run("converge", wish(servers))
            self._again("status", way.look)
            if isinstance(way, Bare):  # it compares nothing: neither no-op nor change
                return
            self._again("no-op", way.run)
            changed = wish(servers, (servers // 2,), revision=self._number + 2)
            self._run("one change", changed)
        finally:
            way.close()

    def _with_users(self, way: Agent) -> None:
        """Ours alone makes the users too, by one call; what that adds is shown."""
        machines.empty(self._hosts)
        machines.without_users(self._hosts)
        way.open(self._hosts)
        try:
            self._run("converge with users", wish(self._scene.servers))
        finally:
            way.close()
            machines.empty(self._hosts)
            machines.prepare(self._hosts)

    def _run(self, phase: str, wished: Wish) -> None:
        wishes = {host.name: wished for host in self._hosts}
        self._way.wish(wishes)
        self._time(phase, self._way.run)
        machines.check(self._hosts, wishes, self._way.name)

    def _again(self, phase: str, work: Callable[[], None]) -> None:
        for _ in range(1 if self._way.slow else _LOOKS):
            self._time(phase, work)

    def _time(self, phase: str, work: Callable[[], None]) -> None:
        self._pairs.append(((self._scene.name, phase, self._way.name), timed(work)))
