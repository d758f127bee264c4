"""
What end-to-end tests do and see: objects through kubectl, and machines by what is on them.

Nothing here asks the operator; it is judged by the API and by the machines alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from demokit.kubectl import Kubectl
from labkit.host import Host
from warlock_agent import names

GUID = "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61"
SERVICE = "warlock-openarena"
API = "warlock.dev/v1alpha1"
POLL_SECONDS = 0.1

Object = dict[str, Any]
T = TypeVar("T")


def wait_for(
    fact: Callable[[], T], seconds: float, what: str, shows: Callable[[], object] | None = None
) -> T:
    """
    Give what *fact* gives once that is true.

    Args:
        what: said where it does not come to be.
        shows: what to print then, such as a status; by default what *fact* gave last.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = fact()
        if found:
            return found
        if time.monotonic() > deadline:
            last = shows() if shows else found
            text = last if isinstance(last, str) else json.dumps(last, indent=1, default=str)
            raise AssertionError(f"not within {seconds:g} s: {what}\n{text}")
        time.sleep(POLL_SECONDS)


def condition(found: Object, kind: str) -> Object:
    """Give the condition of that type; an empty one where it is not there."""
    return next(
        (each for each in found.get("status", {}).get("conditions", ()) if each["type"] == kind), {}
    )


def is_true(found: Object, kind: str) -> bool:
    """Whether the condition is True."""
    return bool(condition(found, kind).get("status") == "True")


def reason(found: Object, kind: str = "Ready") -> str:
    """Give the reason of the condition, empty where it is not there."""
    return str(condition(found, kind).get("reason", ""))


@dataclass
class Namespace:
    """A namespace of a test's own, and the instances in it."""

    name: str
    kubectl: Kubectl
    made: set[str] = field(default_factory=set)

    def instance(self, name: str, host: str = "game-a", **spec: Any) -> Object:
        """Apply a GameInstance of OpenArena, server-side; gives it as it is then."""
        spec = {"guid": GUID, "host": host, **spec}
        self.kubectl.apply(self.manifest(name, spec))
        self.made.add(name)
        return self.get(name)

    def manifest(self, name: str, spec: Mapping[str, Any]) -> Object:
        """Give a GameInstance in this namespace."""
        metadata = {"name": name, "namespace": self.name}
        return {"apiVersion": API, "kind": "GameInstance", "metadata": metadata, "spec": spec}

    def get(self, name: str) -> Object:
        """Give the object; empty where it is gone."""
        argv = ("get", "-o", "json", "--ignore-not-found", "-n", self.name, "gameinstance", name)
        text = self.kubectl(*argv)
        return json.loads(text) if text.strip() else {}

    def patch(self, name: str, patch: Object) -> None:
        """Merge *patch* into the object."""
        argv = ("-n", self.name, "patch", "gameinstance", name, "--type=merge")
        self.kubectl(*argv, "-p", json.dumps(patch))

    def annotate(self, name: str, **values: str | None) -> None:
        """Set ``warlock.dev/<key>`` annotations, ``_`` for ``-``; None takes one off."""
        keyed = {f"warlock.dev/{key.replace('_', '-')}": text for key, text in values.items()}
        self.patch(name, {"metadata": {"annotations": keyed}})

    def delete(self, name: str, *, wait_seconds: float = 60.0) -> None:
        """Delete the object, and return when it is gone; 0: at once."""
        self.kubectl("-n", self.name, "delete", "gameinstance", name, "--wait=false")
        if wait_seconds:
            self.wait(name, lambda found: not found, "it is gone", wait_seconds)

    def wait(
        self, name: str, fact: Callable[[Object], Any], what: str, seconds: float = 30.0
    ) -> Object:
        """Give the object once *fact* is true of it; prints its status where it never is."""
        last: Object = {}

        def look() -> bool:
            nonlocal last
            last = self.get(name)
            return bool(fact(last))

        wait_for(look, seconds, f"{name}: {what}", lambda: last.get("status", last))
        return last

    def wait_ready(self, name: str, seconds: float = 60.0) -> Object:
        """Give the object once it is Ready for its newest generation."""
        return self.wait(name, ready, "Ready", seconds)

    def wait_running(self, name: str, seconds: float = 60.0) -> Object:
        """Likewise, with a unit that runs."""
        return self.wait(name, lambda found: ready(found) and running(found), "Running", seconds)

    def wait_stalled(self, name: str, why: str, seconds: float = 30.0) -> Object:
        """Give the object once it is Stalled for that reason."""
        return self.wait(
            name, lambda found: is_true(found, "Stalled") and reason(found, "Stalled") == why,
            f"Stalled {why}", seconds,
        )  # fmt: skip

    def events(self, name: str) -> list[Object]:
        """Give the Events about the instance, oldest first."""
        found = self.kubectl.items("events.events.k8s.io", "-n", self.name)
        mine = [each for each in found if each.get("regarding", {}).get("name") == name]
        return sorted(mine, key=lambda each: str(each["metadata"]["creationTimestamp"]))


