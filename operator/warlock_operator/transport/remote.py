"""
An agent at the end of a channel: start it, greet it, ask it. The whole of a link but its carrier.

The carrier (:mod:`.ssh`) is a :class:`Remote`: it runs one command and moves bytes.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from warlock_agent.model import Authority, DesiredHost, ObservedHost
from warlock_agent.wire import Converge, Exchange, Exchanged, Hello, Observe, Report, State
from warlock_operator.errors import AgentFailed, HostUnreachable, OperatorError
from warlock_operator.log import BYTES, DETAIL, DIGEST, HOST
from warlock_operator.settings import Settings
from warlock_operator.transport import loader
from warlock_operator.transport.conversation import Conversation
from warlock_operator.transport.link import LinkCounters, LinkTarget, OnFrame, OnLost
from warlock_operator.transport.zipapp import Archive

log = logging.getLogger(__name__)

T = TypeVar("T")

_STDERR_BYTES = 8 * 1024
_EXCHANGE_MARGIN_SECONDS = 5.0
"""The way there and back, and the queue in the agent, on top of what the game is given."""


class Receiver(Protocol):
    """Takes what a command says. Called from the event loop; must not block or raise."""

    def stdout(self, data: bytes) -> None:
        """Bytes of its standard output."""

    def stderr(self, data: bytes) -> None:
        """Bytes of its standard error."""

    def ended(self, status: int | None, error: OperatorError | None) -> None:
        """It ended, once. status: of its exit. error: the connection broke, not the command."""


class Remote(Protocol):
    """One connection to a host, proved and logged in."""

    @property
    def host_key(self) -> str:
        """The host's key as a line to pin."""
        ...

    async def run(self, command: str, receiver: Receiver) -> None:
        """Run *command*; once. Raises: OperatorError."""
        ...

    def write(self, data: bytes) -> None:
        """Hand bytes to its standard input without waiting. Raises: HostUnreachable."""
        ...

    def drop(self) -> None:
        """End command and connection at once, without a goodbye; never raises."""
        ...

    async def close(self) -> None:
        """End command and connection within a bounded time; never raises."""
        ...


Dial = Callable[[LinkTarget], Awaitable[Remote]]


class RemoteLink:
    """A :class:`~.link.HostLink` to an agent behind a Remote."""

    def __init__(
        self,
        target: LinkTarget,
        settings: Settings,
        archive: Archive,
        dial: Dial,
        on_frame: OnFrame,
        on_lost: OnLost,
    ) -> None:
        """dial: connects to the target; called once, by :meth:`open`."""
        self._target = target
        self._settings = settings
        self._archive = archive
        self._dial = dial
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._counters = LinkCounters()
        self._remote: Remote | None = None
        self._conversation: Conversation | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def counters(self) -> LinkCounters:
        """What the link has cost so far."""
        return self._counters

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The key that the host has proved to hold."""
        return (self._remote.host_key,) if self._remote is not None else ()

    async def open(self) -> Hello:
        """Connect, start the agent and greet it."""
        limit = self._settings.agent_start_timeout_seconds
        try:
            remote = self._remote = await self._dial(self._target)
            async with asyncio.timeout(limit):
                hello = await self._start(remote)
        except TimeoutError as error:
            await self.close()
            raise AgentFailed(f"the agent did not say hello within {limit:g} s") from error
        except BaseException:
            await self.close()
            raise
        return hello

    async def converge(self, authority: Authority, desired: DesiredHost) -> Report:
        """Make the host so."""
        lock_seconds = math.ceil(self._settings.host_lock_seconds)
        answer = await self._agent.ask(
            lambda number: Converge(number, authority, desired, lock_seconds),
            self._settings.request_timeout_seconds,
        )
        return _expect(answer, Report)

    async def observe(self) -> ObservedHost:
        """Look, touch nothing."""
        answer = await self._agent.ask(Observe, self._settings.request_timeout_seconds)
        return _expect(answer, State).observed

    async def exchange(
        self, protocol: str, port: int, payload: bytes, timeout_seconds: float, answers: int = 1
    ) -> tuple[bytes, ...]:
        """Send *payload* to a port of the host from the host itself."""
        encoded = base64.b64encode(payload).decode("ascii")
        wait = math.ceil(timeout_seconds * 1000)
        answer = await self._agent.ask(
            lambda number: Exchange(number, protocol, port, encoded, wait, answers),
            timeout_seconds + _EXCHANGE_MARGIN_SECONDS,
        )
        try:
            found = _expect(answer, Exchanged).payloads
            return tuple(base64.b64decode(one, validate=True) for one in found)
        except ValueError as error:
            raise AgentFailed(f"an exchanged payload is not base64: {error}") from error

    async def close(self) -> None:
        """End the connection; the agent ends with it."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self._conversation is not None:
            self._conversation.end(HostUnreachable("the connection was closed"), tell=False)
        if self._remote is not None:
            await self._remote.close()

    def _ended(self, error: OperatorError) -> None:
        """Let go of the connection too: it may be whole, and nobody can use it any more."""
        if self._remote is not None:
            self._remote.drop()
        self._on_lost(error)

    @property
    def _agent(self) -> Conversation:
        if self._conversation is None:
            raise HostUnreachable("the connection is not open")
        return self._conversation

    async def _start(self, remote: Remote) -> Hello:
        marker, sudo = secrets.token_hex(16), self._target.become == "Sudo"
        words = agent_words(self._settings)
        command = loader.command_line(
            marker,
            self._archive.digest,
            self._target.agent_dir,
            words,
            machine_ids=self._target.machine_ids,
            sudo=sudo,
        )
        conversation = self._conversation = Conversation(
            self._target.host,
            remote.write,
            self._settings,
            self._counters,
            self._on_frame,
            self._ended,
        )
        greeting = loader.Greeting(marker, self._settings.noise_bytes)
        starting = _Starting(self._target, greeting, conversation, self._counters)
        await remote.run(command, starting)
        await self._load(remote, starting)
        hello = await conversation.hello()
        self._keeper = asyncio.create_task(conversation.keep_alive())
        return hello

    async def _load(self, remote: Remote, starting: _Starting) -> None:
        """Hear the loader out, and give it the archive where it asks."""
        said = await starting.said()
        if said.word == "NEED":
            data = self._archive.data
            remote.write(f"{len(data)}\n".encode("ascii") + data)
            self._counters.bytes_sent += len(data)
            self._counters.pushed_bytes = len(data)
            extra = {HOST: self._target.host, DIGEST: self._archive.digest, BYTES: len(data)}
            log.info("agent pushed", extra=extra)
            said = await starting.said()
        if said.word != "START":
            raise loader.refused(said, self._target.machine_ids)


