"""A TCP relay in front of a machine's sshd that delays, or cuts connections after so many bytes."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Queue
from typing import Self

from labkit import network
from tests.e2e.faults.stage import Stage

_CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Budget:
    """
    What the machine may send before the connection is cut, whichever ends first.

    pieces: as they come, so that the cut falls between two of sshd's packets, and an agent's frame
    is one of them or a few; bytes: so that it falls anywhere.
    """

    pieces: float = math.inf
    bytes: float = math.inf


ENDLESS = Budget()


class Relay:
    """
    Listens in the lab's network on an address of this machine.

    budgets: one a connection; when they are used up, connections live.
    """

    def __init__(
        self, stage: Stage, *, delay_seconds: float = 0.0, budgets: Sequence[Budget] = ()
    ) -> None:
        self.stage = stage
        self.budgets = deque(budgets)
        self._delay_seconds = delay_seconds
        self._target = (stage.machine.host.address, stage.machine.host.ssh_port)
        self._listener = socket.create_server((network.gateway(stage.lab.state.subnet), 0))
        self._open: set[socket.socket] = set()
        self._over = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self._listener.getsockname()[0])

    @property
    def port(self) -> int:
        """Likewise."""
        return int(self._listener.getsockname()[1])

    def start(self) -> Self:
        """Begin to take connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self) -> None:
        """End, with every connection."""
        self._over = True
        self._listener.close()
        for each in list(self._open):
            _end(each)

    def _accept(self) -> None:
        while not self._over:
            with contextlib.suppress(OSError):
                client, _ = self._listener.accept()
                self._open.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5.0)
        except OSError:
            _end(client)
            return
        server.settimeout(None)
        self._open.add(server)
        budget = self.budgets.popleft() if self.budgets else ENDLESS
        self._pump(client, server, ENDLESS)
        self._pump(server, client, budget)

    def _pump(self, source: socket.socket, sink: socket.socket, budget: Budget) -> None:
        held: Queue[tuple[float, bytes]] = Queue()
        threading.Thread(target=self._read, args=(source, held, budget), daemon=True).start()
        threading.Thread(target=self._write, args=(source, sink, held), daemon=True).start()

    def _read(
        self, source: socket.socket, held: Queue[tuple[float, bytes]], budget: Budget
    ) -> None:
        pieces, left = 0, budget.bytes
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                data = data if left >= len(data) else data[: int(left)]
                held.put((time.monotonic() + self._delay_seconds, data))
                pieces, left = pieces + 1, left - len(data)
                if left <= 0 or pieces >= budget.pieces:
                    break
        held.put((time.monotonic() + self._delay_seconds, b""))

    def _write(
        self, source: socket.socket, sink: socket.socket, held: Queue[tuple[float, bytes]]
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = held.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                sink.sendall(data)
        _end(source)
        _end(sink)


def _end(peer: socket.socket) -> None:
    with contextlib.suppress(OSError):
        peer.shutdown(socket.SHUT_RDWR)
    peer.close()
