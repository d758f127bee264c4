"""Everything that is measured, by name; each suite makes the machines that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchkit import hosts, machines
from benchkit.hosts import Scene
from benchkit.measure import Sample
from benchkit.turn import Turn
from benchkit.ways.way import Way
from labkit import lab, progress
from labkit.errors import LabError


@dataclass(frozen=True)
class Around:
    """What all suites share. lab: its name. quick: few trials."""

    lab: str
    ways: Sequence[Way]
    quick: bool
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
        now = Scene(scene.servers, scene.machines, 2, 1) if around.quick else scene
        # --quick: a round of Ansible's takes longer than everything else.
        ways = [way for way in around.ways if not (around.quick and way.slow)]
        with progress.step(
            f"{scene.name}: {', '.join(way.name for way in ways)}", around.tell
        ) as s:
            return hosts.measure(now, found, ways, around.turn, s)

    name = f"{scene.servers}x{scene.machines}"
    return Suite(name, f"{scene.name}, all ways", name == "10x1", run)


SUITES = (
    _hosts(Scene(1, 1, 5, 2)),
    _hosts(Scene(10, 1, 10, 2)),
    _hosts(Scene(100, 1, 5, 1)),
    _hosts(Scene(10, 10, 5, 1)),
)
