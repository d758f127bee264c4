"""The agent's loop on a real machine: frames in over SSH, units up, news out, and nothing lost."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.agent.agent_process import AgentProcess
from tests.agent.loop_host import (
    AGENT,
    AUTHORITY,
    GAME,
    GUID,
    LoopHost,
    desired,
    eventually,
    instance,
    machine,
    removal,
    unit,
)
from warlock_agent import names, wire
from warlock_agent.model import (
    DesiredHost,
    DesiredService,
    KeptInstance,
    ObservedUnit,
    Operation,
)


@pytest.fixture(scope="module")
def machine_of_all() -> Iterator[LoopHost]:
    with machine() as host:
        yield host


@pytest.fixture
def host(machine_of_all: LoopHost) -> LoopHost:
    machine_of_all.clean()
    return machine_of_all


@pytest.fixture
def agent(host: LoopHost) -> Iterator[AgentProcess]:
    with host.agent("--sample-seconds", "0.5") as made:
        assert isinstance(made.wait_for(lambda _: True), wire.Hello)
        yield made


def converge(agent: AgentProcess, wanted: DesiredHost, **changes: Any) -> wire.Report:
    request = wire.Converge(agent.next_number(), replace(AUTHORITY, **changes), wanted)
    answer = agent.ask(request)
    assert isinstance(answer, wire.Report), answer
    return answer


def news_of(agent: AgentProcess, name: str, since: int, **facts: Any) -> ObservedUnit:
    """Await a unit that shows *facts*, as news or in a report, from frame number *since* on."""

    def shown(frame: wire.Frame) -> ObservedUnit | None:
        units: tuple[ObservedUnit, ...] = ()
        if isinstance(frame, wire.UnitsChanged):
            units = frame.units
        elif isinstance(frame, wire.Report):
            units = frame.observed.units
        for one in units:
            if one.unit == name and all(getattr(one, k) == v for k, v in facts.items()):
                return one
        return None

    found = shown(agent.wait_for(lambda frame: shown(frame) is not None, since=since))
    assert found is not None
    return found


def failures(report: wire.Report) -> list[Any]:
    return [result for result in report.results if result.outcome != "Done"]


# --- passes ---------------------------------------------------------------------------------


def test_a_pass_makes_instances_run_and_the_next_changes_nothing(
    host: LoopHost, agent: AgentProcess
) -> None:
    wanted = desired(instance(0), instance(1))
    report = converge(agent, wanted)
    assert failures(report) == []
    assert report.reloads == 1
    assert [(u.unit, u.active_state) for u in report.observed.units] == [
        (unit(1), "active"),
        (unit(0), "active"),
    ]
    files, pids = host.managed_files(), [host.main_pid(0), host.main_pid(1)]
    again = converge(agent, wanted)
    assert (again.results, again.reloads, again.next_pass_seconds) == ((), 0, 0)
    assert host.managed_files() == files
    assert [host.main_pid(0), host.main_pid(1)] == pids
    registration = host.root / names.registration_path(GUID, "default").lstrip("/")
    assert registration.read_bytes() == b"/srv/loop-0"
    entry = {e.key: e for e in host.ledger().instances}[instance(1).key]
    assert (entry.generation, entry.uid, entry.path) == (1, "uid-1", "/srv/loop-1")


def test_removal_takes_everything_but_the_files_and_leaves_the_neighbour_running(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0), instance(1)))
    neighbour = host.main_pid(1)
    gone = replace(removal(0), converge=(instance(1),))
    since = len(agent.frames)
    converge(agent, gone)
    news_of(agent, unit(0), since, active_state="inactive")
    report = converge(agent, gone)
    assert failures(report) == []
    assert [e.key for e in host.ledger().instances] == [instance(1).key]
    assert host.main_pid(1) == neighbour
    left = [path for path in host.managed_files() if "default" in path]
    assert left == []
    assert (host.root / "srv/loop-0/.warlock-instance").exists()
    assert (host.root / names.template_path("warlock-loop").lstrip("/")).exists()
    converge(agent, removal(1))
    news_of(agent, unit(1), since, active_state="inactive")
    converge(agent, removal(1))
    assert not (host.root / names.template_path("warlock-loop").lstrip("/")).exists()


def test_a_service_that_the_game_has_no_more_is_stopped_and_leaves_nothing(
    host: LoopHost, agent: AgentProcess
) -> None:
    """The Game was deleted and made anew: its main service is renamed, and wants the same port."""
    both = (instance(0), instance(1))
    converge(agent, desired(*both))
    renamed = replace(GAME, services=(replace(GAME.services[0], name="warlock-anew"),))
    wanted = replace(desired(*both), games=(renamed,))
    units = [names.unit_name("warlock-anew", one.instance_id) for one in both]

    def all_run() -> bool:
        report = converge(agent, wanted)
        assert (failures(report), report.refusals) == ([], ())
        states = {one.unit: one.active_state for one in report.observed.units}
        return all(states.get(one) == "active" for one in units)

    eventually(all_run)
    assert converge(agent, wanted).results == ()
    assert [host.main_pid(0), host.main_pid(1)] == [0, 0]
    assert [path for path in host.managed_files() if "warlock-loop@" in path] == []
    assert {e.services for e in host.ledger().instances} == {("warlock-anew",)}


def test_nothing_is_taken_from_an_instance_that_no_list_names_or_that_is_kept(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0), instance(1)))
    files, pids = host.managed_files(), [host.main_pid(0), host.main_pid(1)]
    report = converge(agent, desired(keep=(KeptInstance(GUID, "default"),)))
    assert report.results == ()
    assert host.managed_files() == files
    assert [host.main_pid(0), host.main_pid(1)] == pids


def test_only_the_instance_whose_process_differs_is_restarted(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0), instance(1)))
    before = [host.main_pid(0), host.main_pid(1)]
    changed = instance(0, env=(("DELAY", "0.1"),), generation=2)
    report = converge(agent, desired(changed, instance(1)))
    assert [r.target for r in report.results if r.step == "RestartUnit"] == [unit(0)]
    assert report.reloads == 0
    eventually(lambda: host.main_pid(0) not in (0, before[0]))
    assert host.main_pid(1) == before[1]
    assert converge(agent, desired(changed, instance(1))).results == ()


def test_what_a_person_changed_by_hand_is_put_back_and_told(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0)))
    files, pid = host.managed_files(), host.main_pid(0)
    env = host.root / names.env_path(GUID, "default").lstrip("/")
    env.write_text(env.read_text().replace('"0"', '"9"'))
    (host.root / names.registration_path(GUID, "default").lstrip("/")).unlink()
    report = converge(agent, desired(instance(0)))
    found = {r.target: r.found for r in report.results if r.found}
    assert found[names.env_path(GUID, "default")] == "its content had been changed"
    assert found[names.registration_path(GUID, "default")] == "it was gone"
    assert host.managed_files() == files
    assert host.main_pid(0) == pid
    host.run("systemctl", "stop", unit(0))
    report = converge(agent, desired(instance(0)))
    assert [r.step for r in report.results if r.found] == ["StartUnit"]
    assert host.main_pid(0) not in (0, pid)


def test_one_instance_that_fails_does_not_keep_back_its_neighbour(
    host: LoopHost, agent: AgentProcess
) -> None:
    occupied = host.root / "srv/loop-0"
    occupied.write_text("a file of somebody else")
    try:
        wanted = desired(instance(0), instance(1), instance(2, path="/srv/loop-2"))
        # A directory in the place of the environment file can't be replaced by a file.
        blocked = host.root / names.env_path(GUID, instance(2).instance_id).lstrip("/")
        (blocked / "x").mkdir(parents=True)
        report = converge(agent, wanted)
    finally:
        occupied.unlink()
    assert [r.reason for r in report.refusals] == ["PathOccupied"]
    failed = [r for r in report.results if r.outcome == "Failed"]
    assert [(r.step, r.key) for r in failed] == [("WriteFile", instance(2).key)]
    skipped = {r.step for r in report.results if r.outcome == "Skipped"}
    assert {"StartUnit", "Record"} <= skipped
    assert host.main_pid(1) > 0
    entry = {e.key: e for e in host.ledger().instances}
    assert entry[instance(2).key].generation == 0


def test_a_start_that_fails_says_why(host: LoopHost, agent: AgentProcess) -> None:
    broken = DesiredService("warlock-loop", ("/usr/bin/not-there",))
    wanted = replace(desired(instance(0)), games=(replace(GAME, services=(broken,)),))
    report = converge(agent, wanted)
    (failed,) = [r for r in report.results if r.outcome == "Failed"]
    assert (failed.step, failed.reason) == ("StartUnit", "StartFailed")
    assert "exit-code" in failed.message
    assert "203" in failed.message


def test_a_stopped_instance_is_stopped_and_disabled(host: LoopHost, agent: AgentProcess) -> None:
    converge(agent, desired(instance(0)))
    since = len(agent.frames)
    stopped = desired(instance(0, running=False, generation=2))
    converge(agent, stopped)
    news_of(agent, unit(0), since, active_state="inactive")
    assert not (host.root / names.wants_path("warlock-loop", "default").lstrip("/")).exists()
    assert converge(agent, stopped).results == ()


# --- who may ---------------------------------------------------------------------------------


def test_another_owner_a_stale_leader_and_a_second_host_are_refused_and_change_nothing(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0)))
    before = host.ledger(), host.managed_files(), host.main_pid(0)
    for reason, changes in (
        ("OwnedByAnother", {"owner": "owner-b"}),
        ("StaleLeader", {"token": 9}),
        ("StaleLeader", {"holder": "holder-b"}),
        ("DuplicateHost", {"host_uid": "host-uid-b", "token": 11}),
        ("HostReplaced", {"machine_id": "0" * 32}),
    ):
        authority = replace(AUTHORITY, **changes)  # type: ignore[arg-type]
        answer = agent.ask(wire.Converge(agent.next_number(), authority, removal(0)))
        assert isinstance(answer, wire.Fault)
        assert answer.reason == reason
    assert (host.ledger(), host.managed_files(), host.main_pid(0)) == before


def test_a_pass_waits_for_the_lock_and_then_names_who_holds_it(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired())
    hold = (
        "import fcntl,os,time;f=open('/var/lib/warlock/ledger/lock','r+');fcntl.flock(f,2);"
        "f.truncate();f.write(str(os.getpid()));f.flush();print(os.getpid(),flush=True);"
        "time.sleep(60)"
    )
    with AgentProcess([*host.host.ssh_argv(), f'python3 -c "{hold}"']) as holder:
        assert holder.process.stdout
        pid = eventually(holder.process.stdout.read).decode().strip()
        request = wire.Converge(agent.next_number(), AUTHORITY, desired(), lock_seconds=1)
        agent.send(request)
        ping = agent.ask(wire.Ping(agent.next_number()), seconds=0.9)
        assert isinstance(ping, wire.Pong)  # also while a pass waits
        answer = agent.wait_for(lambda f: isinstance(f, wire.Fault), seconds=10)
        assert isinstance(answer, wire.Fault)
        assert answer.reason == "HostBusy"
        assert f"process {pid} " in answer.message
        host.run("kill", pid)
    assert converge(agent, desired()).results == ()


def test_a_ledger_that_cannot_be_read_is_never_an_empty_one(host: LoopHost) -> None:
    assert isinstance(host.converge(desired(instance(0))), wire.Report)
    pid = host.main_pid(0)
    for name in ("ledger.json", "ledger.previous.json"):
        (host.root / "var/lib/warlock/ledger" / name).write_text("{")
    answer = host.converge(removal(0))
    assert isinstance(answer, wire.Fault)
    assert answer.reason == "LedgerUnreadable"
    assert host.main_pid(0) == pid
    with host.agent() as agent:
        first = agent.wait_for(lambda _: True)
        assert isinstance(first, wire.Fault)
        assert first.reason == "LedgerUnreadable"


# --- news ------------------------------------------------------------------------------------


def test_a_killed_game_is_told_at_once_with_its_signal(host: LoopHost, agent: AgentProcess) -> None:
    converge(agent, desired(instance(0)))
    since = len(agent.frames)
    host.run("kill", "-9", str(host.main_pid(0)))
    killed_at = time.monotonic()
    told = news_of(agent, unit(0), since, sub_state="auto-restart")
    assert time.monotonic() - killed_at < 2.0
    assert (told.exit_code, told.exit_status, told.result) == ("killed", 9, "signal")
    back = news_of(agent, unit(0), since, active_state="active", restarts=1)
    assert back.main_pid > 0


def test_a_failure_is_told_though_the_unit_runs_again_before_anybody_could_look(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0)))
    fast = host.root / names.drop_in_dir("warlock-loop", "default").lstrip("/") / "60-fast.conf"
    fast.write_text("[Service]\nRestartSec=0\n")
    host.run("systemctl", "daemon-reload")
    since = len(agent.frames)
    host.run("kill", "-SEGV", str(host.main_pid(0)))
    told = news_of(agent, unit(0), since, exit_status=11)
    assert told.exit_code in ("killed", "dumped")
    news_of(agent, unit(0), since, active_state="active", restarts=1)


def test_a_game_that_gave_up_is_told_with_its_status_and_last_words(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0)))
    news_of(agent, unit(0), 0, ports=(("UDP", 28000),))
    ask(agent, b"exit 7", 28000)
    told = agent.wait_for(
        lambda f: isinstance(f, wire.UnitsChanged) and any(u.journal for u in f.units)
    )
    assert isinstance(told, wire.UnitsChanged)
    (failed,) = told.units
    assert (failed.exit_code, failed.exit_status) == ("exited", 7)
    assert "giving up: the disk of the moon is full" in failed.journal


def test_a_crash_loop_ends_as_failed_and_is_started_again_when_its_wait_is_over(
    host: LoopHost, agent: AgentProcess
) -> None:
    crash = DesiredService("warlock-loop", ("/bin/false",))
    wanted = replace(desired(instance(0)), games=(replace(GAME, services=(crash,)),))
    converge(agent, wanted)
    news_of(agent, unit(0), 0, sub_state="auto-restart", exit_code="exited", exit_status=1)
    reports: list[wire.Report] = []

    def given_up() -> bool:
        reports.append(converge(agent, wanted))
        return [r.step for r in reports[-1].results] == ["SetRetry"]

    eventually(given_up)
    report = reports[-1]
    assert 1 <= report.next_pass_seconds <= 10
    assert [(r.name, r.attempts) for r in report.observed.retries] == [(unit(0), 1)]


def test_ports_are_told_once_they_are_bound(host: LoopHost, agent: AgentProcess) -> None:
    report = converge(agent, desired(instance(0, env=(("DELAY", "0.6"),))))
    (first,) = report.observed.units
    assert first.ports == ()
    news_of(agent, unit(0), 0, ports=(("UDP", 28000),))


def test_signals_come_again_after_systemd_was_executed_anew(
    host: LoopHost, agent: AgentProcess
) -> None:
    converge(agent, desired(instance(0)))
    host.run("systemctl", "daemon-reexec")
    eventually(lambda: host.run("systemctl", "is-active", unit(0), check=False).strip() == "active")
    assert converge(agent, desired(instance(0))).results == ()
    since = len(agent.frames)
    host.run("kill", "-9", str(host.main_pid(0)))
    told = news_of(agent, unit(0), since, sub_state="auto-restart")
    assert told.exit_status == 9


def test_counters_of_running_units_come_every_while(host: LoopHost, agent: AgentProcess) -> None:
    converge(agent, desired(instance(0)))
    sample = agent.wait_for(lambda f: isinstance(f, wire.Sample), since=len(agent.frames))
    assert isinstance(sample, wire.Sample)
    (one,) = sample.units
    assert one.unit == unit(0)
    assert one.memory_bytes > 1_000_000
    assert one.memory_source in ("Cgroup", "ProcessPSS")
    assert one.tasks == 1


def test_the_score_of_the_sandbox_is_told(host: LoopHost, agent: AgentProcess) -> None:
    converge(agent, desired(instance(0)))
    told = agent.wait_for(
        lambda f: isinstance(f, wire.UnitsChanged) and any(u.security_score_tenths for u in f.units)
    )
    assert isinstance(told, wire.UnitsChanged)
    assert told.units[0].security_score_tenths is not None
    assert told.units[0].security_score_tenths <= 40


# --- requests of every kind --------------------------------------------------------------------


def ask(agent: AgentProcess, payload: bytes, port: int, seconds: float = 5.0) -> wire.Answer:
    encoded = base64.b64encode(payload).decode()
    request = wire.Exchange(agent.next_number(), "UDP", port, encoded, 300)
    return agent.ask(request, seconds)


def test_a_query_goes_to_ports_of_ours_alone(host: LoopHost, agent: AgentProcess) -> None:
    converge(agent, desired(instance(0)))
    news_of(agent, unit(0), 0, ports=(("UDP", 28000),))
    answer = ask(agent, b"who is there", 28000)
    assert isinstance(answer, wire.Exchanged)
    assert [base64.b64decode(p) for p in answer.payloads] == [b"who is there"]
    refused = ask(agent, b"hello", 22)
    assert isinstance(refused, wire.Fault)
    assert refused.reason == "PortNotHeld"


def test_what_is_no_request_is_answered_and_the_channel_lives_on(agent: AgentProcess) -> None:
    for line, reason, number in (
        (b'{"frame":"Dance","request":41}\n', "UnknownRequest", 41),
        (b'{"frame":"Ping"\n', "BadFrame", 0),
        (b'{"frame":"Ping","request":"x"}\n', "BadFrame", 0),
        (b'{"frame":"Pong","request":42}\n', "UnknownRequest", 42),
        (b"\xff\xfe\n", "BadFrame", 0),
        (b"x" * (wire.MAX_FRAME_BYTES + 1) + b"\n", "BadFrame", 0),
    ):
        since = len(agent.frames)
        agent.send_bytes(line)
        fault = agent.wait_for(lambda f: isinstance(f, wire.Fault), since=since)
        assert isinstance(fault, wire.Fault)
        assert (fault.reason, fault.request) == (reason, number)
    assert isinstance(agent.ask(wire.Ping(agent.next_number())), wire.Pong)
    assert isinstance(agent.ask(wire.Observe(agent.next_number())), wire.State)


def test_an_agent_that_hears_nothing_ends(host: LoopHost) -> None:
    with host.agent("--silence-seconds", "1") as agent:
        assert isinstance(agent.wait_for(lambda _: True), wire.Hello)
        agent.ask(wire.Ping(1))
        assert agent.process.wait(10) == 0


def test_an_agent_ends_with_its_channel(host: LoopHost) -> None:
    with host.agent() as agent:
        assert isinstance(agent.wait_for(lambda _: True), wire.Hello)
        assert agent.process.stdin
        agent.process.stdin.close()
        assert agent.process.wait(10) == 0
    eventually(lambda: host.agents_running() == 0)


def test_an_agent_whose_peer_reads_nothing_ends(host: LoopHost) -> None:
    argv = (
        f'(sleep 1; for i in $(seq 20000); do echo \'{{"frame":"Observe","request":1}}\'; done;'
        f" sleep 60) | python3 -I -S {AGENT} serve --stall-seconds 1 2>/dev/null | sleep 120"
    )
    with AgentProcess([*host.host.ssh_argv(), argv]):
        eventually(lambda: host.agents_running() == 1)
        eventually(lambda: host.agents_running() == 0)


def test_features_are_tried_and_a_container_without_controllers_limits_nothing(
    host: LoopHost,
) -> None:
    told = []
    for _ in range(2):  # the second is remembered
        with host.agent() as agent:
            hello = agent.wait_for(lambda _: True)
        assert isinstance(hello, wire.Hello)
        told.append({feature.name: feature.state for feature in hello.features})
    enforced = dict.fromkeys(
        ("ProtectSystem", "PrivateTmp", "NoNewPrivileges", "SystemCallFilter"), "Enforced"
    )
    limits = dict.fromkeys(("MemoryMax", "TasksMax", "CPUQuota"), "Advisory")
    assert told == [enforced | limits] * 2


# --- by hand -----------------------------------------------------------------------------------


def test_every_command_can_be_used_by_hand(host: LoopHost) -> None:
    assert isinstance(host.converge(desired(instance(0))), wire.Report)
    seen = host.observe()
    assert [one["active_state"] for one in seen["units"]] == ["active"]
    assert seen["ledger"]["owner"] == "owner-a"
    version = host.run("python3", "-I", "-S", AGENT, "version")
    assert "protocol 1" in version
    for command in ((), ("serve",), ("converge",), ("observe",), ("version",), ("install",)):
        assert "usage:" in host.run("python3", "-I", "-S", AGENT, *command, "--help")


def test_an_install_outlives_its_agent_and_its_end_is_told_to_the_next(host: LoopHost) -> None:
    apt = host.root / "usr/local/sbin/apt-get"
    apt.write_text("#!/bin/sh\nsleep 2\necho E: no such luck >&2\nexit 100\n")
    apt.chmod(0o755)
    try:
        game = replace(GAME, apt=("loop-server",))
        wanted = replace(desired(instance(0)), games=(game,))
        operation = names.install_operation(GUID, ("loop-server",), ())
        with host.agent() as agent:
            agent.wait_for(lambda _: True)
            report = converge(agent, wanted)
            (running,) = report.observed.operations
            assert (running.id, running.state) == (operation, "Running")
        eventually(lambda: host.agents_running() == 1)  # the install itself
        with host.agent() as agent:
            hello = agent.wait_for(lambda _: True)
            assert isinstance(hello, wire.Hello)
            assert [o.state for o in hello.observed.operations] == ["Running"]
            ended = agent.wait_for(
                lambda f: isinstance(f, wire.OperationChanged) and f.operation.state == "Failed"
            )
            assert isinstance(ended, wire.OperationChanged)
            assert isinstance(ended.operation, Operation)
            assert "no such luck" in ended.operation.message
            again = converge(agent, wanted)
            assert [r for r in again.results if r.step == "StartInstall"] == []
            assert again.next_pass_seconds > 0
    finally:
        apt.unlink()


# --- killed at any time -------------------------------------------------------------------------


def killed_after(host: LoopHost, frame: wire.Converge, milliseconds: int) -> None:
    (host.root / "root/frame.json").write_bytes(wire.encode(frame))
    seconds = milliseconds / 1000
    command = f"timeout -s KILL {seconds} python3 -I -S {AGENT} converge < /root/frame.json"
    host.host.run(["bash", "-c", command], check=False)


def test_a_pass_killed_at_any_time_is_made_good_by_the_next(host: LoopHost) -> None:
    numbers = range(5)
    old = desired(*(instance(number) for number in numbers))
    new = desired(*(instance(n, env=(("DELAY", "0.01"),), generation=2) for n in numbers))
    stages: dict[str, tuple[DesiredHost, DesiredHost]] = {
        "made": (desired(), old),
        "changed": (old, new),
        "removed": (new, removal(*numbers)),
    }
    ends = []
    for stage, (_, wanted) in stages.items():
        for milliseconds in range(60, 600, 45):
            killed_after(host, wire.Converge(1, AUTHORITY, wanted), milliseconds)
            ends.append((stage, milliseconds))
            ledger = host.ledger()  # readable, whatever happened
            for entry in ledger.instances:
                assert entry.user, ends[-1]
        settle(host, wanted)
        if stage == "removed":
            assert host.ledger().instances == ()
            assert [p for p in host.managed_files() if "loop-" not in p] == []
        else:
            generation = 1 if stage == "made" else 2
            assert [e.generation for e in host.ledger().instances] == [generation] * len(numbers)
            states = {u["unit"]: u for u in host.observe()["units"]}
            starts = {e.started_digest for e in host.ledger().instances}
            assert {u["active_state"] for u in states.values()} == {"active"}
            assert {u["digest"] for u in states.values()} == starts
            temporary = [p for p in host.managed_files() if p.endswith(".tmp")]
            assert temporary == []


def settle(host: LoopHost, wanted: DesiredHost) -> None:
    """Converge until there is nothing to do."""

    def quiet() -> bool:
        report = host.converge(wanted)
        assert isinstance(report, wire.Report), report
        assert failures(report) == []
        return report.results == ()

    eventually(quiet, 30)


def test_a_reload_that_a_kill_left_undone_is_done_by_the_next_pass(host: LoopHost) -> None:
    host.converge(desired(instance(0)))
    (host.root / "run/warlock").mkdir(parents=True, exist_ok=True)
    host.run("touch", "/run/warlock/reload-pending")
    report = host.converge(desired(instance(0)))
    assert isinstance(report, wire.Report)
    assert [r.step for r in report.results] == ["Reload"]
    assert host.converge(desired(instance(0))).results == ()  # type: ignore[union-attr]


def test_what_converge_prints_is_one_frame(host: LoopHost) -> None:
    (host.root / "root/frame.json").write_bytes(
        wire.encode(wire.Converge(1, AUTHORITY, desired(instance(0))))
    )
    said = host.run("bash", "-c", f"python3 -I -S {AGENT} converge < /root/frame.json")
    assert json.loads(said)["frame"] == "Report"
