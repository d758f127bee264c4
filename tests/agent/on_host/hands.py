"""Run on a machine, beside the package: use one of the agent's hands, print what came of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from warlock_agent import cgroup, dbus, files, install, journal, sockets, systemd, users
from warlock_agent.systemd import SignalsLost, UnitChanged

DIRECTORY = "/etc/systemd/system"
LIMIT_SECONDS = 30.0
SOCKETS = {"private": [dbus.PRIVATE_SYSTEMD], "bus": [dbus.SYSTEM_BUS], "any": None}
SLEEPER = "[Service]\nExecStart=/bin/sleep 100000\n"


def write_unit(name, text):
    files.Tree().write(files.NewFile(f"{DIRECTORY}/{name}", text.encode()))


def await_event(manager, fits):
    """Give the first event that fits, and the seconds that it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < LIMIT_SECONDS:
        for event in manager.events():
            if fits(event):
                return event, time.monotonic() - begun
        time.sleep(0.001)
    raise SystemExit("the event never came")


def lifecycle(socket):
    """Start many, look at them, restart, stop."""
    manager = systemd.Systemd(SOCKETS[socket])
    write_unit("hands@.service", SLEEPER)
    manager.daemon_reload()
    units = [f"hands@{number}.service" for number in range(20)]
    before = manager.list_units(units)
    started = manager.start(units, LIMIT_SECONDS)
    states = manager.states([*units, "hands@none.service"])
    commands = sorted({comm(one.main_pid) for one in states.values() if one.main_pid})
    short = manager.running(manager.list_matching(["hands@*.service"]).values())
    restarted = manager.restart(units[:5], LIMIT_SECONDS)
    again = manager.states(units)
    stopped = manager.stop(units, LIMIT_SECONDS)
    return {
        "before": len(before),
        "started": sorted({one.result for one in started.values()}),
        "active": sum(one.active_state == "active" for one in states.values()),
        "pids": len({one.main_pid for one in states.values()}),
        "commands": commands,
        "short_is_long": all(
            (s.main_pid, s.n_restarts, s.active_enter_monotonic_usec, s.state_change_usec)
            == (t.main_pid, t.n_restarts, t.active_enter_monotonic_usec, t.state_change_usec)
            for s, t in ((short[unit], states[unit]) for unit in units)
        ),
        "fragment": states[units[0]].fragment_path,
        "invocation": len(states[units[0]].invocation_id),
        "none": states["hands@none.service"].active_state,
        "restarted": sorted({one.result for one in restarted.values()}),
        "new_pids": sum(again[unit].main_pid != states[unit].main_pid for unit in units),
        "stopped": sorted({one.result for one in stopped.values()}),
        "after": len(manager.list_units(units)),
    }


