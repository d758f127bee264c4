"""The other end of a D-Bus connection, scripted: what no real bus would do to us."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from warlock_agent import message
from warlock_agent.message import Message

OK = b"OK 0123456789abcdef\r\n"


class Peer:
    """What a script may do on its end."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._data = bytearray()

    def authenticate(self, answer: bytes = OK) -> bytes:
        """Await the client's lines up to BEGIN, then answer; give the lines."""
        while b"BEGIN\r\n" not in self._data:
            self._data += self._link.recv(65536)
        lines, _, rest = bytes(self._data).partition(b"BEGIN\r\n")
        self._data = bytearray(rest)
        self.send(answer)
        return lines

    def receive(self) -> Message:
        """Await one message."""
        while True:
            length = message.message_length(self._data)
            if length and len(self._data) >= length:
                received = message.decode(bytes(self._data[:length]))
                del self._data[:length]
                return received
            data = self._link.recv(65536)
            assert data, "the client hung up"
            self._data += data

    def send(self, data: bytes) -> None:
        self._link.sendall(data)

    def close(self) -> None:
        self._link.close()


@contextmanager
def peer(folder: Path, script: Callable[[Peer], None]) -> Iterator[str]:
    """Run *script* for the one client that connects; give the socket's path."""
    path = folder / "bus"
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(10)
    listener.bind(str(path))
    listener.listen()
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            link, _ = listener.accept()
            link.settimeout(10)
            with link:
                script(Peer(link))
        except BaseException as error:  # shown by the test, not lost with the thread
            failed.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield str(path)
    finally:
        thread.join(10)
        listener.close()
    assert not failed, failed
