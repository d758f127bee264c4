"""A whole run on a lab that is there: declare, wait, let it storm, wait again, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchkit.world import game_host
from demokit import demo
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit import progress
from labkit.cluster import Cluster
from labkit.errors import LabError
from labkit.host import Host
from labkit.lab import Lab
from soakkit import ending, harm
from soakkit.acts import World
from soakkit.api import Api
from soakkit.causes import Causes
from soakkit.driver import Driver
from soakkit.guard import Guard
from soakkit.meter import COUNTS, Meter
from soakkit.objects import GAME, NAMESPACE, SAVE, Wish, namespace
from soakkit.slopes import Point
from soakkit.weather import KINDS, Kind, Weather, forecast

SETTINGS = {
    # An operator that was killed leaves a Lease that runs out: with the default, 15 s of nobody.
    "WARLOCK_LEASE_DURATION_SECONDS": "4",
    "WARLOCK_LEASE_RENEW_SECONDS": "3",
    "WARLOCK_LEASE_RETRY_SECONDS": "0.5",
    # What hands have done to a file is seen by the next look; the default is ten minutes.
    "WARLOCK_RESYNC_SECONDS": "20",
}
"""The rest is what a Deployment has."""
CONVERGE_SECONDS = 60.0
_START_SECONDS = 180.0
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """What to run. every_seconds: the mean time between two things that happen."""

    seed: int
    seconds: float
    hosts: int
    per_host: int
    every_seconds: float
    kinds: Sequence[Kind] = KINDS

    def forecast(self) -> list[Weather]:
        """Give what will happen."""
        where = (self.hosts, self.per_host)
        return forecast(self.seed, self.seconds, *where, self.every_seconds, self.kinds)


@dataclass
class Outcome:
    """What came of it. wrong: empty where all went well."""

    plan: Plan
    happened: list[Weather] = field(default_factory=list)
    converged_seconds: float | None = None
    idle: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    series: dict[str, list[Point]] = field(default_factory=dict)
    ended: int = 0
    wrong: list[str] = field(default_factory=list)


def run(plan: Plan, made: Lab, hosts: list[Host], tell: progress.Callback) -> Outcome:
    """Run *plan* on machines of a lab; takes away what it has declared."""
    assert isinstance(made.cluster, Cluster), "a control plane of our own, which can be stopped"
    kubectl = Kubectl(made.cluster.kubectl, made.kubeconfig)
    operator = Operator(made, kubectl, "soak")
    api = Api(made.cluster)
    world = World(made.name, made.cluster, api, operator, hosts, plan.per_host)
    world.wishes = [Wish(slot, plan.per_host) for slot in range(plan.hosts * plan.per_host)]
    try:
        _declare(world, made, kubectl, tell)
        return _storm(plan, world, tell)
    finally:
        with progress.step("everything declared goes", tell):
            _clear(world, kubectl)


def _declare(world: World, made: Lab, kubectl: Kubectl, tell: progress.Callback) -> None:
    with progress.step("operator", tell):
        demo.install(made, kubectl)
        kubectl.apply(namespace(), GAME, *map(game_host, world.hosts))
        world.operator.start(SETTINGS)
        world.operator.wait_ready()
    with progress.step(f"{len(world.wishes)} instances", tell) as step:
        for wish in world.wishes:
            world.create(wish)
        _settle(world, _START_SECONDS, step.update)
        for wish in world.wishes:
            world.hosts[wish.host].run(["sh", "-c", f"echo 'never lost' > {wish.path}/{SAVE}"])


def _storm(plan: Plan, world: World, tell: progress.Callback) -> Outcome:
    outcome = Outcome(plan)
    causes = Causes(plan.per_host)
    driver = Driver(world, causes)
    meter = Meter(world)
    outcome.idle = meter.now()
    log_begin = world.operator.log.stat().st_size
    with ExitStack() as stack:
        guards = [
            stack.enter_context(Guard(world.lab, host, _on(world, number), causes))
            for number, host in enumerate(world.hosts)
        ]
        stack.enter_context(meter)
        with progress.step(f"weather of seed {plan.seed}", tell) as step:
            driver.run(plan.forecast(), plan.seconds, _ticker(plan, guards, step))
            step.detail = f"{len(driver.done)} things happened"
        with progress.step("all as declared again", tell) as step:
            outcome.converged_seconds = _converge(world, outcome, step)
    outcome.after = meter.now()
    outcome.series = dict(meter.series)
    outcome.happened = sorted(driver.done, key=lambda each: each.number)
    outcome.ended = sum(sum(guard.ended.values()) for guard in guards)
    outcome.wrong += driver.failures
    outcome.wrong += [what for guard in guards for what in guard.harm]
    outcome.wrong += harm.tracebacks(world.operator.log, log_begin)
    outcome.wrong += _grown(outcome)
    return outcome


def _on(world: World, number: int) -> list[Wish]:
    return [wish for wish in world.wishes if wish.host == number]


def _ticker(plan: Plan, guards: list[Guard], step: progress.Step) -> Callable[[str], None]:
    last = ""

    def tick(what: str) -> None:
        nonlocal last
        last = what or last
        harmed = sum(len(guard.harm) for guard in guards)
        said = f"{last}; harm: {harmed}" if harmed else last
        step.update(said, step.elapsed_seconds / plan.seconds)

    return tick


def _converge(world: World, outcome: Outcome, step: progress.Step) -> float | None:
    """Return when objects and machines are as declared; None where they never are."""
    began = time.monotonic()
    try:
        _settle(world, CONVERGE_SECONDS, step.update, on_machines=True)
    except LabError as error:
        outcome.wrong.append(str(error))
        return None
    return time.monotonic() - began


def _settle(
    world: World, limit_seconds: float, tell: Callable[[str], None], *, on_machines: bool = False
) -> None:
    """Return when everything is as declared; raises LabError with what is not."""
    deadline = time.monotonic() + limit_seconds
    while True:
        left = ending.unsettled(world) or (ending.differences(world) if on_machines else [])
        if not left:
            return
        if time.monotonic() > deadline:
            told = "\n  ".join(left)
            raise LabError(f"not as declared after {limit_seconds:.0f} s:\n  {told}")
        tell(f"not yet: {left[0][:80]}, {len(left)} in all")
        time.sleep(_POLL_SECONDS)


# What may be open beside the idle number at one moment: a request to the API server, a probe.
_SLACK = {
    "operator open files": 6, "operator threads": 4, "operator tasks": 12,
}  # fmt: skip


def _grown(outcome: Outcome) -> list[str]:
    """Say what has not come back to what it was before the weather: counts alone."""
    said: list[str] = []
    for name in COUNTS:
        before, now = outcome.idle.get(name), outcome.after.get(name)
        if before is not None and now is not None and now > before + _SLACK.get(name, 0):
            said.append(f"{name}: {now:g} after it, {before:g} before")
    return said


def _clear(world: World, kubectl: Kubectl) -> None:
    """Delete everything while an operator is there to let it go."""
    world.operator.start(SETTINGS)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s")
    kubectl("delete", "gamehosts", "--all", "--timeout=60s")
    kubectl("delete", "games", "--all", "--timeout=60s")
    world.operator.stop()
