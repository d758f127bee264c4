"""
What a login on a simulated machine runs: the loader's words, then the agent's own frames.

The machine is :mod:`warlock_operator.transport.machine`'s, which plans and simulates as the agent
does; here is only what the agent's ``serve`` would put around it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import random
import shlex
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from warlock_agent import PROTOCOL, wire
from warlock_agent.model import UnitSample
from warlock_agent.wire import Converge, Exchange, Exchanged, Fault, Frame, Observe, Ping, Pong
from warlock_operator.transport import loader
from warlock_operator.transport.machine import Machine

_numbers = itertools.count(1)
_USED = 0.05  # of a processor, by each unit of a machine in memory
_BREATH = 0.1  # of that, up and down
_BREATH_BYTES = 256 * 1024


@dataclass
class Tally:
    """
    What agents did since the last reset, of all machines of one process.

    frames: requests that came and frames that went, by class. greeted: agents started.
    answered: of those, how many have answered their first Converge; answered_at: when the last
    of them did, of the monotonic clock. pushed_bytes: of archives.
    """

    frames: Counter[str] = field(default_factory=Counter)
    greeted: int = 0
    answered: int = 0
    answered_at: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True)
class Started:
    """What a command line of the loader asks for."""

    marker: str
    digest: str
    sample_seconds: float


def started(command: str) -> Started | None:
    """Read a command as a host's shell and our loader would; None: it is none of the loader's."""
    words = shlex.split(command)
    if words[:1] == ["sudo"]:
        words = words[2:]
    if words[:4] != ["python3", "-I", "-S", "-c"] or words[4:5] != [loader.LOADER]:
        return None
    marker, digest, _, *rest = words[5:]
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample-seconds", type=float, default=15.0)
    options, _ = parser.parse_known_args(rest)
    return Started(marker, digest, options.sample_seconds)


class Agent:
    """One agent at one channel; everything happens in the event loop, so in order."""

    def __init__(
        self, machine: Machine, begun: Started, send: Callable[[bytes], None], tally: Tally
    ) -> None:
        self._machine = machine
        self._begun = begun
        self._send = send
        self._tally = tally
        self._number = next(_numbers)
        self._reader = wire.FrameReader()
        self._answered = False
        self._random = random.Random(self._number)
        self._sampling: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Say what the loader says where the archive is there already, then hello."""
        self._tally.greeted += 1
        self._send(f"warlock-{self._begun.marker}:START\n".encode("ascii"))
        hello = self._machine.hello(PROTOCOL)
        self._say(replace(hello, digest=self._begun.digest))
        self._machine.attach(self._number, self._say, self.stop)
        self._sample_later()

    def stop(self) -> None:
        """Nobody listens any more."""
        self._machine.detach(self._number)
        if self._sampling is not None:
            self._sampling.cancel()

    def receive(self, data: bytes) -> None:
        """Take bytes of the operator."""
        self._tally.bytes_in += len(data)
        for line in self._reader.feed(data):
            if isinstance(line, wire.WireError):
                self._say(Fault(0, "BadFrame", str(line)))
            else:
                self._take(wire.decode(line))

    def _take(self, frame: Frame) -> None:
        self._tally.frames[type(frame).__name__] += 1
        machine = self._machine
        if isinstance(frame, Ping):
            self._say(Pong(frame.request))
        elif isinstance(frame, Converge):
            self._say(machine.converge(frame.request, frame.authority, frame.desired))
            self._note_answer()
        elif isinstance(frame, Observe):
            self._say(wire.State(frame.request, machine.seen()))
        elif isinstance(frame, Exchange):
            payload = base64.b64decode(frame.payload)
            found = machine.exchange(frame.protocol, frame.port, payload)[: frame.answers]
            encoded = tuple(base64.b64encode(one).decode("ascii") for one in found)
            self._say(Exchanged(frame.request, encoded))

    def _note_answer(self) -> None:
        if not self._answered:
            self._answered = True
            self._tally.answered += 1
            self._tally.answered_at = time.monotonic()

    def _say(self, frame: Frame) -> None:
        data = wire.encode(frame)
        self._tally.frames[type(frame).__name__] += 1
        self._tally.bytes_out += len(data)
        self._send(data)

    def _varied(self, unit: UnitSample) -> UnitSample:
        """Let a game breathe: no two samples of a real one are the same, though none is news."""
        most_usec = int(self._begun.sample_seconds * 1e6 * _USED * _BREATH)
        breath = self._random.randrange(_BREATH_BYTES)
        return replace(
            unit,
            cpu_usec=unit.cpu_usec + self._random.randint(0, most_usec),
            memory_bytes=unit.memory_bytes + breath,
        )

    def _sample_later(self) -> None:
        if self._begun.sample_seconds > 0:
            loop = asyncio.get_running_loop()
            self._sampling = loop.call_later(self._begun.sample_seconds, self._sample)

    def _sample(self) -> None:
        sample = self._machine.sample()
        if sample.units:
            varied = (self._varied(unit) for unit in sample.units)
            self._say(replace(sample, units=tuple(varied)))
        self._sample_later()
