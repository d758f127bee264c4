"""Where a row plays: one machine, a neighbour on it that nothing may harm, and the arena."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demokit import account, overlay
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit.lab import Lab
from tests.e2e.conftest import game_host, make_namespace
from tests.e2e.faults.api import Api
from tests.e2e.world import (
    SERVICE,
    Machine,
    Namespace,
    Object,
    condition,
    is_true,
    ready,
    running,
    wait_for,
)
from warlock_agent import names

NEIGHBOUR, ARENA = "neighbour", "arena"
SAVE = "save.dat"
START_SECONDS = 60.0


@dataclass
class Stage:
    """One machine of the table. notes: what a row's acts leave for each other."""

    machine: Machine
    spare: Machine
    lab: Lab
    kubectl: Kubectl
    api: Api
    operator: Operator
    namespace: Namespace
    settings: dict[str, str]
    arena_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def set_up(
        cls,
        machine: Machine,
        spare: Machine,
        lab: Lab,
        kubectl: Kubectl,
        api: Api,
        operator: Operator,
        settings: dict[str, str],
    ) -> Stage:
        """Declare the machine and start both instances, each with something to lose."""
        namespace = make_namespace(kubectl)
        stage = cls(machine, spare, lab, kubectl, api, operator, namespace, settings)
        stage.declare()
        stage.namespace.instance(NEIGHBOUR, host=machine.name)
        stage.namespace.instance(ARENA, host=machine.name, instance_id=stage.arena_id)
        for name in (NEIGHBOUR, ARENA):
            found = stage.namespace.wait_running(name, START_SECONDS)
            machine.shell(f"echo 'never lost' > {found['status']['path']}/{SAVE}")
        return stage

    # --- names ------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The machine's and the GameHost's."""
        return self.machine.name

    @property
    def secret(self) -> str:
        """The Secret with the key to the machine."""
        return f"{self.name}-ssh"

    @property
    def units(self) -> tuple[str, str]:
        """The neighbour's unit and the arena's."""
        return names.unit_name(SERVICE, "default"), names.unit_name(SERVICE, self.arena_id)

    def start_operator(self, **more: str) -> None:
        """Start the operator, where it does not run, as it was started first; *more*: variables."""
        self.operator.start({**self.settings, **more})

    # --- objects ----------------------------------------------------------------

    def manifest(self, **spec: Any) -> Object:
        """Give the GameHost as it is meant to be; *spec* replaces fields."""
        made = game_host(self.machine)
        # Said though they are defaults: what an edit has added, leaving it out would not undo.
        made["spec"]["ssh"] |= {"port": 22, "become": "None"}
        made["spec"] |= spec
        return made

    def declare(self) -> None:
        """Apply the GameHost, and the Secret with the key to it."""
        secret = overlay.key_secret(self.machine.host, account.NAMESPACE)
        self.kubectl.apply(secret, self.manifest())

    def edit_host(self, **spec: Any) -> None:
        """Merge into the GameHost's spec; None takes a field off."""
        patch = json.dumps({"spec": spec})
        self.kubectl("patch", "gamehost", self.name, "--type=merge", "-p", patch)

    def restore_host(self) -> None:
        """Make the GameHost what it is meant to be."""
        self.kubectl.apply(self.manifest())

    def edit_arena(self) -> str:
        """Give the arena another name in the server list, which restarts it; gives the name."""
        fresh = uuid.uuid4().hex[:12]
        self.namespace.patch(ARENA, {"spec": {"env": [{"name": "SERVER_NAME", "value": fresh}]}})
        return fresh

    def get(self, about: str) -> Object:
        """Give the object that a :class:`~.row.Says` is about; empty where it is not there."""
        if about == "host":
            return self.api.host(self.name)
        if about.startswith("/"):
            return self.api.host(about[1:])
        return self.api.instance(self.namespace.name, about)

    def well(self) -> bool:
        """Whether the machine is served, and both instances run and are Ready."""
        instances = [self.get(name) for name in (NEIGHBOUR, ARENA)]
        return ready(self.get("host")) and all(ready(each) and running(each) for each in instances)

    # --- the machine ------------------------------------------------------------

    def agents(self) -> dict[int, str]:
        """Give the agents that serve on the machine: the digest that each was started from."""
        found: dict[int, str] = {}
        said = self.machine.shell("pgrep -a -f '[.]pyz serve' || true", check=False)
        for line in said.splitlines():
            pid, _, words = line.partition(" ")
            if "python" in words.split()[0]:
                found[int(pid)] = words.partition(".pyz")[0].rpartition("/")[2]
        return found

    def cut_sessions(self) -> None:
        """End every SSH session, and with it the agent, as a dying sshd would."""
        self.machine.shell("pgrep -f '^sshd: [a-z]+(@|$| )' | xargs -r kill -9", check=False)

    def shell(self, script: str) -> str:
        """Run a script on the machine as root, past its network."""
        return self.machine.shell(script)

    # --- waiting ----------------------------------------------------------------

    def until(self, fact: Callable[[], object], seconds: float, what: str) -> float:
        """Return when *fact* is true; gives the seconds that it took."""
        began = time.monotonic()
        wait_for(fact, seconds, f"{self.name}: {what}", self.picture)
        return time.monotonic() - began

    def picture(self) -> str:
        """Say what every condition says now, for the one who reads a failure."""
        lines: list[str] = []
        for about in ("host", NEIGHBOUR, ARENA):
            found = self.get(about)
            state = found.get("status", {}).get("state", "")
            lines.append(
                f"{about} {state} generation {found.get('metadata', {}).get('generation')}"
            )
            for each in found.get("status", {}).get("conditions", ()):
                told = f"{each['type']}={each['status']} {each['reason']}: {each['message']}"
                lines.append(f"    {told} (of {each.get('observedGeneration')})")
        return "\n".join(lines)

    def unharmed(self, about: str = ARENA) -> bool:
        """Whether the object is Ready for its newest generation."""
        return is_true(self.get(about), "Ready") and ready(self.get(about))

    def reason(self, about: str, kind: str = "Ready") -> str:
        """Give the reason of a condition."""
        return str(condition(self.get(about), kind).get("reason", ""))
