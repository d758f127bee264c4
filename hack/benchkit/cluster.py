"""
Measure the whole way, as a user sees it: kubectl, the API server, the operator, a machine.

Times come from where things happen: a unit's own time of becoming active, the event of a watch, the
audit log. Container and carrier share a clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from benchkit import machines, workload
from benchkit.channel import Shell
from benchkit.listening import Audit, Listener, Probe
from benchkit.measure import Pairs, Sample, gathered, timed
from benchkit.turn import Turn
from benchkit.watching import Object, ready, service
from benchkit.workload import Wish
from benchkit.world import NAMESPACE, World, instance, instances, is_false, name_of
from labkit import progress
from labkit.cluster import Cluster
from labkit.host import Host
from warlock_operator.core.backoff import STEADY_SECONDS

OURS = "operator"
_KILL_LIMIT_SECONDS = 30.0
_START_LIMIT = 4  # kills of one unit; the fifth start within a minute would be systemd's last


def fleet(
    world: World, hosts: Sequence[Host], count: int, rounds: int, turn: Turn, step: progress.Step
) -> list[Sample]:
    """Apply new instances until all are Ready, change one, delete all."""
    each = "each of " if len(hosts) > 1 else ""
    scene = f"kubectl apply to Ready, {count} on {each}{len(hosts)}"
    pairs: Pairs = []

    def note(phase: str, seconds: float) -> None:
        pairs.append(((scene, phase, OURS), seconds))

    for number in range(rounds):
        step.update(f"round {number + 1}", number / rounds)
        wanted = instances(hosts, count)
        with turn():
            began = time.monotonic()
            world.kubectl.apply(*wanted)
            note("kubectl apply returns", time.monotonic() - began)
            names = [each["metadata"]["name"] for each in wanted]
            note("kubectl apply → all Ready", world.ready_since(names) - began)
            last = max(world.active_at(host, number) for host in hosts for number in range(count))
            note("kubectl apply → all active", last - began)
            again = instance(hosts[0], count // 2, revision=2)
            began = time.monotonic()
            world.kubectl.apply(again)
            note("one change → Ready", world.ready_since([again["metadata"]["name"]]) - began)
            note("delete → gone", timed(world.clear))
    return gathered(pairs)


def apply_to_active(world: World, trials: int, turn: Turn, step: progress.Step) -> list[Sample]:
    """One new instance at a time, and the floor: any apply, and systemd asked by hand."""
    scene, phase = "apply to active", "apply → unit active"
    served, bare = world.hosts[0], world.hosts[1]
    shell = Shell(bare)
    pairs: Pairs = []
    for trial in range(trials):
        if trial % 10 == 0:
            step.update(f"trial {trial}", trial / trials)
        with turn():
            began = time.monotonic()
            world.kubectl.apply(instance(served, trial))
            returned = time.monotonic()
            name = name_of(served, trial)
            shown = world.ready_since([name])
            pairs += [
                ((scene, "kubectl apply returns", OURS), returned - began),
                ((scene, phase, OURS), world.active_at(served, trial) - began),
                ((scene, "apply → Ready", OURS), shown - began),
            ]
            world.kubectl("-n", NAMESPACE, "delete", "gameinstance", name, "--wait=false")
            world.watch.until(lambda seen: not seen, 30.0, f"{name} is gone")
            pairs.append(((scene, phase, "floor"), _floor(world, bare, shell, trial)))
    shell.close()
    machines.empty([bare])
    return gathered(pairs)


def _floor(world: World, host: Host, shell: Shell, number: int) -> float:
    """Apply an object of nobody's, and start a unit whose files are there already."""
    machines.empty([host])
    machines.lay_files([host], {host.name: Wish((workload.server(number),))})
    metadata = {"name": f"floor-{number}", "namespace": NAMESPACE}
    data = {"file": workload.server(number).files[0].content}
    began = time.monotonic()
    world.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    )
    shell.ask(f"systemctl daemon-reload && systemctl start {workload.server(number).unit}")
    return world.active_at(host, number) - began


def kill_to_condition(world: World, trials: int, turn: Turn, step: progress.Step) -> list[Sample]:
    """Kill main processes of what is Ready, each a few times; follow the news to the watch."""
    assert isinstance(world.lab.cluster, Cluster)
    scene, host = "kill to condition", world.hosts[0]
    servers = max(1, -(-trials // _START_LIMIT))
    names = [name_of(host, number) for number in range(servers)]
    world.kubectl.apply(*instances([host], servers))
    world.ready_since(names)
    probe, listener, audit = Probe(host), Listener(host), Audit(world.lab.cluster.audit_log)
    pairs: Pairs = []
    for trial in range(trials):
        number = trial % servers
        step.update(f"trial {trial}", trial / trials)
        with turn():
            unit, name = workload.server(number).unit, names[number]
            # All, and so the one before: what its start costs is no part of this one's news.
            world.ready_since(names)
            killed, signalled = probe.kill(world.main_pid(host, number), unit)
            fact = partial(is_false, name, "Running")
            shown = world.watch.until(fact, _KILL_LIMIT_SECONDS, f"{name}: Running is False")
            heard = listener.heard(unit, killed)
            came, written = audit.first_write(name, killed)
            moments = [killed, signalled, heard, came, written, shown]
            for at, phase in enumerate(_LEGS):
                pairs.append(((scene, phase[0], phase[1]), moments[at + 1] - moments[at]))
            pairs.append(((scene, "kill → condition", OURS), shown - killed))
    for part in (probe, listener, audit):
        part.close()
    world.clear()
    return gathered(pairs)


_LEGS = (
    ("kill → signal", "systemd"),
    ("signal → frame", "agent and channel"),
    ("frame → request", "decision"),
    ("request → written", "API server"),
    ("written → seen", "watch"),
)


def reboot_to_ready(
    world: World, servers: int, trials: int, turn: Turn, step: progress.Step
) -> list[Sample]:
    """Reboot the machine, and follow it from its sshd's first word to all of its instances."""
    scene, host = f"reboot to Ready, {servers} on 1", world.hosts[0]
    names = [name_of(host, number) for number in range(servers)]
    world.kubectl.apply(*instances([host], servers))
    world.ready_since(names)
    pairs: Pairs = []
    for trial in range(trials):
        step.update(f"trial {trial}", trial / trials)
        with turn():
            # A machine that was well until now, not one that breaks again and again. It is more
            # than a second as well: that is what statuses say, and the last start was earlier.
            time.sleep(STEADY_SECONDS + 1.0)
            since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            began = time.monotonic()
            host.reboot()
            greeted = time.monotonic()
            fact = partial(_all_started_since, names, since)
            shown = world.watch.until(fact, 120.0, "all instances are Ready after the reboot")
            active = max(world.active_at(host, number) for number in range(servers))
        pairs += [
            ((scene, "reboot → sshd answers", "machine"), greeted - began),
            ((scene, "reboot → all units active", "machine"), active - began),
            ((scene, "reboot → all Ready", OURS), shown - began),
            ((scene, "last of sshd and units → all Ready", OURS), shown - max(greeted, active)),
        ]
    world.clear()
    return gathered(pairs)


def _all_started_since(names: Sequence[str], since: str, seen: dict[str, Object]) -> bool:
    return all(
        ready(seen[name]) and str(service(seen[name]).get("since", "")) >= since for name in names
    )
