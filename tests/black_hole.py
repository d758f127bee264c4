"""An address that swallows connections, as one does whose machine or firewall drops packets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def black_hole(address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """
    Give a listening socket that takes nobody: its queue is full, so every SYN is dropped.

    Args:
        address: where it listens; ``0.0.0.0`` makes a black hole of every 127.x.y.z.
    """
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server((address, 0), backlog=0))
        for _ in range(2):  # one is queued, one stands before the queue
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening
