"""An SSH server in the test's process; it runs each command in a real login shell, as sshd does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

USER = "admin"


@dataclass
class Sshd:
    """
    One server. shell: argv that the command is appended to.

    offered: fingerprints of the client keys that were shown. commands: what was run.
    """

    home: Path
    host_keys: list[asyncssh.SSHKey]
    client_key: asyncssh.SSHKey
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    path: str = os.environ["PATH"]
    ciphers: tuple[str, ...] = ()
    port: int = 0
    offered: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    running: list[asyncio.subprocess.Process] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _acceptor: asyncssh.SSHAcceptor | None = None

    async def start(self) -> None:
        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=lambda: _Server(self),
            server_host_keys=self.host_keys,
            process_factory=self._run,
            encoding=None,
            gss_host=None,
            encryption_algs=self.ciphers,
        )
        self.port = self._acceptor.get_port()

    async def stop(self) -> None:
        """End the listener, its connections and whatever they still run."""
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        self.cut()
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Drop every connection without a word."""
        for connection in self.connections:
            connection.abort()
        self.connections.clear()

    def kill_agents(self) -> None:
        """Kill what the commands have become."""
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def wait_for_agents_to_end(self) -> None:
        async with asyncio.timeout(10):
            for process in self.running:
                await process.wait()

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert process.command is not None
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        self.commands.append(process.command)
        child = await asyncio.create_subprocess_exec(
            *self.shell,
            process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            # With SSH_CLIENT, and SHLVL unset, Debian's bash takes itself for one that sshd
            # started, and reads .bashrc.
            env={"HOME": str(self.home), "PATH": self.path, "SSH_CLIENT": "198.18.0.1 4711 22"},
            start_new_session=True,
        )
        self.running.append(child)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
        await asyncio.gather(
            _pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr)
        )
        status = await child.wait()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        if status < 0:
            process.exit_with_signal(signal.Signals(-status).name[3:])
        else:
            process.exit(status)


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _pump(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    while data := await source.read(65536):
        with contextlib.suppress(OSError, asyncssh.Error):
            sink.write(data)
            await sink.drain()


class _Server(asyncssh.SSHServer):
    def __init__(self, sshd: Sshd) -> None:
        self._sshd = sshd

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._sshd.connections.append(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._sshd.offered.append(key.get_fingerprint())
        return username == USER and key.public_data == self._sshd.client_key.public_data

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self._sshd.passwords.append(password)
        return False


class Cable:
    """A TCP relay before a server that can be pulled out: then nothing moves and nobody is told."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        # A small buffer, so that what a pulled cable holds back is seen by the one who sends it.
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._server = await asyncio.start_server(self._serve, sock=listener)
        self.port = self._server.sockets[0].getsockname()[1]

    def pull(self) -> None:
        self._plugged.clear()

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._move(source, sink))
            self._tasks.add(task)

    async def _move(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._plugged.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