def comm(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def refusals(socket):
    """What systemd refuses is told a unit, and keeps back no other."""
    manager = systemd.Systemd(SOCKETS[socket])
    write_unit("hands-fails.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n")
    write_unit("hands-slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 100\n")
    write_unit("hands-fine.service", SLEEPER)
    manager.daemon_reload()
    units = ["hands-none.service", "hands-fails.service", "hands-fine.service", "no unit at all"]
    results = manager.start(units, LIMIT_SECONDS)
    slow = manager.start(["hands-slow.service"], 0.3)
    failed = manager.states(["hands-fails.service"])["hands-fails.service"]
    stopped = manager.stop(["hands-none.service", "hands-slow.service"], LIMIT_SECONDS)
    cleared = manager.reset_failed(["hands-fails.service", "hands-none.service"])
    after = manager.states(["hands-fails.service"])["hands-fails.service"]
    manager.stop(["hands-fine.service"], LIMIT_SECONDS)
    return {
        "results": [results[unit].result for unit in units],
        "message": results["hands-none.service"].message,
        "slow": slow["hands-slow.service"].result,
        "failed": [failed.active_state, failed.result, failed.exit_code, failed.exec_main_status],
        "stopped": sorted({one.result for one in stopped.values()}),
        "cleared": cleared,
        "after": after.active_state,
    }


def killed(socket):
    """The end of a main process is told as it happens, with signal, before the restart hides it."""
    manager = systemd.Systemd(SOCKETS[socket])
    unit = "hands-killed.service"
    write_unit(unit, SLEEPER + "Restart=always\nRestartSec=100ms\n")
    manager.daemon_reload()
    manager.start([unit], LIMIT_SECONDS)
    manager.events()
    manager.kill(unit, signal.SIGKILL)

    def says_how(event):
        return (
            isinstance(event, UnitChanged)
            and event.unit == unit
            and event.properties().get("ExecMainCode") == 2
        )

    event, seconds = await_event(manager, says_how)

    def runs_again(event):
        return (
            isinstance(event, UnitChanged)
            and event.unit == unit
            and event.properties().get("ActiveState") == "active"
        )

    await_event(manager, runs_again)
    state = manager.states([unit])[unit]
    manager.stop([unit], LIMIT_SECONDS)
    status = event.properties()["ExecMainStatus"]
    return {"status": status, "seconds": seconds, "restarts": state.n_restarts}


def stopped(socket):
    """A process that ends as its unit is stopped, and ones that end by themselves."""
    manager = systemd.Systemd(SOCKETS[socket])
    words = {
        "hands-stopped.service": "trap 'exit 1' TERM; touch /run/hands; while :; do sleep .1; done",
        "hands-crashed.service": "sleep 0.2; exit 3",
    }
    for unit, script in words.items():
        write_unit(unit, f'[Service]\nExecStart=/bin/sh -c "{script}"\n')
    write_unit("hands-absent.service", "[Service]\nExecStart=/usr/games/not-there\n")
    manager.daemon_reload()
    units = [*words, "hands-absent.service"]
    manager.start(units, LIMIT_SECONDS)
    deadline = time.monotonic() + LIMIT_SECONDS
    ended = False
    while not (ended and os.path.exists("/run/hands")) and time.monotonic() < deadline:
        ended = all(one.active_state == "failed" for one in manager.states(units[1:]).values())
    manager.stop(units[:1], LIMIT_SECONDS)
    states = manager.states(units)
    manager.reset_failed(units)
    return {unit: [states[unit].active_state, states[unit].stopped] for unit in units}


def reexec(socket):
    """A re-executed systemd is found again, and what was missed is told."""
    manager = systemd.Systemd(SOCKETS[socket])
    write_unit("hands-one.service", SLEEPER)
    manager.daemon_reload()
    manager.events()
    os.system("systemctl daemon-reexec")
    lost, deadline = False, time.monotonic() + LIMIT_SECONDS
    while not lost and time.monotonic() < deadline:
        try:
            lost = any(isinstance(event, SignalsLost) for event in manager.events())
        except dbus.DBusDisconnected:
            time.sleep(0.01)
    manager.events()
    started = manager.start(["hands-one.service"], LIMIT_SECONDS)
    events = {type(event).__name__ for event in manager.events()}
    manager.stop(["hands-one.service"], LIMIT_SECONDS)
    result = started["hands-one.service"].result
    return {"lost": lost, "result": result, "signals": "UnitChanged" in events}


def without_bus(socket):
    """systemd is reached although the bus is not there."""
    os.rename(dbus.SYSTEM_BUS, dbus.SYSTEM_BUS + ".away")
    try:
        version = systemd.Systemd(SOCKETS[socket]).version()
    finally:
        os.rename(dbus.SYSTEM_BUS + ".away", dbus.SYSTEM_BUS)
    return {"version": version}


def transient(socket):
    """A transient unit runs its words as they are, and is forgotten also when it has failed."""
    manager = systemd.Systemd(SOCKETS[socket])
    out = "/run/hands-words"
    words = [
        "/bin/sh",
        "-c",
        f'printf "%s|" "$@" > {out}',
        "sh",
        "$HOME",
        "${A}",
        "a b",
        "%n",
        "$$",
    ]
    results = []
    for argv in (words, ["/bin/false"]):
        properties = systemd.service_properties(argv, description="Hands", timeout_seconds=20)
        job = manager.start_transient("hands-transient.service", properties)
        results.append(manager.wait_jobs([job], LIMIT_SECONDS).get(job))
    deadline = time.monotonic() + LIMIT_SECONDS
    while manager.list_units(["hands-transient.service"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    with open(out) as file:
        text = file.read()
    left = sorted(manager.list_units(["hands-transient.service"]))
    return {"results": results, "words": text.split("|")[:-1], "left": left}


def make_users():
    """Many users by one call; again changes nothing."""
    wanted = [users.NewUser(f"wl-{number:016x}", f"/srv/hands-{number}") for number in range(20)]
    made = users.Users().create(wanted)
    with open("/etc/passwd", "rb") as file:
        before = file.read()
    users.Users().create(wanted)
    with open("/etc/passwd", "rb") as file:
        after = file.read()
    line = next(line for line in after.decode().splitlines() if line.startswith(wanted[3].name))
    return {
        "uids": len({user.uid for user in made.values()}),
        "system": all(0 < user.uid < 1000 for user in made.values()),
        "unchanged": before == after,
        "line": line.split(":")[5:],
    }


def last_words():
    """The journal of the last run, and not of the one before."""
    manager = systemd.Systemd()
    unit = "hands-talks.service"
    script = "/bin/sh -c 'echo run $$INVOCATION_ID; printf \"\\\\033[31mred\\\\n\"; exit 3'"
    write_unit(unit, f"[Service]\nType=oneshot\nExecStart={script}\n")
    manager.daemon_reload()
    ids = []
    for _ in range(2):
        manager.start([unit], LIMIT_SECONDS)
        ids.append(manager.states([unit])[unit].invocation_id)
    lines, deadline = (), time.monotonic() + LIMIT_SECONDS
    while not any(ids[1] in line for line in lines) and time.monotonic() < deadline:
        lines = journal.last_lines(unit, ids[1])
    return {
        "ids": len(set(ids)),
        "lines": [line.replace(ids[1], "ID") for line in lines],
        "all": len(journal.last_lines(unit, count=100)) > len(lines),
        "none": journal.last_lines("hands-none.service"),
    }


LISTENER = """
import socket, sys, time
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); udp.bind(("::", 28123))
tcp = socket.socket(); tcp.bind(("127.0.0.1", 28124)); tcp.listen()
memory = bytearray(20_000_000)
sum(range(1_000_000))
open("/run/hands-listens", "w").close()
time.sleep(100000)
"""


def usage():
    """What a unit has bound, and what it uses."""
    manager = systemd.Systemd()
    unit = "hands-listens.service"
    files.Tree().write(files.NewFile("/root/listens.py", LISTENER.encode()))
    write_unit(unit, f"[Service]\nExecStart={sys.executable} /root/listens.py\n")
    manager.daemon_reload()
    manager.start([unit], LIMIT_SECONDS)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not os.path.exists("/run/hands-listens") and time.monotonic() < deadline:
        time.sleep(0.01)
    state = manager.states([unit])[unit]
    bound = [one for one in sockets.SocketTable().read() if one.unit == unit]
    sample = cgroup.Cgroups().sample(unit, state.control_group)
    manager.stop([unit], LIMIT_SECONDS)
    os.unlink("/run/hands-listens")
    return {
        "bound": [[b.protocol, b.address, b.port, b.pid == state.main_pid] for b in bound],
        "memory": sample.memory_bytes,
        "source": sample.memory_source,
        "tasks": sample.tasks,
        "cpu": sample.cpu_usec,
        "after": [b.port for b in sockets.SocketTable().read() if b.unit == unit],
    }


class Course(files.Tree):
    """Keep every progress that is written; some stand for less than a reader takes to look."""

    def __init__(self):
        super().__init__()
        self.points = []

    def write(self, file, durable=False, trusted="/"):
        super().write(file, durable, trusted)
        folder, name = os.path.split(file.path)
        if name == install.PROGRESS_FILE:
            self.points.append(install.read_progress(folder))


def apt(package, mask):
    """Install as the transient unit does; give the course of its progress."""
    os.makedirs("/root/operation", exist_ok=True)
    course = Course()
    with open(os.devnull, "w") as away:  # apt's own words go to descriptor 1
        keep = os.dup(1)
        os.dup2(away.fileno(), 1)
        masked = [mask] if mask else []
        done = install.Runner([package], masked, "/root/operation", tree=course).run()
        os.dup2(keep, 1)
    last = install.read_progress("/root/operation")
    percents = [one.progress for one in course.points]
    return {
        "done": done,
        "state": last.state,
        "progress": last.progress,
        "message": last.message,
        "steps": list(dict.fromkeys(one.step for one in course.points)),
        "rises": percents == sorted(percents),
        "points": len(set(percents)),
    }


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    print(json.dumps(globals()[name](*words)))
