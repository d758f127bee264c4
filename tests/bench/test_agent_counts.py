"""What a pass costs on a real machine, in things that can be counted: never times."""

from __future__ import annotations

from dataclasses import replace

from benchkit import machines
from benchkit.ways.agent import AUTHORITY
from benchkit.workload import Wish, wish
from labkit.host import Host
from tests.bench import counting
from tests.bench.counting import Heard
from warlock_agent.wire import Report
from warlock_operator.transport.link import HostLink, LinkCounters

MANY = 20
PROCESSES_OF_A_LOOK = 1  # the shell that asks for the number


async def settled(link: HostLink, host: Host, heard: Heard, wished: Wish) -> Report:
    """Converge, and return when nothing moves any more; gives the first report."""
    report = await link.converge(AUTHORITY, wished.desired(host.name))
    heard.units.update((unit.unit, unit) for unit in report.observed.units)
    await heard.until_scored(len(wished.servers))
    machines.check([host], {host.name: wished}, "the agent")
    await link.converge(AUTHORITY, wished.desired(host.name))
    return report


def since(before: LinkCounters, link: HostLink) -> LinkCounters:
    """Give what the link has cost since."""
    now = vars(link.counters)
    return LinkCounters(**{name: now[name] - value for name, value in vars(before).items()})


async def test_new_servers_cost_one_round_trip_and_one_reload(
    empty_host: Host, link: HostLink, heard: Heard
) -> None:
    before, reloads = replace(link.counters), counting.reloads(empty_host)
    wished = wish(MANY)
    report = await link.converge(AUTHORITY, wished.desired(empty_host.name))
    cost = since(before, link)
    assert (cost.requests, cost.round_trips) == (1, 1)
    assert report.reloads == 1
    assert counting.reloads(empty_host) == reloads + 1
    assert [r.step for r in report.results].count("StartUnit") == MANY
    assert {r.outcome for r in report.results} == {"Done"}
    await heard.until_scored(MANY)
    # Scores come one by one and are told together where they come together.
    assert heard.changes <= MANY


async def test_nothing_to_do_costs_a_few_bytes_and_no_process_whatever_the_number(
    empty_host: Host, link: HostLink, heard: Heard
) -> None:
    received = []
    for count in (2, MANY):
        wished = wish(count)
        await settled(link, empty_host, heard, wished)
        reloads, pids = counting.reloads(empty_host), counting.main_pids(empty_host, count)
        begun, before = counting.processes_begun(empty_host), replace(link.counters)
        report = await link.converge(AUTHORITY, wished.desired(empty_host.name))
        cost = since(before, link)
        assert counting.processes_begun(empty_host) - begun == PROCESSES_OF_A_LOOK
        assert (report.results, report.reloads, report.next_pass_seconds) == ((), 0, 0)
        assert (cost.requests, cost.round_trips, cost.frames_received) == (1, 1, 1)
        assert counting.main_pids(empty_host, count) == pids
        assert counting.reloads(empty_host) == reloads
        received.append(cost.bytes_received)
    assert max(received) < 300, f"bytes, for 2 and for {MANY} servers: {received}"


async def test_one_change_among_many_costs_one_restart_and_no_reload(
    empty_host: Host, link: HostLink, heard: Heard
) -> None:
    await settled(link, empty_host, heard, wish(MANY))
    pids, reloads = counting.main_pids(empty_host, MANY), counting.reloads(empty_host)
    before, changed = replace(link.counters), wish(MANY, changed=(7,))
    report = await link.converge(AUTHORITY, changed.desired(empty_host.name))
    assert since(before, link).round_trips == 1
    assert {r.key for r in report.results} == {changed.servers[7].instance.key}
    assert [r.step for r in report.results if r.step.endswith("Unit")] == ["RestartUnit"]
    server = changed.servers[7]
    await heard.until(lambda: heard.units[server.unit].digest == server.digest)
    after = counting.main_pids(empty_host, MANY)
    assert [n for n in range(MANY) if after[n] != pids[n]] == [7]
    assert counting.reloads(empty_host) == reloads
