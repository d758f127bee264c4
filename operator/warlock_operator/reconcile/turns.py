"""
Who decides next: one host in each round of the event loop.

An edit of a Game wakes every host that has it, and so does a start. Were they all to decide in
one round, nothing else would happen in those seconds: no Lease renewed, no ping sent, no probe
answered.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """A queue of those who want to decide; first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._calling = False

    async def mine(self) -> None:
        """Wait for a round of one's own: what is done until the next wait is all that is in it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        if not self._calling:
            self._call()
        await turn

    def _call(self) -> None:
        self._calling = False
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its task was cancelled
                turn.set_result(None)
                self._calling = True
                asyncio.get_running_loop().call_soon(self._call)
                return