class _Starting:
    """The command's :class:`Receiver`: first the loader speaks, then the agent."""

    def __init__(
        self,
        target: LinkTarget,
        greeting: loader.Greeting,
        conversation: Conversation,
        counters: LinkCounters,
    ) -> None:
        self._target = target
        self._greeting = greeting
        self._conversation = conversation
        self._counters = counters
        self._said: asyncio.Queue[loader.Said | OperatorError] = asyncio.Queue()
        self._stderr = b""
        self._started = False
        self._broken = False

    async def said(self) -> loader.Said:
        """Wait for the loader's next line. Raises what ended it: OperatorError."""
        said = await self._said.get()
        if isinstance(said, OperatorError):
            raise said
        return said

    def stdout(self, data: bytes) -> None:
        self._counters.bytes_received += len(data)
        if self._started:
            self._conversation.receive(data)
        elif not self._broken:
            self._greet(data)

    def stderr(self, data: bytes) -> None:
        self._stderr = (self._stderr + data)[-_STDERR_BYTES:]

    def ended(self, status: int | None, error: OperatorError | None) -> None:
        self._greeting.ended()
        why = error or self._why(status)
        self._said.put_nowait(why)
        self._conversation.end(why)

    def _greet(self, data: bytes) -> None:
        try:
            for said in self._greeting.feed(data):
                self._started = said.word == "START"
                self._said.put_nowait(said)
        except OperatorError as error:
            self._broken = True
            self._said.put_nowait(error)
            return
        if self._started:
            self._log_noise()
            self._conversation.receive(self._greeting.rest)

    def _why(self, status: int | None) -> OperatorError:
        """Say why the command ended, from what it said last."""
        stderr = self._stderr.decode("utf-8", "replace")
        if self._started:
            how = "by a signal" if status is None else f"with status {status}"
            return AgentFailed(f"the agent ended {how}; it said {loader.tail(stderr) or 'nothing'}")
        noise = self._greeting.noise.decode("utf-8", "replace")
        sudo = self._target.become == "Sudo"
        return loader.not_started(status, stderr, noise, self._target.user, sudo)

    def _log_noise(self) -> None:
        noise = self._greeting.noise.decode("utf-8", "replace").strip()
        if noise:
            extra = {HOST: self._target.host, DETAIL: noise[:500]}
            log.debug("the login shell printed before the agent", extra=extra)


def agent_words(settings: Settings) -> tuple[str, ...]:
    """What the agent is told on its command line."""
    return (
        f"--silence-seconds={settings.agent_silence_seconds:g}",
        f"--sample-seconds={settings.sample_seconds:g}",
        f"--coalesce-milliseconds={math.ceil(settings.signal_coalesce_seconds * 1000)}",
        f"--install-deadline-seconds={math.ceil(settings.install_timeout_seconds)}",
    )


def _expect(answer: object, kind: type[T]) -> T:
    if not isinstance(answer, kind):
        raise AgentFailed(f"expected {kind.__name__}, the agent sent {type(answer).__name__}")
    return answer
