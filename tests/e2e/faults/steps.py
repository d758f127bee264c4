"""Kill the agent right after each thing that a pass does, as the machine shows it from outside."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labkit.cgroups import Group
from tests.e2e import scenes
from tests.e2e.faults import acts
from tests.e2e.faults.acts import EXTRA
from tests.e2e.faults.stage import Stage
from tests.e2e.world import GUID, SERVICE, running
from warlock_agent import ledger, names

LIMIT_SECONDS = 20.0
LOOK_SECONDS = 0.0002
"""A pass takes 0.2 s, and what lies between two of its steps some milliseconds."""


class Outside:
    """
    What a machine has of one instance, without entering the machine: a look takes microseconds.
    """

    def __init__(self, stage: Stage, instance_id: str) -> None:
        root = stage.machine.host.inside
        assert root is not None
        self._root = root
        self.instance_id = instance_id
        self._user = names.user_name(GUID, instance_id)
        self.unit = names.unit_name(SERVICE, instance_id)
        self._group = Group(stage.lab.name, f"host-{stage.name}")
        neighbour = next(
            found for folder in self._group.folders for found in folder.rglob(stage.units[0])
        )
        self._processes = neighbour.with_name(self.unit) / "cgroup.procs"

    def has(self, path: str) -> bool:
        """Whether something is there."""
        return os.path.lexists(self._root / path.lstrip("/"))

    def claimed(self) -> bool:
        """Whether the ledger knows it."""
        return bool(self._entry())

    def recorded(self) -> bool:
        """Whether the ledger says that it was started."""
        return bool(self._entry().get("started_digest"))

    def user(self) -> bool:
        """Whether it has a user."""
        return f"\n{self._user}:" in (self._root / "etc/passwd").read_text()

    def directory(self) -> bool:
        """Whether its directory is its user's: that is what is done last of it."""
        try:
            return (self._root / f"opt/openarena-{self.instance_id}").stat().st_uid != 0
        except FileNotFoundError:
            return False

    def runs(self) -> bool:
        """Whether its unit has a process."""
        try:
            return bool(self._processes.read_text())
        except OSError:
            return False

    def agents(self) -> list[int]:
        """Give the agents that serve on the machine."""
        return [pid for pid in self._group.processes() if b".pyz\0serve" in _words(pid)]

    def _entry(self) -> dict[str, object]:
        file = self._root / f"{names.LEDGER_DIR}/{ledger.CURRENT}".lstrip("/")
        found = json.loads(file.read_text())["ledger"].get("instances", ())
        return next((each for each in found if each["instance_id"] == self.instance_id), {})

    def kill_after(self, fact: Callable[[Outside], bool], agents: list[int]) -> None:
        """Return when the agents were killed, as soon as *fact* is true."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not fact(self):
            assert time.monotonic() < deadline, "the step was not seen"
            time.sleep(LOOK_SECONDS)
        for pid in agents:
            os.kill(pid, signal.SIGKILL)


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


Fact = Callable[[Outside], bool]


def _there(path: Callable[[str], str]) -> Fact:
    return lambda seen: seen.has(path(seen.instance_id))


def _not(fact: Fact) -> Fact:
    return lambda seen: not fact(seen)


_ENV = _there(lambda found: names.env_path(GUID, found))
_DROP_IN = _there(lambda found: names.drop_in_path(SERVICE, found))
_LINK = _there(lambda found: names.wants_path(SERVICE, found))
_REGISTRATION = _there(lambda found: names.registration_path(GUID, found))

MAKING: tuple[Fact, ...] = (
    Outside.claimed,
    Outside.user,
    Outside.directory,
    _ENV,
    _REGISTRATION,
    _DROP_IN,
    _LINK,
    Outside.runs,
    Outside.recorded,
)
"""What a pass that makes an instance does, in its order."""
UNMAKING: tuple[Fact, ...] = (
    _not(Outside.runs),
    _not(_LINK),
    _not(_ENV),
    _not(_DROP_IN),
    _not(Outside.claimed),
)
"""Likewise of one that ends it."""


def kill_at_each(stage: Stage) -> None:
    """Make and end instances; raises AssertionError where one does not become what it should."""
    for number, making in enumerate(MAKING):
        seen = Outside(stage, str(uuid.uuid4()))
        _kill(stage, seen, making, lambda seen=seen: acts.new_extra(stage, seen.instance_id))
        found = stage.namespace.wait_running(EXTRA)
        assert running(found)
        starts = scenes.starts(stage.machine, seen.unit)
        assert starts == 1, f"killed after step {number}: started {starts} times"
        unmaking = UNMAKING[number % len(UNMAKING)]
        _kill(stage, seen, unmaking, lambda: acts.drop_extra(stage))
        assert not seen.claimed()
        assert not any(fact(seen) for fact in (_ENV, _REGISTRATION, _DROP_IN, _LINK))


def _kill(stage: Stage, seen: Outside, fact: Fact, do: Callable[[], None]) -> None:
    stage.until(lambda: len(seen.agents()) == 1, LIMIT_SECONDS, "an agent serves")
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(seen.kill_after, fact, seen.agents())
        do()
        killed.result()
