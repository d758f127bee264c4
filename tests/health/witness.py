"""
Is the work done when kstatus says so? The machine is asked, and not the operator.

A process's environment is what it was started with and never changes. So the process that a
status names proves, however late one looks, whether it was started from the spec of that status's
generation: its variables and ports are those of the spec, and its control group is the unit's.
Of an instance that is stopped no process may carry the identity.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path

from labkit.host import Host
from labkit.lab import Lab
from tests.health.states import Object, state_of
from warlock_agent import names

_IDENTITY = ("WARLOCK_GUID", "WARLOCK_INSTANCE_ID")


@dataclass(frozen=True)
class Seen:
    """What the machine said of a generation. wrong: empty where it is as the status says."""

    name: str
    generation: int
    wrong: str = ""


@dataclass
class Witness:
    """
    Looks at the machine whenever a generation is called done for the first time.

    gone: how often nothing could be said, since the process had ended by then, or a newer
    generation was on its way.
    """

    lab: Lab
    seen: list[Seen] = field(default_factory=list)
    gone: int = 0
    _newest: dict[str, int] = field(default_factory=dict)
    _known: set[tuple[str, int]] = field(default_factory=set)
    _asked: queue.SimpleQueue[Object | None] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether all that was asked has been answered."""
        return len(self._known) == len(self.seen) + self.gone

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when all has been answered."""
        self._asked.put(None)
        if self._thread is not None:
            self._thread.join(30.0)

    def told(self, found: Object) -> None:
        """Take a version of a GameInstance; the machine is asked by another thread."""
        uid, generation = found["metadata"]["uid"], found["metadata"]["generation"]
        deleting = "deletionTimestamp" in found["metadata"]
        self._newest[uid] = generation + deleting  # a deletion changes the machine as an edit does
        if state_of(found).word == "ready" and (uid, generation) not in self._known:
            self._known.add((uid, generation))
            self._asked.put(found)

    def _run(self) -> None:
        while (found := self._asked.get()) is not None:
            answer = self._look(found)
            if answer is None:
                self.gone += 1
            else:
                self.seen.append(answer)

    def _look(self, found: Object) -> Seen | None:
        meta = found["metadata"]
        host = self._host(found)
        inside = host.inside if host is not None else None
        if inside is None:
            return None
        stopped = found["spec"].get("state") == "Stopped"
        wrong = _left_running(inside, found) if stopped else _started_otherwise(inside, found)
        passed = stopped and self._newest[meta["uid"]] != meta["generation"]
        if wrong is None or (wrong and passed):
            return None
        return Seen(f"{meta['namespace']}/{meta['name']}", meta["generation"], wrong)

    def _host(self, found: Object) -> Host | None:
        """Give the lab's host: most GameHosts have its name, and all its address."""
        hosts = dict(self.lab.hosts)
        named = hosts.get(found["spec"]["host"])
        if named is not None:
            return named
        address = found["status"].get("address", "").partition(":")[0]
        return next((host for host in hosts.values() if host.address == address), None)


def _started_otherwise(inside: Path, found: Object) -> str | None:
    """Say how the process differs from the spec; empty: not at all; None: it has ended."""
    services = found["status"].get("services", ())
    if not services or not services[0]["mainPID"]:
        return "it is called done, and the status names no process"
    process = inside / "proc" / str(services[0]["mainPID"])
    environment = _environment(process)
    # Some programs write their title over what they were started with; then there is no saying.
    if not all(name in environment for name in _IDENTITY):
        return None
    wanted = _wanted(found)
    wrong = [
        f"{name} is {environment.get(name)!r} and not {value!r}"
        for name, value in wanted.items()
        if environment.get(name) != value
    ]
    unit = _cgroup(process)
    if unit and unit != services[0]["unit"]:
        wrong.append(f"it belongs to {unit}")
    return "; ".join(wrong)


def _wanted(found: Object) -> dict[str, str]:
    spec = found["spec"]
    given = {port["name"]: str(port["port"]) for port in found["status"].get("ports", ())}
    asked = {port["name"]: str(port["port"]) for port in spec.get("ports", ()) if port.get("port")}
    return {
        **{each["name"]: each.get("value", "") for each in spec.get("env", ())},
        **{names.port_variable(name): number for name, number in {**given, **asked}.items()},
        **dict(zip(_IDENTITY, _identity(found), strict=True)),
    }


def _identity(found: Object) -> tuple[str, str]:
    return found["spec"]["guid"], found["spec"].get("instance_id", "default")


def _left_running(inside: Path, found: Object) -> str:
    """Say which processes of a stopped instance are there."""
    identity = _identity(found)
    left = [
        process.name
        for process in (inside / "proc").glob("[0-9]*")
        if tuple(_environment(process).get(name) for name in _IDENTITY) == identity
    ]
    return f"stopped, and {', '.join(left)} run" if left else ""


def _environment(process: Path) -> dict[str, str]:
    """Give the environment of a process; empty where it has ended."""
    try:
        text = (process / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(pair.partition("=")[::2] for pair in text.split("\0") if pair)


def _cgroup(process: Path) -> str:
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return ""
    return next((ln.rpartition("/")[2] for ln in lines if ln.endswith(".service")), "")
