"""Everything that is measured, by name; each suite makes the machines that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchkit import cluster, hosts, machines
from benchkit.hosts import Scene
from benchkit.measure import Sample
from benchkit.turn import Turn
from benchkit.ways.way import Way
from benchkit.world import World
from labkit import lab, progress
from labkit.errors import LabError


@dataclass(frozen=True)
class Around:
    """
    What all suites share.

    lab: its name. quick: no slow ways, few trials. rounds, trials: None for the usual number.
    """

    lab: str
    ways: Sequence[Way]
    quick: bool
    rounds: int | None
    trials: int | None
    turn: Turn
    tell: progress.Callback


@dataclass(frozen=True)
class Suite:
    """One thing to measure. quick: also under ``--quick``."""

    name: str
    title: str
    quick: bool
    run: Callable[[Around], list[Sample]]


def chosen(names: str | None, quick: bool) -> list[Suite]:
    """Give the suites that the command line asks for. Raises: LabError for a name unknown."""
    known = {suite.name: suite for suite in SUITES}
    if names is None:
        return [suite for suite in SUITES if suite.quick or not quick]
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise LabError(f"nothing is called {', '.join(unknown)}: {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def _hosts(scene: Scene) -> Suite:
    """Compare the ways in one scene."""

    def run(around: Around) -> list[Sample]:
        made = lab.up(around.lab, hosts=scene.machines, progress_to=around.tell)
        found = list(made.hosts.values())
        machines.prepare(found)
        rounds = around.rounds or (2 if around.quick else scene.rounds)
        now = replace(scene, rounds=rounds, slow_rounds=min(scene.slow_rounds, rounds))
        # --quick: a round of Ansible's takes longer than everything else.
        ways = [way for way in around.ways if not (around.quick and way.slow)]
        with progress.step(
            f"{scene.name}: {', '.join(way.name for way in ways)}", around.tell
        ) as s:
            return hosts.measure(now, found, ways, around.turn, s)

    name = f"{scene.servers}x{scene.machines}"
    return Suite(name, f"{scene.name}, all ways", name == "10x1", run)


Measure = Callable[[World, Around, progress.Step], list[Sample]]


def _cluster(name: str, title: str, count: int, quick: bool, measure: Measure) -> Suite:
    """Measure something with the operator and *count* machines."""

    def run(around: Around) -> list[Sample]:
        made = lab.up(around.lab, hosts=count, progress_to=around.tell)
        machines.prepare(list(made.hosts.values()))
        world = World(made)
        world.up(around.tell)
        try:
            with progress.step(title, around.tell) as step:
                return measure(world, around, step)
        finally:
            world.down()

    return Suite(name, title, quick, run)


def _fleet(count: int, hosts: int, rounds: int) -> Suite:
    def measure(world: World, around: Around, step: progress.Step) -> list[Sample]:
        rounds_now = around.rounds or (1 if around.quick else rounds)
        return cluster.fleet(world, world.hosts[:hosts], count, rounds_now, around.turn, step)

    each = "each of " if hosts > 1 else ""
    title = f"kubectl apply to Ready, {count} on {each}{hosts}"
    return _cluster(f"apply-{count}x{hosts}", title, hosts, (count, hosts) == (10, 1), measure)


def _trials(around: Around, usual: int) -> int:
    return around.trials or (max(2, usual // 10) if around.quick else usual)


def _active(world: World, around: Around, step: progress.Step) -> list[Sample]:
    return cluster.apply_to_active(world, _trials(around, 100), around.turn, step)


def _kill(world: World, around: Around, step: progress.Step) -> list[Sample]:
    return cluster.kill_to_condition(world, _trials(around, 100), around.turn, step)


def _reboot(world: World, around: Around, step: progress.Step) -> list[Sample]:
    return cluster.reboot_to_ready(world, 10, _trials(around, 10), around.turn, step)


SUITES = (
    _hosts(Scene(1, 1, 5, 1)),
    _hosts(Scene(10, 1, 5, 1)),
    _hosts(Scene(100, 1, 3, 1)),
    _hosts(Scene(10, 10, 3, 1)),
    _fleet(10, 1, 3),
    _fleet(100, 1, 2),
    _fleet(10, 10, 2),
    _cluster("active", "kubectl apply to unit active", 2, True, _active),
    _cluster("kill", "killed process to condition", 1, True, _kill),
    _cluster("reboot", "reboot to Ready", 1, True, _reboot),
)
