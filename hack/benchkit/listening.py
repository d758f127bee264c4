"""
Where the time between a signal and a written condition goes, seen from outside the operator.

A probe on the machine kills and hears systemd; a link of our own hears what the operator's link
hears; the API server's audit log says when a status came and when it was written.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchkit.channel import Channel
from benchkit.ways.agent import target_of
from demokit import account
from labkit.errors import LabError
from labkit.host import Host
from warlock_agent.names import AGENT_DIR
from warlock_agent.wire import UnitsChanged
from warlock_operator.settings import Settings
from warlock_operator.transport.link import HostLink, Pushed
from warlock_operator.transport.ssh import SshLinks
from warlock_operator.transport.zipapp import agent_archive

_PROBE = Path(__file__).parent / "ways/far/probe.py"
_WAIT_SECONDS = 10.0
_OPERATOR = f"system:serviceaccount:{account.NAMESPACE}:{account.NAME}"


class Probe:
    """Kills processes on a machine, and hears systemd's signals there."""

    def __init__(self, host: Host) -> None:
        archive = f"{AGENT_DIR}/{agent_archive().digest}.pyz"
        source = _PROBE.read_text().replace('ARCHIVE = ""', f'ARCHIVE = "{archive}"')
        host.run(["sh", "-c", "cat >/root/probe.py"], stdin=source)
        self._channel = Channel(host, "exec python3 -I -S /root/probe.py")
        if self._channel.line() != "ready":
            raise LabError(f"the probe on {host.name} does not run")

    def kill(self, pid: int, unit: str) -> tuple[float, float]:
        """Kill; give the moments of the kill and of systemd's first signal about *unit* then."""
        self._channel.send(f"{pid}\n".encode())
        while not (line := self._channel.line()).startswith("killed "):
            pass
        killed_at = float(line.split()[1])
        while not (line := self._channel.line()).startswith(f"signal {unit} "):
            pass
        return killed_at, float(line.split()[2])

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


class Listener:
    """A link beside the operator's, in a thread: says when news of a unit came."""

    def __init__(self, host: Host) -> None:
        self._news: queue.Queue[tuple[float, str, str]] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._link: HostLink = asyncio.run_coroutine_threadsafe(
            self._open(host), self._loop
        ).result(30)

    def heard(self, unit: str, after: float) -> float:
        """Give the moment at which news came that the unit does not run."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            at, name, state = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            if at >= after and name == unit and state != "active":
                return at

    def close(self) -> None:
        """Hang up."""
        asyncio.run_coroutine_threadsafe(self._link.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self, host: Host) -> HostLink:
        link = SshLinks(Settings()).connect(target_of(host), self._heard, lambda error: None)
        await link.open()
        return link

    def _heard(self, frame: Pushed) -> None:
        now = time.monotonic()
        if isinstance(frame, UnitsChanged):
            for unit in frame.units:
                self._news.put((now, unit.unit, unit.active_state))


class Audit:
    """The end of the API server's audit log."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open()
        self._stream.seek(0, 2)
        self._half = ""

    def first_write(self, name: str, after: float) -> tuple[float, float]:
        """
        Give when the operator's first status of an instance came, and when it was written.

        Moments of the monotonic clock. Raises: LabError where none is there soon.
        """
        offset = time.time() - time.monotonic()
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            for entry in self._entries():
                about = entry.get("objectRef", {})
                mine = entry["user"].get("username") == _OPERATOR
                if not mine or (about.get("name"), about.get("subresource")) != (name, "status"):
                    continue
                came = _moment(entry["requestReceivedTimestamp"]) - offset
                if came >= after:
                    return came, _moment(entry["stageTimestamp"]) - offset
            time.sleep(0.02)
        raise LabError(f"no status of {name} was written")

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Give what is new; a line that is still being written is left for the next time."""
        for line in self._stream:
            self._half += line
            if line.endswith("\n"):
                whole, self._half = self._half, ""
                yield json.loads(whole)

    def close(self) -> None:
        """Done."""
        self._stream.close()


def _moment(text: str) -> float:
    """Read a timestamp of the log: seconds of the wall clock."""
    return datetime.datetime.fromisoformat(text).timestamp()
