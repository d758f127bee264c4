"""
An SSH server for every machine of one process: one listener, and who is meant is the address.

It listens on the loopback device alone and there on every address, so that a thousand hosts have
addresses of their own in 127.0.0.0/8 without one of them being configured.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import asyncssh

from scalekit.agent import Agent, Tally, started
from warlock_operator.transport.machine import Machine

USER = "root"
_BACKLOG = 1024


async def listen(
    port: int,
    host_key: asyncssh.SSHKey,
    client_key: asyncssh.SSHKey,
    machine_at: Callable[[str], Machine],
    tally: Tally,
) -> asyncssh.SSHAcceptor:
    """Serve logins by *client_key* on the machines that *machine_at* gives for an address."""
    return await asyncssh.listen(
        sock=_socket(port),
        server_factory=lambda: _Login(client_key, machine_at, tally),
        server_host_keys=[host_key],
        encoding=None,
        gss_host=None,
        password_auth=False,
        kbdint_auth=False,
        allow_pty=False,
        compression_algs=None,
        keepalive_interval=0,
    )


def _socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    made.bind(("0.0.0.0", port))
    made.listen(_BACKLOG)
    made.setblocking(False)
    return made


class _Login(asyncssh.SSHServer):
    def __init__(
        self, client_key: asyncssh.SSHKey, machine_at: Callable[[str], Machine], tally: Tally
    ) -> None:
        self._client_key = client_key
        self._machine_at = machine_at
        self._tally = tally
        self._address = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._address = conn.get_extra_info("sockname")[0]

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.public_data == self._client_key.public_data

    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        return _Session(self._machine_at(self._address), self._tally)


class _Session(asyncssh.SSHServerSession[bytes]):
    """One channel with one command in it."""

    def __init__(self, machine: Machine, tally: Tally) -> None:
        self._machine = machine
        self._tally = tally
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._agent: Agent | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        begun = started(command)
        if begun is None:
            return False
        assert self._channel is not None
        self._agent = Agent(self._machine, begun, self._channel.write, self._tally)
        return True

    def session_started(self) -> None:
        if self._agent is not None:
            self._agent.start()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self._agent is not None:
            self._agent.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._agent is not None:
            self._agent.stop()
