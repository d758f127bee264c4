"""
Game queries through the host: a datagram, or a request over TCP, to a port of one of our instances.

For ports that the operator can't reach from outside. Nothing here waits: the sockets hang in the
selector of :mod:`serve`'s main loop, so a silent game delays nobody.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable, Optional

from . import wire

MAX_AT_ONCE = 256
MAX_ANSWER_BYTES = 1024 * 1024
MAX_TIMEOUT_MILLISECONDS = 30_000
QUIET_SECONDS = 0.1
"""An answer is taken as whole when nothing more came for so long; queries frame it themselves."""

Slot = tuple[str, int]


@dataclass
class _Open:
    """One query on its way. deadline: monotonic seconds."""

    request: wire.Exchange
    socket: socket.socket
    deadline: float
    unsent: bytes
    received: list[bytes] = field(default_factory=list)
    received_bytes: int = 0


class Exchanges:
    """All queries on their way, one selector."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        send: Callable[[wire.Answer], None],
        held: Callable[[], Mapping[Slot, str]],
    ) -> None:
        """held: address to ask by (protocol, number), for every port that the ledger lists."""
        self._selector = selector
        self._send = send
        self._held = held
        self._open: dict[int, _Open] = {}

    def begin(self, request: wire.Exchange) -> None:
        """Send the payload; the answer follows through *send*, a Fault where it can't be sent."""
        fault = self._begin(request)
        if fault is not None:
            self._send(fault)

    def expire(self) -> Optional[float]:
        """Answer what is due; give the seconds until the next is, None when nothing is open."""
        now = time.monotonic()
        for one in [one for one in self._open.values() if one.deadline <= now]:
            self._finish(one)
        if not self._open:
            return None
        return max(0.0, min(one.deadline for one in self._open.values()) - now)

    def close(self) -> None:
        """Drop everything; nobody is left to answer."""
        for one in list(self._open.values()):
            self._forget(one)

    # --- one query --------------------------------------------------------------

    def _begin(self, request: wire.Exchange) -> Optional[wire.Fault]:
        number = request.request
        try:
            payload = base64.b64decode(request.payload.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            return wire.Fault(number, "BadFrame", f"payload is not base64: {error}")
        if request.protocol not in ("UDP", "TCP"):
            return wire.Fault(number, "BadFrame", f"protocol {request.protocol!r}: UDP or TCP")
        address = self._held().get((request.protocol, request.port))
        if address is None:
            message = f"port {request.port}/{request.protocol} belongs to no instance of ours"
            return wire.Fault(number, "PortNotHeld", message)
        if len(self._open) >= MAX_AT_ONCE:
            message = f"{MAX_AT_ONCE} queries are on their way already"
            return wire.Fault(number, "TooManyExchanges", message)
        self._connect(request, payload, address)
        return None

    def _connect(self, request: wire.Exchange, payload: bytes, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_DGRAM if request.protocol == "UDP" else socket.SOCK_STREAM
        made = socket.socket(family, kind)
        made.setblocking(False)
        wait = min(max(request.timeout_milliseconds, 0), MAX_TIMEOUT_MILLISECONDS) / 1000
        one = _Open(request, made, time.monotonic() + wait, payload)
        self._open[made.fileno()] = one
        self._selector.register(
            made, selectors.EVENT_READ | selectors.EVENT_WRITE, self._ready_of(one)
        )
        if made.connect_ex((address, request.port)) not in (0, errno.EINPROGRESS):
            self._finish(one)

    def _ready_of(self, one: _Open) -> Callable[[int], None]:
        return lambda mask: self._ready(one, mask)

    def _ready(self, one: _Open, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._write(one)
            if mask & selectors.EVENT_READ:
                self._read(one)
        except BlockingIOError:
            return
        except OSError:  # refused, reset: what came until now is the answer
            self._finish(one)

    def _write(self, one: _Open) -> None:
        if one.unsent:
            sent = one.socket.send(one.unsent)
            one.unsent = one.unsent[sent:]
        if not one.unsent:
            self._selector.modify(one.socket, selectors.EVENT_READ, self._ready_of(one))

    def _read(self, one: _Open) -> None:
        data = one.socket.recv(65536)
        stream = one.request.protocol == "TCP"
        if stream and not data:
            self._finish(one)
            return
        one.received.append(data)
        one.received_bytes += len(data)
        wanted = max(one.request.answers, 1)
        enough = not stream and len(one.received) >= wanted
        if enough or one.received_bytes > MAX_ANSWER_BYTES:
            self._finish(one)
        else:
            one.deadline = min(one.deadline, time.monotonic() + QUIET_SECONDS)

    def _finish(self, one: _Open) -> None:
        if not self._forget(one):
            return
        pieces = [b"".join(one.received)] if one.request.protocol == "TCP" else one.received
        payloads = tuple(base64.b64encode(piece).decode("ascii") for piece in pieces if piece)
        self._send(wire.Exchanged(one.request.request, payloads))

    def _forget(self, one: _Open) -> bool:
        if self._open.pop(one.socket.fileno(), None) is None:
            return False
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(one.socket)
        one.socket.close()
        return True
