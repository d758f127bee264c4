"""Half of a fleet does not answer, and the other half does not notice."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import asyncssh
import pytest

from tests.black_hole import black_hole
from tests.cluster.operator.conftest import KEY, Cluster, plain_game, until
from tests.unit.core.worlds import host, instance
from warlock_operator.kube.refs import GAME, GAME_HOST, GAME_INSTANCE, SECRET
from warlock_operator.settings import Settings
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.transport.link import HostLink, LinkTarget, OnFrame, OnLost
from warlock_operator.transport.ssh import SshLinks

LIVE = DEAD = 50
RESTARTS = 3
# As in a Deployment: what the suite's own settings shorten would hide what is measured.
USUAL = Settings()
AS_DEPLOYED = (
    "watch_seconds",
    "api_page_size",
    "api_request_timeout_seconds",
    "backoff_initial_seconds",
    "backoff_cap_seconds",
    "unknown_grace_seconds",
    "status_measurement_seconds",
    "lease_duration_seconds",
    "lease_renew_seconds",
    "lease_retry_seconds",
)


class HalfDead(FixtureLinks):
    """Machines in memory, and real SSH to whatever has an address of this machine."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.attempts: dict[str, int] = {}
        self.probes: dict[str, int] = {}
        self._ssh = SshLinks(settings)

    def connect(self, target: LinkTarget, on_frame: OnFrame, on_lost: OnLost) -> HostLink:
        self.attempts[target.address] = self.attempts.get(target.address, 0) + 1
        dead = target.address.startswith("127.")
        made: HostLink = (self._ssh if dead else super()).connect(target, on_frame, on_lost)
        return made

    async def answers(self, address: str, port: int) -> bool:
        self.probes[address] = self.probes.get(address, 0) + 1
        return await self._ssh.answers(address, port)


@pytest.fixture
def hole() -> Iterator[socket.socket]:
    """Every address 127.x.y.z, at one port."""
    with black_hole("0.0.0.0") as listening:
        yield listening


@dataclass(frozen=True)
class Measured:
    """What edits of the live half cost."""

    milliseconds: list[float]
    passes: int
    writes: int

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def p95(self) -> float:
        return sorted(self.milliseconds)[int(len(self.milliseconds) * 0.95)]


async def add_hosts(cluster: Cluster, kind: str, count: int, port: int = 22) -> None:
    """Make hosts, live or dead, with an instance on each."""
    first = "127.9.0" if kind == "dead" else "198.18.7"
    ssh: dict[str, Any] = {**KEY["ssh"], "port": port}

    async def add(number: int) -> None:
        name = f"{kind}-{number}"
        await cluster.create(GAME_HOST, host(name, f"{first}.{number + 1}", ssh=ssh))
        await cluster.create(GAME_INSTANCE, instance(name, host=name))

    await asyncio.gather(*(add(number) for number in range(count)))


def passes(cluster: Cluster) -> int:
    return sum(passes_of_each(cluster).values())


def passes_of_each(cluster: Cluster) -> dict[str, int]:
    return {address: each.passes for address, each in cluster.links.machines.items()}


async def measure(cluster: Cluster, note: str) -> Measured:
    """Edit the instance of each live host, one after the other; time until it is Ready again."""
    # An edit in the middle of a start's pass costs that pass another round, and one of its own.
    # Workers have their turns in order: once this one's second has come, each one's first is over.
    await edited(cluster, LIVE - 1, f"{note}, at rest")
    took: list[float] = []
    before, written = passes(cluster), len(cluster.writes())
    for number in range(LIVE):
        began = time.monotonic()
        await edited(cluster, number, note)
        took.append((time.monotonic() - began) * 1000)
    writes = [path for _, path in cluster.writes()[written:] if "/gameinstances/live-" in path]
    return Measured(took, passes(cluster) - before, len(writes))


async def edited(cluster: Cluster, number: int, note: str) -> None:
    """Edit the instance of a live host; returns when it is Ready again."""
    name = f"live-{number}"
    await cluster.edit(GAME_INSTANCE, name, {"spec": {"instance_name": note}})
    await until(lambda: current(cluster, name), f"{name} is Ready again")


