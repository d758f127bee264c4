"""A machine of the suite's own, empty before each test; and an operator that serves it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from benchkit import machines
from benchkit.ways.agent import target_of
from benchkit.world import World
from labkit import progress
from labkit.host import Host
from labkit.lab import Lab
from tests.bench.counting import Heard
from tests.conftest import QUICK, MakeHost
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink
from warlock_operator.transport.ssh import SshLinks


@pytest.fixture(scope="session")
def bench_host(lab_hosts: MakeHost) -> Host:
    """A machine with the users of all servers and nothing else of ours."""
    made = lab_hosts("bench-a", preinstalled=False)
    machines.prepare([made])
    return made


@pytest.fixture
def empty_host(bench_host: Host) -> Host:
    """The machine, with nothing left of the test before."""
    machines.empty([bench_host])
    return bench_host


@pytest.fixture
async def heard() -> Heard:
    """What the agent says unasked."""
    return Heard()


@pytest.fixture
async def link(empty_host: Host, heard: Heard) -> AsyncIterator[HostLink]:
    """The operator's own link to the machine, open; no operator is there."""
    settings = Settings(sample_seconds=3600, ping_seconds=3600)  # neither would be of the pass
    made = SshLinks(settings).connect(target_of(empty_host), heard, lambda error: None)
    await made.open()
    yield made
    await made.close()


@pytest.fixture(scope="module")
def world(lab: Lab, bench_host: Host) -> Iterator[World]:
    """An operator that serves the machine, and writes measurements only much later."""
    made = World(lab, [bench_host])
    made.up(progress.silent, {**QUICK, "WARLOCK_STATUS_MEASUREMENT_SECONDS": "600"})
    yield made
    made.down()
