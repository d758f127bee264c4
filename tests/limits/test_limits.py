"""
Limits that an administrator puts beside our units, on a machine whose kernel enforces them.

Containers of the lab accept them and do nothing, so this takes an emulated machine: run by
``hack/test-long``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from demokit.kubectl import Kubectl
from tests.e2e.conftest import plain_game
from tests.e2e.world import Machine, Namespace, Object, condition, ready, wait_for
from warlock_agent import names

SLOW_SECONDS = 240.0
MEBIBYTE = 1024 * 1024


def python(program: str) -> list[str]:
    """Give the words of a game that is a line of Python."""
    return ["/usr/bin/python3", "-c", program]


SLEEPER = ["/bin/sleep", "100000"]
HOG = python("b = b'x' * (160 << 20); import time; time.sleep(100000)")
# One line, as every word of a Game; what Python makes of it has several.
FORKER = python(
    "import os, time; exec('for _ in range(40):\\n try: os.fork() or time.sleep(100000)"
    "\\n except OSError: pass'); time.sleep(100000)"
)
BUSY = ["/bin/sh", "-c", "while :; do :; done"]


@dataclass
class Server:
    """An instance that runs, and its unit."""

    name: str
    unit: str
    machine: Machine
    namespace: Namespace

    def pid(self) -> int:
        """Give its main process; 0: it has none."""
        return int(self.machine.show(self.unit, "MainPID")["MainPID"])

    def limit(self, directive: str) -> str:
        """Put a limit beside what is ours, have systemd read it, and start anew; gives the file."""
        folder = f"/etc/systemd/system/{self.unit}.d"
        path = f"{folder}/60-limits.conf"
        self.machine.host.run(["tee", path], stdin=f"[Service]\n{directive}\n")
        self.machine.run("systemctl", "daemon-reload")
        self.namespace.annotate(self.name, restart=directive)
        return path

    def counter(self, file: str, key: str = "") -> int:
        """Give a number that the kernel keeps of its control group; 0: there is none just now."""
        group = self.machine.show(self.unit, "ControlGroup")["ControlGroup"]
        said = self.machine.run("cat", f"/sys/fs/cgroup{group}/{file}", check=False)
        rows = dict(line.split()[-2:] for line in said.splitlines() if len(line.split()) == 2)
        return int(rows.get(key, 0) if key else said.strip() or 0)

    def get(self) -> Object:
        """Give the object."""
        return self.namespace.get(self.name)


Make = Callable[[str, list[str]], Server]


@pytest.fixture
def make(kubectl: Kubectl, machine: Machine, namespace: Namespace) -> Iterator[Make]:
    """Make a Game that runs such words, and an instance of it that runs."""
    games: list[str] = []

    def made(name: str, words: list[str]) -> Server:
        game = plain_game(words)
        games.append(game["metadata"]["name"])
        kubectl.apply(game)
        namespace.instance(name, host=machine.name, guid=game["spec"]["guid"])
        namespace.wait_running(name, SLOW_SECONDS)
        unit = names.unit_name(game["spec"]["services"][0]["name"], "default")
        return Server(name, unit, machine, namespace)

    yield made
    kubectl("-n", namespace.name, "delete", "gi", "--all", f"--timeout={SLOW_SECONDS:g}s")
    for game in games:
        kubectl("delete", "game", game)


def test_the_status_says_that_the_kernel_enforces_everything(
    kubectl: Kubectl, machine: Machine, namespace: Namespace
) -> None:
    found = kubectl.get("gamehost", machine.name)["status"]["features"]
    states = {each["name"]: each["state"] for each in found}
    assert {"MemoryMax", "TasksMax", "CPUQuota", "ProtectSystem"} <= set(states)
    assert set(states.values()) == {"Enforced"}, states


def test_one_that_takes_too_much_memory_is_ended_and_its_neighbour_is_not(make: Make) -> None:
    quiet, hog = make("quiet", SLEEPER), make("hog", HOG)
    kept = quiet.pid()
    using = hog.namespace.wait(
        "hog",
        lambda found: found["status"].get("metrics", {}).get("memoryBytes", 0) > 150 * MEBIBYTE,
        "its memory is counted",
        SLOW_SECONDS,
    )
    assert using["status"]["metrics"]["memorySource"] == "Cgroup"

    path = hog.limit("MemoryMax=64M")
    ended = hog.namespace.wait(
        "hog",
        lambda found: "SIGKILL" in condition(found, "Running").get("message", ""),
        "it is killed for its memory",
        SLOW_SECONDS,
    )
    assert condition(ended, "Running")["reason"] in ("MainProcessExited", "CrashLoop")
    hog.namespace.wait_stalled("hog", "CrashLoop", SLOW_SECONDS)
    assert "oom-kill" in hog.machine.run("journalctl", "--no-pager", "-u", hog.unit)
    assert quiet.pid() == kept

    # What is not ours stays, until whoever wrote it takes it away; then it runs again.
    assert hog.machine.exists(path)
    hog.machine.shell(f"rm {path}; systemctl daemon-reload")
    hog.namespace.annotate("hog", reconcile="now")
    hog.namespace.wait_running("hog", SLOW_SECONDS)
    assert quiet.pid() == kept


def test_one_that_forks_without_end_gets_no_further_than_its_limit(make: Make) -> None:
    quiet, forker = make("quiet", SLEEPER), make("forker", FORKER)
    kept = quiet.pid()
    wait_for(lambda: forker.counter("pids.current") == 41, SLOW_SECONDS, "all are there")
    before = forker.pid()
    forker.limit("TasksMax=7")
    wait_for(lambda: forker.pid() not in (0, before), SLOW_SECONDS, "it was started anew")
    wait_for(lambda: forker.counter("pids.events", "max") == 34, SLOW_SECONDS, "34 were refused")
    assert forker.counter("pids.current") == 7
    forker.namespace.wait(
        "forker", lambda found: found["status"].get("metrics", {}).get("tasks") == 7, "it is shown",
        SLOW_SECONDS,
    )  # fmt: skip
    assert ready(forker.get())
    assert quiet.pid() == kept


def test_one_that_wants_all_the_time_there_is_gets_its_share(make: Make) -> None:
    busy = make("busy", BUSY)
    before = busy.pid()
    busy.limit("CPUQuota=20%")
    wait_for(lambda: busy.pid() not in (0, before), SLOW_SECONDS, "it was started anew")
    wait_for(lambda: busy.counter("cpu.stat", "nr_throttled") > 20, SLOW_SECONDS, "it is held back")
    used, began = busy.counter("cpu.stat", "usage_usec"), time.monotonic()
    throttled = busy.counter("cpu.stat", "nr_throttled")
    wait_for(
        lambda: busy.counter("cpu.stat", "nr_throttled") > throttled + 50, SLOW_SECONDS, "and again"
    )
    share = (busy.counter("cpu.stat", "usage_usec") - used) / (time.monotonic() - began) / 1e6
    print(f"it got {share:.0%} of a processor, and may have 20%")
    # A fifth is 200; shown is an average that moves when it differs by much.
    busy.namespace.wait(
        "busy",
        lambda found: 0 < found["status"].get("metrics", {}).get("cpuMillicores", 0) <= 400,
        "its share is shown",
        SLOW_SECONDS,
    )
    assert ready(busy.get())
