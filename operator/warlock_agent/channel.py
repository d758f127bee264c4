"""
The agent's end of the channel: frames out, whole and one at a time; bytes in.

The channel's descriptors are moved aside, so that neither a child nor a stray print can put a
byte between two frames, or eat one. Called by :mod:`serve` and :mod:`__main__`.
"""

from __future__ import annotations

import os
import select
import threading
import time

from .wire import Fault, Frame, WireError, encode

CHUNK_BYTES = 64 * 1024


class ChannelClosed(Exception):
    """The other side is gone, or has not read for too long."""


class TooLarge(Exception):
    """A frame was not sent, and the Fault that says so was, in its place."""


class Channel:
    """One channel; :meth:`send` may be called from any thread."""

    def __init__(self, read_fd: int, write_fd: int, stall_seconds: float) -> None:
        """stall_seconds: how long the other side may leave a full pipe unread."""
        self.read_fd = read_fd
        self._write_fd = write_fd
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._closed = False
        # One that reads slowly must not hold a thread for ever.
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    @classmethod
    def take_stdio(cls, stall_seconds: float) -> Channel:
        """Make standard input and output the channel, and give children nothing of it."""
        read_fd, write_fd = os.dup(0), os.dup(1)  # duplicates are not inherited
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        return cls(read_fd, write_fd, stall_seconds)

    def send(self, frame: Frame) -> None:
        """
        Write *frame*; what is too large becomes a Fault of the same request.

        Raises:
            TooLarge: it did; whoever notes what was told must not note this.
            ChannelClosed: it may have been written in part; nothing can be sent any more.
        """
        try:
            data = encode(frame)
        except WireError as error:
            number = getattr(frame, "request", 0)
            text = f"{type(frame).__name__}: {error}"
            self.send_line(encode(Fault(number, "AgentFailed", text)))
            raise TooLarge(text) from error
        self.send_line(data)

    def send_line(self, data: bytes) -> None:
        """Write one encoded frame. Raises: ChannelClosed."""
        with self._lock:
            if self._closed:
                raise ChannelClosed("the channel is closed")
            try:
                self._write(memoryview(data))
            except (OSError, ChannelClosed) as error:
                self._closed = True
                raise ChannelClosed(str(error)) from error

    def receive(self) -> bytes:
        """
        Read what is there; call it when the descriptor is readable.

        Raises:
            EOFError: the other side has closed it.
            BlockingIOError: nothing is there.
        """
        data = os.read(self.read_fd, 256 * 1024)
        if not data:
            raise EOFError("the channel was closed")
        return data

    def _write(self, data: memoryview) -> None:
        poll = select.poll()
        poll.register(self._write_fd, select.POLLOUT)
        deadline = time.monotonic() + self._stall_seconds
        while data:
            try:
                written = os.write(self._write_fd, data[:CHUNK_BYTES])
                data = data[written:]
                deadline = time.monotonic() + self._stall_seconds
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChannelClosed(f"nothing was read for {self._stall_seconds:g} s") from None
                poll.poll(left * 1000)
