"""Machines in memory do what the agent on a real one does, faults included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from tests.unit.agent.hosts import GUIDS, IDS, host, instance
from warlock_agent import names
from warlock_agent.model import Authority, ObservedPackage, RemovedInstance
from warlock_agent.wire import OperationChanged, Sample, UnitsChanged
from warlock_operator.errors import (
    AgentFailed,
    DuplicateHost,
    HostKeyMismatch,
    HostReplaced,
    HostTimeout,
    HostUnreachable,
    OperatorError,
    OwnedByAnother,
    StaleLeader,
)
from warlock_operator.settings import Settings
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.transport.link import HostLink, LinkTarget, Pushed
from warlock_operator.transport.machine import Machine

LEADER = Authority("owner-1", 10, "holder-1", "host-uid-1")
TARGET = LinkTarget("host-a", "198.18.1.1", trust_first_use=True)
ONE = instance()
UNIT = names.unit_name("warlock-openarena", "default")
DESIRED = host(ONE)


@dataclass
class World:
    links: FixtureLinks
    link: HostLink
    frames: list[Pushed] = field(default_factory=list)
    news: asyncio.Queue[Pushed] = field(default_factory=asyncio.Queue)
    lost: asyncio.Queue[OperatorError] = field(default_factory=asyncio.Queue)

    @property
    def machine(self) -> Machine:
        return self.links.machine_at(TARGET.address)

    async def again(self) -> HostLink:
        await self.link.close()
        self.link = self.links.connect(TARGET, self._heard, self.lost.put_nowait)
        await self.link.open()
        return self.link

    async def settled(self) -> None:
        """Converge, let the install end, converge."""
        await self.link.converge(LEADER, DESIRED)
        await self.pushed(OperationChanged)
        report = await self.link.converge(LEADER, DESIRED)
        assert report.refusals == ()

    async def installed(self) -> None:
        """Look until no install runs; one that ended while no link was open was told to nobody."""
        async with asyncio.timeout(5):
            while any(one.state == "Running" for one in (await self.link.observe()).operations):
                pass

    async def pushed(self, kind: type[Pushed]) -> Pushed:
        for frame in self.frames:
            if isinstance(frame, kind):
                return frame
        async with asyncio.timeout(5):
            while not isinstance(frame := await self.news.get(), kind):
                pass
        return frame

    def _heard(self, frame: Pushed) -> None:
        self.frames.append(frame)
        self.news.put_nowait(frame)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    links = FixtureLinks(Settings(request_timeout_seconds=0.3, sample_seconds=0.05))
    made = World(links, links.connect(TARGET, lambda f: None, lambda e: None))
    await made.again()
    yield made
    await made.link.close()


async def test_an_install_ends_after_the_pass_and_the_next_one_starts_the_game(
    world: World,
) -> None:
    first = await world.link.converge(LEADER, DESIRED)
    assert [one.state for one in first.observed.operations] == ["Running"]
    done = await world.pushed(OperationChanged)
    assert isinstance(done, OperationChanged)
    assert done.operation.state == "Succeeded"

    second = await world.link.converge(LEADER, DESIRED)

    (unit,) = (one for one in second.observed.units if one.unit == UNIT)
    assert (unit.active_state, unit.ports) == ("active", (("UDP", ONE.ports[0].number),))
    assert [entry.generation for entry in second.observed.ledger.instances] == [1]


async def test_a_second_pass_changes_nothing(world: World) -> None:
    await world.settled()
    changes = world.machine.changes

    report = await world.link.converge(LEADER, DESIRED)

    assert report.results == ()
    assert report.reloads == 0
    assert world.machine.changes == changes


async def test_removal_takes_one_converge(world: World) -> None:
    await world.settled()
    gone = RemovedInstance(ONE.guid, ONE.instance_id, ONE.uid, ONE.namespace, ONE.name)

    report = await world.link.converge(LEADER, replace(host(), remove=(gone,)))

    assert report.observed.ledger.instances == ()
    assert not any(file.path.startswith(names.UNIT_DIR) for file in world.machine.state.files)


async def test_what_is_sent_home_has_no_files(world: World) -> None:
    await world.settled()
    assert world.machine.state.files
    assert (await world.link.observe()).files == ()


@pytest.mark.parametrize(
    ("authority", "error"),
    [
        (replace(LEADER, owner="owner-2"), OwnedByAnother),
        (replace(LEADER, token=9), StaleLeader),
        (replace(LEADER, holder="holder-2"), StaleLeader),
        (replace(LEADER, host_uid="host-uid-2"), DuplicateHost),
        (replace(LEADER, machine_id="another"), HostReplaced),
    ],
)
async def test_the_machine_refuses_another_writer(
    world: World, authority: Authority, error: type[OperatorError]
) -> None:
    await world.settled()
    before = world.machine.state
    with pytest.raises(error):
        await world.link.converge(authority, DESIRED)
    assert world.machine.state == before


async def test_an_edit_by_hand_is_put_back_and_named(world: World) -> None:
    await world.settled()
    path = names.env_path(ONE.guid, ONE.instance_id)
    world.machine.edit_file(path, "PORT_GAME=1\n")

    report = await world.link.converge(LEADER, DESIRED)

    assert [(one.step, one.target) for one in report.results if one.found] == [("WriteFile", path)]


async def test_a_crash_is_pushed_and_the_restart_too(world: World) -> None:
    await world.settled()
    world.frames.clear()
    world.machine.crash(UNIT, status=3)
    crashed = await world.pushed(UnitsChanged)
    world.frames.clear()
    world.machine.restart(UNIT)
    back = await world.pushed(UnitsChanged)

    assert isinstance(crashed, UnitsChanged)
    assert isinstance(back, UnitsChanged)
    assert (crashed.units[0].sub_state, crashed.units[0].exit_status) == ("auto-restart", 3)
    assert (back.units[0].active_state, back.units[0].restarts) == ("active", 1)
    assert (await world.link.converge(LEADER, DESIRED)).results == ()


async def test_a_foreign_socket_refuses_the_instance_until_it_goes(world: World) -> None:
    world.machine.bind("UDP", ONE.ports[0].number, "nginx")
    refused = await world.link.converge(LEADER, DESIRED)
    assert [one.reason for one in refused.refusals] == ["PortInUse"]
    assert "nginx" in refused.refusals[0].message

    world.machine.release("UDP", ONE.ports[0].number)
    await world.settled()


async def test_a_link_drops_between_the_pass_and_its_answer(world: World) -> None:
    world.machine.faults.drop_after_frames = 1  # the request gets there, the answer does not
    with pytest.raises(HostUnreachable):
        await world.link.converge(LEADER, DESIRED)

    async with asyncio.timeout(5):
        assert isinstance(await world.lost.get(), HostUnreachable)
    assert world.machine.state.ledger.instances, "the pass has happened"
    world.machine.faults.drop_after_frames = None
    await world.again()
    assert (await world.link.observe()).ledger.instances


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("steps", range(8))
async def test_an_agent_that_dies_in_the_middle_is_healed_by_the_next_pass(
    world: World, steps: int, installed: bool
) -> None:
    packages = (ObservedPackage("openarena-server", "1"),) * installed
    world.machine.state = replace(world.machine.state, packages=packages)
    both = host(ONE, instance(GUIDS[0], IDS[1]))
    world.machine.faults.die_after_steps = steps * (2 if installed else 1)
    with pytest.raises(AgentFailed):
        await world.link.converge(LEADER, both)
    world.machine.faults.die_after_steps = None

    await world.again()
    await world.link.converge(LEADER, both)
    await world.installed()
    await world.link.converge(LEADER, both)
    report = await world.link.converge(LEADER, both)

    assert {unit.active_state for unit in report.observed.units} == {"active"}
    assert report.results == ()


async def test_a_failing_step_is_reported_and_its_neighbour_goes_on(world: World) -> None:
    await world.settled()
    world.machine.faults.failing = {"EnsureDirectory": "No space left on device"}

    report = await world.link.converge(LEADER, host(ONE, instance(GUIDS[0], IDS[1])))

    outcomes = {(one.key, one.outcome) for one in report.results}
    assert (f"{GUIDS[0]}/{IDS[1]}", "Failed") in outcomes
    assert next(u for u in report.observed.units if u.unit == UNIT).active_state == "active"


async def test_a_silent_agent_times_out_and_an_unreachable_host_is_lost(world: World) -> None:
    world.machine.faults.silent = True
    with pytest.raises(HostTimeout):
        await world.link.observe()
    world.machine.faults.silent = False
    assert await world.link.observe()

    world.machine.faults.unreachable = True
    with pytest.raises(HostUnreachable):
        await world.link.observe()
    with pytest.raises(HostUnreachable):
        await world.again()


async def test_a_reboot_loses_the_link_and_brings_back_what_is_enabled(world: World) -> None:
    await world.settled()
    boot = world.machine.state.boot_id
    world.machine.reboot()
    async with asyncio.timeout(5):
        await world.lost.get()

    await world.again()
    report = await world.link.converge(LEADER, DESIRED)

    assert report.observed.boot_id != boot
    assert [unit.active_state for unit in report.observed.units if unit.unit == UNIT] == ["active"]
    assert report.results == ()


async def test_another_key_than_the_pinned_one_is_refused(world: World) -> None:
    world.machine.faults.host_key = "ssh-ed25519 OTHER"
    pinned = replace(TARGET, host_keys=("ssh-ed25519 MINE",))
    link = world.links.connect(pinned, world.frames.append, world.lost.put_nowait)
    with pytest.raises(HostKeyMismatch):
        await link.open()


async def test_samples_come_while_the_link_is_open_and_not_after(world: World) -> None:
    await world.settled()
    await world.pushed(Sample)
    await world.link.close()
    count = len(world.frames)
    world.machine.crash(UNIT)
    await asyncio.sleep(0)
    assert len(world.frames) == count