async def current(cluster: Cluster, name: str) -> bool:
    found = await cluster.seen(name)
    status = found.get("status", {})
    ready = {each["type"]: each["status"] for each in status.get("conditions", ())}
    observed = status.get("observedGeneration") == found["metadata"]["generation"]
    return observed and ready.get("Ready") == "True"


async def restarted(cluster: Cluster) -> float:
    """Restart the operator; seconds until every live host has been converged, the best of three."""
    took: list[float] = []
    for _ in range(RESTARTS):
        await cluster.stop()
        began, before = time.monotonic(), passes_of_each(cluster)
        await cluster.start()
        await until(partial(all_visited, cluster, before), "every live host was visited")
        took.append(time.monotonic() - began)
    return min(took)


def all_visited(cluster: Cluster, before: dict[str, int]) -> bool:
    return all(count > before[address] for address, count in passes_of_each(cluster).items())


async def test_fifty_black_holes_slow_fifty_live_hosts_in_nothing(
    cluster: Cluster, hole: socket.socket
) -> None:
    usual = {name: getattr(USUAL, name) for name in AS_DEPLOYED}
    # A third of the usual, so that each black hole is tried several times.
    cluster.settings = replace(cluster.settings, **usual, connect_timeout_seconds=5.0)
    cluster.links = links = HalfDead(cluster.settings)
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    secret = {"stringData": {"ssh-privatekey": key}}
    await cluster.api.merge(SECRET, cluster.namespace, "host-key", secret)
    await cluster.create(GAME, plain_game())
    await add_hosts(cluster, "live", LIVE)
    await cluster.start()
    await cluster.wait_ready(*(f"live-{number}" for number in range(LIVE)))
    start_alone = await restarted(cluster)
    alone = await measure(cluster, "alone")

    await add_hosts(cluster, "dead", DEAD, int(hole.getsockname()[1]))
    start_beside = await restarted(cluster)
    first = dict(links.attempts)
    await until(lambda: tried_again(links, first), "each black hole was tried and tried again")
    before = dead_attempts(links), sum(links.probes.values())
    began = time.monotonic()
    beside = await measure(cluster, "beside")
    elapsed = time.monotonic() - began
    tried, probed = dead_attempts(links) - before[0], sum(links.probes.values()) - before[1]

    print(
        f"\nedit to Ready, {LIVE} live hosts: alone median {alone.median:.0f} ms, "
        f"p95 {alone.p95:.0f} ms; beside {DEAD} black holes median {beside.median:.0f} ms, "
        f"p95 {beside.p95:.0f} ms (ratio of medians {beside.median / alone.median:.2f})"
        f"\nstart to every live host converged: alone {start_alone:.2f} s, beside "
        f"{start_beside:.2f} s; in {elapsed:.0f} s {tried} attempts and {probed} probes"
    )
    # An edit costs what it did: a pass, "is being applied" and "is applied", whoever else is away.
    assert (beside.passes, alone.passes) == (LIVE, LIVE)
    assert max(beside.writes, alone.writes) <= 2 * LIVE
    # No live host was connected to again on a black hole's account.
    live = {links.attempts[a] for a in links.attempts if not a.startswith("127.")}
    assert live == {1 + 2 * RESTARTS}
    # An attempt takes as long as it may, and back-off comes on top; a probe is made every 5 s.
    assert tried <= DEAD * (1 + elapsed / cluster.settings.connect_timeout_seconds)
    assert probed <= DEAD * (1 + elapsed / USUAL.probe_period_seconds)


def tried_again(links: HalfDead, first: dict[str, int]) -> bool:
    dead = [f"127.9.0.{number + 1}" for number in range(DEAD)]
    return all(links.attempts.get(each, 0) > first.get(each, 0) for each in dead)


def dead_attempts(links: HalfDead) -> int:
    return sum(count for address, count in links.attempts.items() if address.startswith("127."))
