"""A running agent at the end of two pipes: send frames, await frames, each with a deadline."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from warlock_agent import wire

F = TypeVar("F")


class NoFrame(AssertionError):
    """What was awaited did not come in time."""


class AgentProcess:
    """One agent; a context manager that ends it."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdin
        assert self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)
        self._reader = wire.FrameReader()
        self._number = 0
        self.frames: list[wire.Frame] = []
        self.received_at: list[float] = []

    def __enter__(self) -> AgentProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> str:
        """End it; give what it wrote on standard error."""
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        said = self.process.stderr.read().decode()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        return said

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def send(self, frame: wire.Frame) -> None:
        self.send_bytes(wire.encode(frame))

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, frame: wire.Request, seconds: float = 60.0) -> wire.Answer:
        """Send a request and await its answer."""
        self.send(frame)
        answers = (wire.Report, wire.State, wire.Exchanged, wire.Pong, wire.Fault)

        def fits(got: wire.Frame) -> bool:
            return isinstance(got, answers) and got.request == frame.request

        found = self.wait_for(fits, seconds)
        assert isinstance(found, answers)
        return found

    def wait_for(
        self, fits: Callable[[wire.Frame], bool], seconds: float = 30.0, since: int = 0
    ) -> wire.Frame:
        """Give the first frame from number *since* on that fits."""
        deadline = time.monotonic() + seconds
        at = since
        while True:
            for frame in self.frames[at:]:
                if fits(frame):
                    return frame
            at = len(self.frames)
            if not self.receive(deadline):
                kinds = [type(frame).__name__ for frame in self.frames]
                raise NoFrame(f"not among {kinds}; process status {self.process.poll()}")

    def receive(self, deadline: float) -> bool:
        """Take in what comes next; False at the deadline or the end of the agent."""
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return False
        data = os.read(descriptor, 1024 * 1024)
        for line in self._reader.feed(data):
            assert isinstance(line, bytes), line
            self.frames.append(wire.decode(line))
            self.received_at.append(time.monotonic())
        return bool(data)
