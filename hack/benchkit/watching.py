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
_PATH = (
    "/apis/warlock.dev/v1alpha1/gameinstances?watch=1&timeoutSeconds=86400"
    "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
)
_INITIAL_END = "k8s.io/initial-events-end"
_KEPT_EVENTS = 1000
_ATTEMPTS, _PAUSE_SECONDS = 300, 0.1


class Watch:
    """
    Remembers the newest of each object, by name; those that were deleted are left out.

    The API server ends the watch of who reads more slowly than a hundred objects change: then it is
    opened anew, and what was known stays until all that is there has come.

    history: each object of the last events, oldest first.
    """

    def __init__(self, kubectl: Kubectl) -> None:
        """Begin at once; what is there already comes first."""
        program, config = str(kubectl.program), f"--kubeconfig={kubectl.kubeconfig}"
        self._argv = [program, config, "get", "--raw", _PATH]
        self._changed = threading.Condition()
        self._objects: dict[str, Object] = {}
        self.history: deque[Object] = deque(maxlen=_KEPT_EVENTS)
        self._seen_at: float = time.monotonic()
        self._closed = threading.Event()
        self._ended = False
        self._process = self._open()
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
        with self._changed:
            self._closed.set()
            self._process.terminate()
        self._thread.join(10)
        self._process.wait(10)

    def _open(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._argv, stdout=subprocess.PIPE, env=clean_environment())

    def _read(self) -> None:
        for _ in range(_ATTEMPTS):
            self._follow()
            self._process.wait()
            if self._closed.wait(_PAUSE_SECONDS):
                break
            with self._changed:
                if not self._closed.is_set():
                    self._process = self._open()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _follow(self) -> None:
        """Take one watch's events until it ends."""
        assert self._process.stdout is not None
        objects: dict[str, Object] = {}
        for line in self._process.stdout:
            now = time.monotonic()
            event = json.loads(line)
            with self._changed:
                self._take(objects, event["type"], event["object"])
                if _is_initial_end(event):
                    self._objects = objects
                elif event["type"] == "BOOKMARK" or objects is not self._objects:
                    continue  # no news, or not yet to be seen
                self._seen_at = now
                self._changed.notify_all()

    def _take(self, objects: dict[str, Object], kind: str, found: Object) -> None:
        name = found.get("metadata", {}).get("name", "")
        if kind == "DELETED":
            objects.pop(name, None)
        elif kind in ("ADDED", "MODIFIED"):
            objects[name] = found
        else:
            return
        self.history.append(found)


def _is_initial_end(event: Object) -> bool:
    noted = event["object"].get("metadata", {}).get("annotations", {})
    return bool(event["type"] == "BOOKMARK" and noted.get(_INITIAL_END) == "true")


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
