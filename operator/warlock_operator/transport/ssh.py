"""
Bytes over SSH: one connection a host, one channel in it. The only importer of asyncssh.

A host proves its key before anything of ours goes there. Nothing of the operator's own account is
used: no configuration file, known_hosts, agent, default key or password; what a GameHost says is
all there is. asyncssh's errors become ours here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import asyncssh

from warlock_operator.errors import (
    AgentFailed,
    AuthenticationFailed,
    HostKeyMismatch,
    HostUnreachable,
    InvalidObject,
    KeySecretMissing,
    OperatorError,
)
from warlock_operator.settings import Settings
from warlock_operator.transport import tcp
from warlock_operator.transport.link import HostLink, LinkTarget, OnFrame, OnLost
from warlock_operator.transport.lookup import Lookups
from warlock_operator.transport.remote import Receiver, RemoteLink
from warlock_operator.transport.zipapp import Archive, agent_archive

# What a key of a type can sign with; ssh-rsa itself would be SHA-1.
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_HOST_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    *_SIGNATURES["ssh-rsa"],
)
# Before what asyncssh offers anyway: its ChaCha20 costs five times as much a packet (22 and 4 us
# to seal and open 64 bytes), which is what a thousand quiet hosts consist of.
_CIPHERS = "^aes256-gcm@openssh.com,aes128-gcm@openssh.com"


class SshLinks:
    """A :class:`~.link.LinkFactory`; its links share limits on dialling and the agent's archive."""

    def __init__(self, settings: Settings, archive: Archive | None = None) -> None:
        """archive: another agent than the one that this operator was shipped with."""
        # asyncssh asks for the name of the local account, though it is told the remote one; a
        # container's user has none.
        os.environ.setdefault("LOGNAME", "warlock-operator")
        self._settings = settings
        self._archive = archive or agent_archive()
        self._lookups = Lookups()
        self._dialling = asyncio.Semaphore(settings.connects_in_flight)
        self._by_address: dict[tuple[str, int], tuple[asyncio.Semaphore, int]] = {}

    def connect(self, target: LinkTarget, on_frame: OnFrame, on_lost: OnLost) -> HostLink:
        """Make a link; it dials when it is opened."""
        return RemoteLink(target, self._settings, self._archive, self.dial, on_frame, on_lost)

    async def dial(self, target: LinkTarget) -> SshRemote:
        """
        Connect and log in.

        Raises:
            HostUnreachable, HostKeyMismatch, AuthenticationFailed, KeySecretMissing,
            InvalidObject: a pinned line is no key, or none is pinned and none may be trusted.
        """
        check = _HostKeyCheck(target)
        # bcrypt, which protects a key by its slowness, would hold up every host.
        key = await asyncio.to_thread(_private_key, target)
        async with self._turn((target.address, target.port)):
            # A host that answers nothing must not keep a place from one that does; one whose
            # sshd hangs still takes connections, but an SSH server speaks first.
            limit = self._settings.connect_timeout_seconds
            peer = await tcp.connected(self._lookups, target.address, target.port, limit)
            try:
                if not await tcp.speaks(peer, limit):
                    raise _no_answer(target, limit)
                async with self._dialling:
                    connection = await _connect(target, peer, check, key, limit)
            except BaseException:
                peer.close()
                raise
        return SshRemote(connection, check.seen, self._settings.close_timeout_seconds)

    async def answers(self, address: str, port: int) -> bool:
        """Whether something takes a TCP connection there, which is closed at once."""
        limit = self._settings.probe_timeout_seconds
        return await tcp.answers(self._lookups, address, port, limit)

    @contextlib.asynccontextmanager
    async def _turn(self, address: tuple[str, int]) -> AsyncIterator[None]:
        """Wait until few enough connections are being made to this address."""
        limit = self._settings.connects_per_address
        here, users = self._by_address.get(address, (asyncio.Semaphore(limit), 0))
        self._by_address[address] = (here, users + 1)
        try:
            async with here:
                yield
        finally:
            here, users = self._by_address.pop(address)
            if users > 1:
                self._by_address[address] = (here, users - 1)


class SshRemote:
    """A :class:`~.remote.Remote`: one connection that was made."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, host_key: str, close_seconds: float
    ) -> None:
        self._connection = connection
        self._host_key = host_key
        self._close_seconds = close_seconds
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    @property
    def host_key(self) -> str:
        """The host's key as a line to pin."""
        return self._host_key

    async def run(self, command: str, receiver: Receiver) -> None:
        """Run *command* in a channel of its own, without a terminal."""
        session = _Session(receiver)
        try:
            self._channel, _ = await self._connection.create_session(
                lambda: session, command, encoding=None, request_pty=False, env={}, send_env=None
            )
        except asyncssh.ChannelOpenError as error:
            raise AgentFailed(f"the host runs no command for us: {error.reason}") from error
        except Exception as error:  # asyncssh's, the system's, or any: see _connect
            raise HostUnreachable(f"the connection was lost: {error}") from error

    def write(self, data: bytes) -> None:
        """Hand bytes to the channel; they leave when they can."""
        if self._channel is None or self._channel.is_closing():
            raise HostUnreachable("the connection was lost")
        self._channel.write(data)

    def drop(self) -> None:
        """Cut the connection."""
        self._connection.abort()

    async def close(self) -> None:
        """Say goodbye, and drop the connection: what can't leave at once is not waited for."""
        self._connection.close()
        # Quick, since asyncssh aborts its transport; the limit makes it a promise of ours.
        try:
            async with asyncio.timeout(self._close_seconds):
                await self._connection.wait_closed()
        except (TimeoutError, OSError, asyncssh.Error):
            pass
        finally:
            self._connection.abort()


