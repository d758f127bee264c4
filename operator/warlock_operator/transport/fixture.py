"""
Hosts in memory behind the same protocol as real ones: ``--transport=fixture``.

A :class:`~.machine.Machine` stands at each address and does what the agent on it would; there is
no canned answer. What a link says goes through the wire's own encoding, so what could not cross
the wire does not cross this one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from warlock_agent import PROTOCOL, wire
from warlock_agent.model import Authority, DesiredHost, ObservedHost
from warlock_agent.wire import Converge, Exchange, Exchanged, Fault, Frame, Hello, Report, State
from warlock_operator.errors import (
    AgentFailed,
    HostKeyMismatch,
    HostTimeout,
    HostUnreachable,
    OperatorError,
)
from warlock_operator.settings import Settings
from warlock_operator.transport.link import (
    HostLink,
    LinkCounters,
    LinkTarget,
    OnFrame,
    OnLost,
    Pushed,
    error_of,
)
from warlock_operator.transport.machine import AgentDied, Machine

_numbers = itertools.count(1)
F = TypeVar("F", bound=Frame)


class FixtureLinks:
    """
    A :class:`~.link.LinkFactory` over machines by address.

    machines: those that exist. make: builds the machine at an address that nobody has dialled
    yet; None: such an address does not answer.
    """

    def __init__(
        self, settings: Settings, make: Callable[[str], Machine] | None = lambda a: new_machine(a)
    ) -> None:
        self._settings = settings
        self._make = make
        self.machines: dict[str, Machine] = {}

    def connect(self, target: LinkTarget, on_frame: OnFrame, on_lost: OnLost) -> HostLink:
        """Make a link; it dials when it is opened."""
        return FixtureLink(target, self._settings, self.machine_at, on_frame, on_lost)

    async def answers(self, address: str, port: int) -> bool:
        """Whether a machine can be reached there."""
        with contextlib.suppress(HostUnreachable):
            return not self.machine_at(address).faults.unreachable
        return False

    def machine_at(self, address: str) -> Machine:
        """
        Give the machine at *address*.

        Raises:
            HostUnreachable: there is none.
        """
        if address not in self.machines:
            if self._make is None:
                raise HostUnreachable(f"no route to {address}", silent=True)
            self.machines[address] = self._make(address)
        return self.machines[address]


def new_machine(address: str) -> Machine:
    """Make the machine of an address: the same machine-id each time."""
    return Machine(hashlib.sha256(f"fixture/{address}".encode()).hexdigest()[:32])


class FixtureLink:
    """A :class:`~.link.HostLink` to a machine in memory."""

    def __init__(
        self,
        target: LinkTarget,
        settings: Settings,
        machine_at: Callable[[str], Machine],
        on_frame: OnFrame,
        on_lost: OnLost,
    ) -> None:
        self._target = target
        self._settings = settings
        self._machine_at = machine_at
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._number = next(_numbers)
        self._counters = LinkCounters()
        self._host_keys: tuple[str, ...] = ()
        self._machine: Machine | None = None
        self._sampler: asyncio.Task[None] | None = None
        self._over: OperatorError = HostUnreachable("the connection is not open")
        self._lost = asyncio.Event()
        self._turn = asyncio.Lock()
        self._frames = 0

    @property
    def counters(self) -> LinkCounters:
        """What the link has cost so far."""
        return self._counters

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The key that the machine shows."""
        return self._host_keys

    async def open(self) -> Hello:
        """Find the machine, compare its key, greet its agent."""
        machine = self._machine_at(self._target.address)
        if machine.faults.unreachable:
            raise HostUnreachable(f"no route to {self._target.address}", silent=True)
        self._host_keys = (self._key_of(machine),)
        await asyncio.sleep(machine.faults.slow_seconds)
        self._machine = machine
        hello = self._crossing(machine.hello(PROTOCOL))
        machine.attach(self._number, self._push, self._cut)
        self._sampler = asyncio.create_task(self._sample(machine))
        return hello

    async def converge(self, authority: Authority, desired: DesiredHost) -> Report:
        """One pass, by the agent's own planner."""
        asked = Converge(0, authority, desired)

        def answer(machine: Machine) -> Report | Fault:
            sent = self._crossing(asked)
            return machine.converge(sent.request, sent.authority, sent.desired)

        limit = self._settings.request_timeout_seconds
        return self._as(Report, await self._ask(answer, limit))

    async def observe(self) -> ObservedHost:
        """Look, touch nothing."""
        limit = self._settings.request_timeout_seconds
        state = await self._ask(lambda machine: State(0, machine.seen()), limit)
        return self._as(State, state).observed

    async def exchange(
        self, protocol: str, port: int, payload: bytes, timeout_seconds: float, answers: int = 1
    ) -> tuple[bytes, ...]:
        """Ask the game that is bound there."""

        def answer(machine: Machine) -> Exchanged:
            self._crossing(Exchange(0, protocol, port, base64.b64encode(payload).decode()))
            found = machine.exchange(protocol, port, payload)[:answers]
            return Exchanged(0, tuple(base64.b64encode(one).decode() for one in found))

        limit = self._settings.request_timeout_seconds
        exchanged = self._as(Exchanged, await self._ask(answer, limit))
        return tuple(base64.b64decode(one) for one in exchanged.payloads)

    async def close(self) -> None:
        """Let go of the machine."""
        self._end(HostUnreachable("the connection was closed"))

    # --- one request ------------------------------------------------------------------------

    async def _ask(
        self, answer: Callable[[Machine], Report | State | Exchanged | Fault], limit: float
    ) -> Frame:
        """Let the machine work on one request at a time, with its faults."""
        self._counters.requests += 1
        try:
            async with asyncio.timeout(limit), self._turn:
                frame = await self._answered(answer)
        except TimeoutError as error:
            raise HostTimeout(f"no answer from the agent within {limit:g} s") from error
        if isinstance(frame, Fault):
            raise error_of(frame)
        self._counters.round_trips += 1
        return frame

    async def _answered(
        self, answer: Callable[[Machine], Report | State | Exchanged | Fault]
    ) -> Frame:
        machine = self._machine
        if machine is None:
            raise self._over
        self._count(machine)
        await self._unless_lost(asyncio.sleep(machine.faults.slow_seconds))
        try:
            frame = answer(machine)
        except AgentDied as error:
            self._lose(AgentFailed(f"the agent ended by a signal {error}"))
            raise self._over from error
        except wire.WireError as error:
            raise AgentFailed(f"too much for one message to the host: {error}") from error
        self._count(machine)
        if machine.faults.silent:
            await self._unless_lost(asyncio.Event().wait())
        # Nobody waits from the look on: what changes after it must not be told before it.
        return self._crossing(frame)

    async def _unless_lost(self, wait: Awaitable[object]) -> None:
        """Wait, but not for longer than the link lives."""
        waiting = asyncio.ensure_future(wait)
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait((waiting, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            lost.cancel()
        if self._machine is None:
            raise self._over

    def _count(self, machine: Machine) -> None:
        """Count a frame in either direction; lose the link where that was asked for."""
        self._frames += 1
        faults = machine.faults
        if faults.unreachable or (
            faults.drop_after_frames is not None and self._frames > faults.drop_after_frames
        ):
            self._lose(HostUnreachable("the connection was lost"))
            raise self._over

    def _crossing(self, frame: F) -> F:
        """Give what is left of a frame on the other side."""
        line = wire.encode(frame)
        self._counters.bytes_sent += len(line) * isinstance(frame, wire.REQUESTS)
        self._counters.bytes_received += len(line) * (not isinstance(frame, wire.REQUESTS))
        self._counters.frames_received += not isinstance(frame, wire.REQUESTS)
        crossed = wire.decode(line)
        assert isinstance(crossed, type(frame))
        return crossed

    @staticmethod
    def _as(kind: type[F], frame: Frame) -> F:
        assert isinstance(frame, kind)
        return frame

    # --- what the machine says unasked --------------------------------------------------------

    def _push(self, frame: Pushed) -> None:
        machine = self._machine
        if machine is None or machine.faults.silent:
            return
        with contextlib.suppress(OperatorError):
            self._count(machine)
            # As on a real channel: it comes a moment after, never in the middle of what caused it.
            asyncio.get_running_loop().call_soon(self._deliver, self._crossing(frame))

    def _deliver(self, frame: Pushed) -> None:
        if self._machine is not None:
            self._on_frame(frame)

    def _cut(self) -> None:
        self._lose(HostUnreachable("the connection was lost"))

    async def _sample(self, machine: Machine) -> None:
        while self._machine is machine:
            await asyncio.sleep(self._settings.sample_seconds)
            self._push(machine.sample())

    def _lose(self, error: OperatorError) -> None:
        if self._machine is not None:
            self._end(error)
            asyncio.get_running_loop().call_soon(self._on_lost, error)

    def _end(self, error: OperatorError) -> None:
        if self._machine is not None:
            self._machine.detach(self._number)
        self._machine, self._over = None, error
        self._lost.set()
        if self._sampler is not None:
            self._sampler.cancel()

    def _key_of(self, machine: Machine) -> str:
        """Give the key that the machine shows, if it is one that we take."""
        pinned, shown = self._target.host_keys, machine.faults.host_key
        if pinned and shown and shown not in pinned:
            raise HostKeyMismatch(
                f"{self._target.address} shows {shown}, but pinned is {pinned[0]}"
            )
        blob = hashlib.sha256(machine.state.machine_id.encode()).digest()
        kind = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
        own = f"ssh-ed25519 {base64.b64encode(kind + blob).decode()}"
        return shown or (pinned[0] if pinned else own)
