"""A watch on all GameInstances: each event with the moment at which it came."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from demokit.kubectl import Kubectl
from labkit.commands import clean_environment
from labkit.errors import LabError

Object = dict[str, Any]
Fact = Callable[[Mapping[str, Object]], bool]
_PATH = "/apis/warlock.dev/v1alpha1/gameinstances?watch=1&timeoutSeconds=86400"
_KEPT_EVENTS = 1000


class Watch:
    """
    Remembers the newest of each object, by name; those that were deleted are left out.

    history: each object of the last events, oldest first.
    """

    def __init__(self, kubectl: Kubectl) -> None:
        """Begin at once; what is there already comes first."""
        program, config = str(kubectl.program), f"--kubeconfig={kubectl.kubeconfig}"
        argv = [program, config, "get", "--raw", _PATH]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=clean_environment())
        self._changed = threading.Condition()
        self._objects: dict[str, Object] = {}
        self.history: deque[Object] = deque(maxlen=_KEPT_EVENTS)
        self._seen_at: float = time.monotonic()
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, fact: Fact, seconds: float, what: str) -> float:
        """
        Give the moment (of the monotonic clock) at which the event came that made *fact* true.

        Raises:
            LabError: it never did, within so many seconds.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not fact(self._objects):
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    raise LabError(f"not within {seconds:g} s: {what}")
                self._changed.wait(left)
            return self._seen_at

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            now = time.monotonic()
            event = json.loads(line)
            with self._changed:
                self._take(event["type"], event["object"])
                self._seen_at = now
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, kind: str, found: Object) -> None:
        name = found.get("metadata", {}).get("name", "")
        self.history.append(found)
        if kind == "DELETED":
            self._objects.pop(name, None)
        elif name:
            self._objects[name] = found


def condition(found: Object, kind: str) -> str:
    """Give a condition's status; empty where it is not there."""
    conditions = found.get("status", {}).get("conditions", ())
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "")


def ready(found: Object) -> bool:
    """Whether it is Ready, and that is said of its newest generation."""
    observed = found.get("status", {}).get("observedGeneration")
    return condition(found, "Ready") == "True" and observed == found["metadata"]["generation"]


def service(found: Object) -> Object:
    """Give what the status says of the main service; empty where it says nothing."""
    services = found.get("status", {}).get("services") or [{}]
    first: Object = services[0]
    return first