class _Session(asyncssh.SSHClientSession[bytes]):
    """What asyncssh tells of the channel, passed on."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._status: int | None = None

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is None:
            self._receiver.stdout(data)
        else:
            self._receiver.stderr(data)

    def exit_status_received(self, status: int) -> None:
        self._status = status

    def connection_lost(self, exc: Exception | None) -> None:
        error: OperatorError | None = None
        if exc is not None:
            error = HostUnreachable(f"the connection was lost: {exc}")
            error.__cause__ = exc
        self._receiver.ended(self._status, error)


# --- whose key we take ------------------------------------------------------------------------


class _HostKeyCheck:
    """Which host key is right. seen: the one that the host showed, as a line to pin."""

    def __init__(self, target: LinkTarget) -> None:
        self._target = target
        self._pinned = [_public_key(line) for line in target.host_keys]
        self._shown: asyncssh.SSHKey | None = None
        if not self._pinned and not target.trust_first_use:
            raise InvalidObject(
                "spec.ssh.hostKeys is empty: add what ssh-keyscan prints for this host, or say "
                "hostKeyPolicy: TrustOnFirstUse"
            )

    @property
    def seen(self) -> str:
        return _line(self._shown) if self._shown is not None else ""

    @property
    def algorithms(self) -> list[str]:
        """
        Signatures to ask for: those of the pinned keys first, so that the host shows the one
        that we know. The others let a host without it show what it has, for the message.
        """
        kinds = [key.get_algorithm() for key in self._pinned]
        wanted = [name for kind in kinds for name in _SIGNATURES.get(kind, (kind,))]
        return list(dict.fromkeys([*wanted, *_HOST_KEY_ALGORITHMS]))

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Decide; called in the middle of the key exchange, before anything of ours is sent."""
        self._shown = key
        return not self._pinned or any(key.public_data == one.public_data for one in self._pinned)

    def mismatch(self) -> HostKeyMismatch:
        """Say what was found, what was expected and what to do."""
        shown = _fingerprint(self._shown) if self._shown is not None else "no key"
        pinned = ", ".join(_fingerprint(key) for key in self._pinned)
        how = "trusted on first use" if self._target.trust_first_use else "pinned"
        return HostKeyMismatch(
            f"{self._target.address} port {self._target.port} shows {shown}, but {how} is "
            f"{pinned}; nothing was sent to it. If the machine has a new key, put it into "
            "spec.ssh.hostKeys; if not, something else answers at its address"
        )


def _public_key(line: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise InvalidObject(
            f"spec.ssh.hostKeys: {line[:60]!r} is no public key: {error}"
        ) from error


def _line(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode("ascii").split()[:2])


def _fingerprint(key: asyncssh.SSHKey) -> str:
    return f"{key.get_algorithm()} {key.get_fingerprint('sha256')}"


# --- connecting -------------------------------------------------------------------------------


def _private_key(target: LinkTarget) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(target.private_key, target.passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        # asyncssh's text is about the format alone, never of the key.
        raise KeySecretMissing(f"the Secret holds no usable private key: {error}") from error


async def _connect(
    target: LinkTarget,
    peer: socket.socket,
    check: _HostKeyCheck,
    key: asyncssh.SSHKey,
    limit_seconds: float,
) -> asyncssh.SSHClientConnection:
    """Exchange keys and log in over *peer*, which is the connection's from then on."""
    where = f"{target.address} port {target.port}"
    try:
        async with asyncio.timeout(limit_seconds):
            return await asyncssh.connect(
                target.address,
                target.port,
                sock=peer,
                options=_options(target, check, key, limit_seconds),
            )
    except asyncssh.HostKeyNotVerifiable as error:
        raise check.mismatch() from error
    except (asyncssh.PermissionDenied, asyncssh.IllegalUserName) as error:
        raise AuthenticationFailed(
            f"{where} refuses user {target.user} with key {_fingerprint(key)}: add its public "
            f"half to that user's authorized_keys, or correct spec.ssh"
        ) from error
    except TimeoutError as error:
        raise _no_answer(target, limit_seconds) from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise HostUnreachable(f"{where}: {why}") from error
    # asyncssh meets a stranger's bytes unprepared here and there: a banner that is not ASCII is
    # a UnicodeDecodeError. Whatever answers at an address must not end the operator.
    except Exception as error:
        why = error.reason if isinstance(error, asyncssh.Error) else str(error)
        raise HostUnreachable(
            f"{where} speaks no SSH that we do; is that the machine's sshd? ({why})"
        ) from error


def _no_answer(target: LinkTarget, limit_seconds: float) -> HostUnreachable:
    where = f"{target.address} port {target.port}"
    text = f"{where} takes a connection, and did not answer on it within {limit_seconds:g} s"
    return HostUnreachable(text)


def _options(
    target: LinkTarget, check: _HostKeyCheck, key: asyncssh.SSHKey, limit_seconds: float
) -> asyncssh.SSHClientConnectionOptions:
    class Client(asyncssh.SSHClient):
        def validate_host_public_key(
            self, host: str, addr: str, port: int, key: asyncssh.SSHKey
        ) -> bool:
            return check.accepts(key)

    return asyncssh.SSHClientConnectionOptions(
        client_factory=Client,
        config=None,
        # An empty value would mean the account's own known_hosts file; empty lists do not.
        known_hosts=([], [], []),
        server_host_key_algs=check.algorithms,
        x509_trusted_certs=None,
        x509_trusted_cert_paths=[],
        username=target.user,
        client_keys=[key],
        client_certs=[],
        preferred_auth="publickey",
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        agent_path=None,
        agent_forwarding=False,
        pkcs11_provider=None,
        compression_algs=None,
        encryption_algs=_CIPHERS,
        connect_timeout=limit_seconds,
        login_timeout=limit_seconds,
        keepalive_interval=0,
    )
