"""
The small part of D-Bus that systemd needs: one connection, pipelined calls, a queue of signals.

Synchronous, and usable from a ``selectors`` loop: :meth:`Connection.fileno` is readable when
:meth:`Connection.process` has something to do. Calls are sent at once and collected later, so a
batch costs one turn. Called by :mod:`systemd`.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

from .marshal import DBusProtocolError, marshal
from .message import CALL, ERROR, RETURN, SIGNAL, Message, decode, encode, message_length

SYSTEM_BUS = "/run/dbus/system_bus_socket"
PRIVATE_SYSTEMD = "/run/systemd/private"
MAX_QUEUED_SIGNALS = 20_000


class DBusError(Exception):
    """An error reply. name: ``org.freedesktop.systemd1.NoSuchUnit``; message: for people."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class DBusTimeout(Exception):
    """No answer within the time that the caller gave."""


class DBusDisconnected(Exception):
    """The other side hung up, or was never there; connect again."""


Reply = Union[tuple[Any, ...], DBusError]


class Connection:
    """
    One authenticated connection. Not for two threads at once.

    Raises, from every method that talks: DBusDisconnected, DBusProtocolError (the connection is
    closed then), DBusTimeout (it lives on; a late answer is dropped).
    """

    def __init__(self, path: str, timeout_seconds: float = 5.0) -> None:
        """Connect to the socket at *path* and authenticate as this process's user."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._in = bytearray()
        self._out = bytearray()
        self._serial = 0
        self._replies: dict[int, Message] = {}
        self._awaited: dict[int, bool] = {}
        self._signals: deque[Message] = deque()
        self._authenticated = False
        self.signals_lost = False
        self.name = ""
        deadline = time.monotonic() + timeout_seconds
        try:
            self._socket.settimeout(timeout_seconds)
            self._socket.connect(path)
            self._authenticate(deadline)
        except OSError as error:
            self.close()
            raise DBusDisconnected(f"{path}: {error.strerror or error}") from error
        except Exception:
            self.close()
            raise

    def _authenticate(self, deadline: float) -> None:
        """SASL EXTERNAL: the kernel says who we are. All of it is sent in one go."""
        uid = str(os.getuid()).encode().hex()
        self._socket.setblocking(False)
        self._out += b"\0AUTH EXTERNAL " + uid.encode() + b"\r\nBEGIN\r\n"
        while b"\r\n" not in self._in:
            if len(self._in) > 1024:
                raise DBusProtocolError("authentication: no line ends")
            self._exchange(deadline)
        line, _, rest = bytes(self._in).partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise DBusDisconnected(f"authentication refused: {line[:64]!r}")
        self._in = bytearray(rest)
        self._authenticated = True
        self._split()

    # --- for a selectors loop ---

    def fileno(self) -> int:
        """Give the descriptor to wait on; -1 once closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up; harmless when done twice."""
        self._socket.close()

    def process(self) -> None:
        """Take in what has arrived, without waiting."""
        self._exchange(0.0)

    @property
    def has_signals(self) -> bool:
        """Whether :meth:`take_signals` would give some."""
        return bool(self._signals)

    def take_signals(self) -> list[Message]:
        """Give the signals so far, oldest first, and forget them."""
        signals = list(self._signals)
        self._signals.clear()
        return signals

    # --- calls ---

    def send(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        arguments: Sequence[Any] = (),
    ) -> int:
        """Queue a call; :meth:`collect` its serial. Nothing leaves before the next exchange."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        body = marshal(signature, arguments)
        message = Message(
            CALL,
            self._serial,
            body,
            path=path,
            interface=interface,
            member=member,
            destination=destination,
            signature=signature,
        )
        self._out += encode(message)
        self._awaited[self._serial] = True
        return self._serial

    def collect(self, serials: Iterable[int], timeout_seconds: float) -> list[Reply]:
        """Give an answer a serial, in order; an error reply is a value here, not raised."""
        wanted = list(serials)
        deadline = time.monotonic() + timeout_seconds
        try:
            for serial in wanted:
                while serial not in self._replies:
                    self._exchange(deadline)
            return [self._answer(self._replies[serial]) for serial in wanted]
        finally:
            for serial in wanted:
                self._replies.pop(serial, None)
                self._awaited.pop(serial, None)

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        arguments: Sequence[Any] = (),
        timeout_seconds: float = 25.0,
    ) -> tuple[Any, ...]:
        """Call and wait. Raises: DBusError on an error reply."""
        serial = self.send(destination, path, interface, member, signature, arguments)
        (reply,) = self.collect([serial], timeout_seconds)
        if isinstance(reply, DBusError):
            raise reply
        return reply

    def wait_signal(self, deadline: float) -> None:
        """Wait for anything to arrive, until *deadline* (``time.monotonic``): DBusTimeout."""
        self._exchange(deadline)

    @staticmethod
    def _answer(message: Message) -> Reply:
        if message.kind != ERROR:
            return message.arguments()
        text = message.arguments()[0] if message.signature.startswith("s") else ""
        return DBusError(message.error_name, text)

    # --- bytes ---

    def _exchange(self, deadline: float) -> None:
        """
        Send what is queued and take in what arrives, once; wait for either until *deadline*.

        A deadline of 0.0 means: do not wait. Both directions at once, or two full buffers would
        wait for each other.
        """
        if self._socket.fileno() < 0:
            raise DBusDisconnected("connection is closed")
        try:
            if self._out:
                self._flush()
            if self._receive():
                return
            if deadline:
                self._wait(deadline)
                self._receive()
        except DBusTimeout:
            raise
        except OSError as error:
            self.close()
            raise DBusDisconnected(str(error.strerror or error)) from error
        except (DBusProtocolError, DBusDisconnected):
            self.close()
            raise

    def _wait(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DBusTimeout("no answer in time")
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
        if not poll.poll(remaining * 1000):
            raise DBusTimeout("no answer in time")
        if self._out:
            self._flush()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            return
        del self._out[:sent]

    def _receive(self) -> bool:
        """Read once; true when bytes came."""
        try:
            data = self._socket.recv(256 * 1024)
        except BlockingIOError:
            return False
        if not data:
            raise DBusDisconnected("the other side hung up")
        self._in += data
        if self._authenticated:  # before, it is a line of text
            self._split()
        return True

    def _split(self) -> None:
        """Cut whole messages off the input."""
        position = 0
        while True:
            length = message_length(self._in[position : position + 16])
            if length == 0 or position + length > len(self._in):
                break
            self._accept(decode(bytes(self._in[position : position + length])))
            position += length
        del self._in[:position]

    def _accept(self, message: Message) -> None:
        """Sort one message: replies that somebody waits for, signals; all else is dropped."""
        if message.kind in (RETURN, ERROR):
            if message.reply_serial in self._awaited:
                self._replies[message.reply_serial] = message
        elif message.kind == SIGNAL:
            if len(self._signals) >= MAX_QUEUED_SIGNALS:
                self._signals.clear()  # whoever reads them must look at everything anyway
                self.signals_lost = True
            self._signals.append(message)


def connect(paths: Optional[Sequence[str]] = None, timeout_seconds: float = 5.0) -> Connection:
    """
    Connect to systemd: its private socket when root, else or failing that the system bus.

    Raises:
        DBusDisconnected: none of them answers; says what each said.
    """
    if paths is None:
        paths = (PRIVATE_SYSTEMD, SYSTEM_BUS) if os.geteuid() == 0 else (SYSTEM_BUS,)
    said = []
    for path in paths:
        try:
            connection = Connection(path, timeout_seconds)
            if path != PRIVATE_SYSTEMD:
                _hello(connection, timeout_seconds)
            return connection
        except (DBusDisconnected, DBusTimeout, DBusProtocolError) as error:
            said.append(f"{path}: {error}")
    raise DBusDisconnected("; ".join(said))


def _hello(connection: Connection, timeout_seconds: float) -> None:
    """A bus gives each client a name before it lets it talk."""
    bus = "org.freedesktop.DBus"
    (connection.name,) = connection.call(
        bus, "/org/freedesktop/DBus", bus, "Hello", timeout_seconds=timeout_seconds
    )