def ready(found: Object) -> bool:
    """Whether it is Ready, and that is said of its newest generation."""
    if not found:
        return False
    observed = found.get("status", {}).get("observedGeneration")
    return is_true(found, "Ready") and bool(observed == found["metadata"]["generation"])


def running(found: Object) -> bool:
    """Whether its state is Running."""
    return bool(found.get("status", {}).get("state") == "Running")


@dataclass(frozen=True)
class Machine:
    """A host of the lab, seen from inside."""

    host: Host

    @property
    def name(self) -> str:
        """The GameHost's name, too."""
        return self.host.name

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command as root; gives what it printed."""
        return self.host.run(list(argv), check=check).stdout

    def shell(self, script: str, *, check: bool = True) -> str:
        """Run a script as root; gives what it printed."""
        return self.run("sh", "-c", script, check=check)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Give properties of a unit, as ``systemctl show`` does."""
        said = self.run("systemctl", "show", f"--property={','.join(properties)}", unit)
        return dict(line.partition("=")[::2] for line in said.splitlines() if line)

    def main_pid(self, instance_id: str = "default", service: str = SERVICE) -> int:
        """Give the main process of an instance; 0: there is none."""
        return int(self.show(names.unit_name(service, instance_id), "MainPID")["MainPID"])

    def main_pids(self) -> dict[str, int]:
        """Give the main process of each of our units that is loaded."""
        listed = self.run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "warlock-*@*.service"
        )
        units = [line.split()[0] for line in listed.splitlines() if line.strip()]
        return {unit: int(self.show(unit, "MainPID")["MainPID"]) for unit in units}

    def exists(self, path: str) -> bool:
        """Whether something is at *path*, a dangling link included."""
        return self.host.run(["test", "-e", path, "-o", "-L", path], check=False).returncode == 0

    def read(self, path: str) -> str:
        """Give a file's content."""
        return self.run("cat", path)

    def managed(self) -> dict[str, str]:
        """Give digest, mode, owner and time of change of every file that the operator manages."""
        found: dict[str, str] = {}
        for line in self.shell(_MANAGED).splitlines():
            path, _, facts = line.partition("\t")
            found[path] = facts
        return found

    def environment(self, pid: int) -> dict[str, str]:
        """Give the environment of a process."""
        pairs = self.shell(f"tr '\\0' '\\n' < /proc/{pid}/environ").splitlines()
        return dict(pair.partition("=")[::2] for pair in pairs)

    def cgroup(self, pid: int) -> str:
        """Give the last part of the control groups of a process: its unit."""
        lines = self.read(f"/proc/{pid}/cgroup").splitlines()
        return next(line for line in lines if line.endswith(".service")).rpartition("/")[2]

    def bound(self, port: int, protocol: str = "UDP") -> set[int]:
        """Give the processes that a port is bound by."""
        flag = "-u" if protocol == "UDP" else "-tl"
        said = self.run("ss", "-Hanp", flag, f"sport = :{port}")
        return {int(part.split(",")[0]) for part in said.split("pid=")[1:]}


# Directories too: a file that is written again has another inode, one put back another time.
_MANAGED = r"""
find /var/lib/warlock /etc/warlock /etc/systemd/system -path /var/lib/warlock/agent -prune \
  -o -path /var/lib/warlock/ledger -prune -o \( -name '*warlock*' -o -name '*.app' \
  -o -name '*.env' -o -name '50-warlock.conf' \) \( -type f -o -type l \) -print | sort |
while read -r path; do
  if [ -L "$path" ]; then sum=$(readlink "$path"); else sum=$(sha256sum < "$path"); fi
  printf '%s\t%s %s\n' "$path" "$sum" "$(stat -c '%A %U:%G %i %Z' "$path")"
done
"""
