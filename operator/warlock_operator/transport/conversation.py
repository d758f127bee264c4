"""
Requests, answers and pushed frames over one byte channel, and the proof that its far end lives.

Knows frames and time, nothing of SSH: :mod:`.ssh` gives it bytes and takes bytes from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from warlock_agent import PROTOCOL, wire
from warlock_agent.recall import Recall
from warlock_agent.wire import (
    Answer,
    Converge,
    Fault,
    Frame,
    FrameReader,
    Hello,
    Observe,
    Ping,
    Request,
    WireError,
)
from warlock_operator.errors import AgentFailed, HostTimeout, HostUnreachable, OperatorError
from warlock_operator.log import DETAIL, HOST
from warlock_operator.settings import Settings
from warlock_operator.transport.link import LinkCounters, OnFrame, OnLost, Pushed, error_of

log = logging.getLogger(__name__)

_ANSWERS = get_args(Answer)
_PUSHED = get_args(Pushed)


class Conversation:
    """
    One agent that has been started.

    Its end comes once, by :meth:`end`: every request that waits then raises, and later ones too.
    """

    def __init__(
        self,
        host: str,
        send: Callable[[bytes], None],
        settings: Settings,
        counters: LinkCounters,
        on_frame: OnFrame,
        on_lost: OnLost,
    ) -> None:
        """send: hands bytes to the channel without waiting. host: for logs."""
        self._host = host
        self._send = send
        self._settings = settings
        self._counters = counters
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._reader = FrameReader(settings.frame_bytes)
        self._recall = Recall()
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0
        self._heard = True
        self._over: OperatorError | None = None

    async def hello(self) -> Hello:
        """Wait for the agent's first frame."""
        return await self._hello

    async def ask(self, make: Callable[[int], Request], timeout_seconds: float) -> Answer:
        """
        Send the request that *make* builds for a number, and wait for its answer.

        Raises:
            HostTimeout: none came in time; the channel is as it was.
            OperatorError: what the agent's Fault named, or what ended the conversation.
        """
        if self._over is not None:
            raise self._over
        self._number += 1
        number = self._number
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            request = make(number)
            if isinstance(request, (Converge, Observe)):
                request = replace(request, remembers=self._recall.remembers)
            self._write(request)
            async with asyncio.timeout(timeout_seconds):
                got = await answer
        except TimeoutError as error:
            raise HostTimeout(f"no answer from the agent within {timeout_seconds:g} s") from error
        finally:
            del self._waiting[number]
        self._counters.round_trips += 1
        if isinstance(got, Fault):
            raise error_of(got)
        return got

    def receive(self, data: bytes) -> None:
        """Take bytes from the agent."""
        self._heard = True
        for line in self._reader.feed(data):
            if self._over is not None:
                return
            if isinstance(line, WireError):
                self._misread(line)
                continue
            try:
                self._take(self._recall.filled(wire.decode(line)))
            except WireError as error:
                self._misread(error)

    def end(self, error: OperatorError, *, tell: bool = True) -> None:
        """Let every wait raise *error*. tell: call on_lost, if the agent had said hello."""
        if self._over is not None:
            return
        self._over = error
        waiting = list(self._waiting.values())
        for answer in waiting:
            if not answer.done():
                answer.set_exception(error)
        greeted = self._hello.done()
        if not greeted:
            self._hello.set_exception(error)
            self._hello.exception()  # retrieved: nobody may be waiting for it
        if tell and greeted:
            self._on_lost(error)

    async def keep_alive(self) -> None:
        """
        Ping at every tick until the far end is silent for too long; then :meth:`end`.

        Silence is counted in ticks, not in seconds: an operator that was itself held up has bytes
        waiting that it has not looked at, and must not take them for silence.
        """
        tick, limit = self._settings.ping_seconds, self._settings.ping_timeout_seconds
        silent_seconds = 0.0
        while self._over is None:
            self._heard = False
            self._ping()
            await asyncio.sleep(tick)
            silent_seconds = 0.0 if self._heard else silent_seconds + tick
            if silent_seconds >= limit:
                message = f"nothing was heard from the host for {silent_seconds:g} s"
                self.end(HostUnreachable(message))

    def _ping(self) -> None:
        # Its answer is any byte that comes, so nobody waits for the Pong itself.
        self._counters.pings += 1
        with contextlib.suppress(OperatorError):
            self._write(Ping(0))

    def _write(self, frame: Request) -> None:
        try:
            data = wire.encode(frame)
        except WireError as error:
            raise AgentFailed(f"too much for one message to the host: {error}") from error
        self._counters.bytes_sent += len(data)
        self._counters.requests += not isinstance(frame, Ping)
        self._send(data)

    def _take(self, frame: Frame) -> None:
        self._counters.frames_received += 1
        if isinstance(frame, Hello):
            self._greet(frame)
            return
        number = getattr(frame, "request", 0)
        if number and isinstance(frame, _ANSWERS):
            self._settle(number, frame)
        elif isinstance(frame, Fault) and not self._hello.done():
            self.end(error_of(frame))  # it can't look at its host, says why, and ends
        elif isinstance(frame, _PUSHED):
            # In its turn: whoever waits for an answer that came before it is woken first, or news
            # would be overwritten by an older report of the same units.
            asyncio.get_running_loop().call_soon(self._push, frame)

    def _push(self, frame: Pushed) -> None:
        if self._over is None:
            self._on_frame(frame)

    def _greet(self, hello: Hello) -> None:
        if self._hello.done():
            return
        if hello.protocol != PROTOCOL:
            message = f"the agent speaks protocol {hello.protocol}, this operator {PROTOCOL}"
            self.end(AgentFailed(message))
        else:
            self._hello.set_result(hello)

    def _settle(self, number: int, answer: Answer) -> None:
        waiting = self._waiting.get(number)
        if waiting is None:  # its asker has given up
            log.debug("late answer dropped", extra={HOST: self._host})
        elif not waiting.done():
            waiting.set_result(answer)

    def _misread(self, error: WireError) -> None:
        """
        Fail the request that a line which is no frame was to answer; the channel lives on.

        A line that was dropped for its length names none, so then it is every one that waits.
        """
        log.warning("unreadable frame", extra={HOST: self._host, DETAIL: str(error)})
        self._recall.forget()
        failed = AgentFailed(f"the agent's answer can't be read: {error}")
        if not self._hello.done():
            self.end(failed)
        for number, waiting in list(self._waiting.items()):
            if error.request in (0, number) and not waiting.done():
                waiting.set_exception(failed)
