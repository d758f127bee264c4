"""A whole run on a lab that is there: declare, wait, let it storm, wait again, compare."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack

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
from soakkit.api import Api
from soakkit.causes import Causes
from soakkit.driver import Driver
from soakkit.guard import Guard
from soakkit.meter import COUNTS, EVERY_SECONDS, Meter
from soakkit.objects import GAME, NAMESPACE, SAVE, Wish, namespace
from soakkit.outcome import Outcome, Plan
from soakkit.world import World

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
_CALM_SECONDS = 30.0
_CALM_LOOKS = 5  # kopf keeps a task for an object for five seconds more
_POLL_SECONDS = 0.5
# What may be open beside the idle number at one moment: a request to the API server, a probe.
_SLACK = {"operator open files": 6, "operator threads": 4, "operator tasks": 12}


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
        step.detail = "all Ready"
        for wish in world.wishes:
            world.hosts[wish.host].run(["sh", "-c", f"echo 'never lost' > {wish.path}/{SAVE}"])


def _storm(plan: Plan, world: World, tell: progress.Callback) -> Outcome:
    outcome = Outcome(plan)
    causes = Causes(plan.per_host)
    driver = Driver(world, causes)
    meter = Meter(world)
    with progress.step("idle", tell) as step:
        outcome.idle = _calm(meter)
        step.detail = ", ".join(f"{name} {outcome.idle.get(name, 0):g}" for name in COUNTS)
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
    with progress.step("what is open goes back", tell):
        outcome.wrong += _gone_back(meter, outcome)
    outcome.series = dict(meter.series)
    outcome.happened = sorted(driver.done, key=lambda each: each.number)
    outcome.ended = sum(sum(guard.ended.values()) for guard in guards)
    outcome.wrong += driver.failures
    outcome.wrong += [what for guard in guards for what in guard.harm]
    outcome.wrong += harm.tracebacks(world.operator.log, log_begin)
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
        step.detail = "objects and machines"
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


def _calm(meter: Meter) -> dict[str, float]:
    """Look until some looks in a row have the same counts: what the first passes opened is gone."""
    deadline = time.monotonic() + _CALM_SECONDS
    before, same = meter.now(), 1
    while same < _CALM_LOOKS and time.monotonic() < deadline:
        time.sleep(EVERY_SECONDS)
        now = meter.now()
        same = same + 1 if all(now.get(name) == before.get(name) for name in COUNTS) else 1
        before = now
    return before


def _gone_back(meter: Meter, outcome: Outcome) -> list[str]:
    """Look until every count is what it was before the weather; say which is not in time."""
    deadline = time.monotonic() + _CALM_SECONDS
    while True:
        outcome.after = meter.now()
        said = [
            f"{name}: {outcome.after.get(name)} after it, {before:g} before"
            for name, before in outcome.idle.items()
            if name in COUNTS
            and not outcome.after.get(name, math.inf) <= before + _SLACK.get(name, 0)
        ]
        if not said or time.monotonic() > deadline:
            return said
        time.sleep(EVERY_SECONDS)


def _clear(world: World, kubectl: Kubectl) -> None:
    """Delete everything while an operator is there to let it go."""
    world.operator.start(SETTINGS)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s")
    kubectl("delete", "gamehosts", "--all", "--timeout=60s")
    kubectl("delete", "games", "--all", "--timeout=60s")
    world.operator.stop()
