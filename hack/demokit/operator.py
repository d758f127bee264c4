"""
The operator as a local process under exactly its ServiceAccount, kept running by a supervisor.

It is in a cgroup of its own below the lab's, so that it is found again, and ended, by that.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress

from demokit import account, supervisor
from demokit.kubectl import Kubectl
from labkit import paths
from labkit.cgroups import Group
from labkit.commands import clean_environment
from labkit.errors import LabError
from labkit.lab import Lab

_READY_SECONDS = 60.0
_END_SECONDS = supervisor.END_SECONDS + 5.0
_POLL_SECONDS = 0.05
# A lab has eight ports for itself; the control plane takes the first three.
_LAST_PORT = 7


class Operator:
    """One operator of a lab; *name* tells several of one lab apart. It need not run."""

    def __init__(self, lab: Lab, kubectl: Kubectl, name: str = "operator", number: int = 0) -> None:
        """number: 0 to 4, its own among the operators of one lab; makes the web port."""
        self.folder = lab.folder / name
        self.log = self.folder / supervisor.COMMAND_LOG
        self.supervisor_log = self.folder / supervisor.OWN_LOG
        self.kubeconfig = self.folder / "kubeconfig"
        self.web_port = lab.state.apiserver_port + _LAST_PORT - number
        self._kubectl = kubectl
        self._group = Group(lab.name, name)

    @property
    def running(self) -> bool:
        """Whether the supervisor, the operator, or both are there."""
        return self._group.alive()

    @property
    def pid(self) -> int:
        """The operator's process id; raises LabError between two runs."""
        try:
            return int((self.folder / supervisor.COMMAND_PID).read_text())
        except (FileNotFoundError, ValueError) as error:
            raise LabError(f"the operator does not run: see {self.log}") from error

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start supervisor and operator, unless they run; *settings*: WARLOCK_ variables."""
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        account.write_kubeconfig(self._kubectl, self.kubeconfig)
        environment = {
            **_without_settings(clean_environment()),
            "PYTHONPATH": str(paths.REPOSITORY / "operator"),
            "PYTHONUNBUFFERED": "1",
            "KUBECONFIG": str(self.kubeconfig),
            "WARLOCK_NAMESPACE": account.NAMESPACE,
            "WARLOCK_WEB_ADDRESS": "127.0.0.1",
            "WARLOCK_WEB_PORT": str(self.web_port),
            **(settings or {}),
        }
        python = str(paths.REPOSITORY / ".venv/bin/python")
        command = [python, "-P", "-m", "warlock_operator"]
        supervise = [str(paths.REPOSITORY / "hack/supervise"), "--folder", str(self.folder), "--"]
        self._group.remove()
        self._group.spawn([*supervise, *command], self.supervisor_log, environment)

    def wait_ready(self, limit_seconds: float = _READY_SECONDS) -> None:
        """Return when it leads and has seen every object; raises LabError where it does not."""
        self._until(self.ready, limit_seconds, "is not ready")

    def ready(self) -> bool:
        """Whether its readiness probe answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.web_port}/readyz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End the supervisor, and by it the operator, in good order; absent is fine."""
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int((self.folder / supervisor.OWN_PID).read_text())
            if pid in self._group.processes():
                os.kill(pid, signal.SIGTERM)
                with suppress(LabError):  # killed below
                    self._until(lambda: not self.running, _END_SECONDS, "does not end")
        self._group.kill()

    def kill(self) -> None:
        """Kill the operator without warning; the supervisor starts it again after a second."""
        os.kill(self.pid, signal.SIGKILL)

    def crash(self) -> None:
        """Kill the operator and its supervisor without warning; nobody starts it again."""
        self._group.kill()

    def pause(self) -> None:
        """Stop the operator in its tracks, as a machine without time for it would."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused operator go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """End the operator in good order and return when the next one is another process."""
        before = self.pid
        os.kill(before, signal.SIGTERM)
        self._until(lambda: self._is_other(before), _READY_SECONDS, "did not start again")

    def _is_other(self, before: int) -> bool:
        try:
            return self.pid != before
        except LabError:
            return False

    def _until(self, fact: Callable[[], bool], limit_seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + limit_seconds
        while not fact():
            if time.monotonic() > deadline:
                raise LabError(f"the operator {otherwise}: see {self.log}")
            time.sleep(_POLL_SECONDS)


def _without_settings(environment: dict[str, str]) -> dict[str, str]:
    """Leave out what the caller's shell has set for another operator."""
    return {key: value for key, value in environment.items() if not key.startswith("WARLOCK_")}
