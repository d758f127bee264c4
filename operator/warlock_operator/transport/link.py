"""
One live connection to one host, whatever carries it: SSH (:mod:`.ssh`) or memory (:mod:`.fixture`).

The worker of a host holds one link at a time. A link that was lost is not mended: the worker closes
it and asks its factory for the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from warlock_agent.model import Authority, DesiredHost, ObservedHost
from warlock_agent.names import AGENT_DIR
from warlock_agent.wire import Fault, Hello, OperationChanged, Report, Sample, UnitsChanged
from warlock_operator.errors import BY_REASON, AgentFailed, OperatorError

Pushed = UnitsChanged | OperationChanged | Sample | Fault
"""What a host says unasked. A Fault here has ``request`` 0: the agent could not say which."""

OnFrame = Callable[[Pushed], None]
OnLost = Callable[[OperatorError], None]


@dataclass(frozen=True)
class LinkTarget:
    """
    How to reach one host.

    host: the GameHost's name, for logs and messages. become: ``Sudo`` runs the agent through
    ``sudo -n``. host_keys: pinned lines, ``ssh-ed25519 AAAA…``; any of them is right.
    trust_first_use: with no pinned line at all, take the key that the host shows and say it in
    :attr:`HostLink.host_keys`; the caller keeps it and pins it from then on.
    agent_dir: where the agent's archives lie on the host.
    machine_ids: the machine that the host is known to be, and another that somebody has accepted
    in its place; empty: whichever answers. Not a way to reach it, so it makes no other target.
    """

    host: str
    address: str
    port: int = 22
    user: str = "root"
    become: Literal["None", "Sudo"] = "None"
    host_keys: tuple[str, ...] = ()
    trust_first_use: bool = False
    private_key: bytes = field(default=b"", repr=False)
    passphrase: str | None = field(default=None, repr=False)
    agent_dir: str = AGENT_DIR
    machine_ids: tuple[str, ...] = field(default=(), compare=False)


@dataclass
class LinkCounters:
    """
    What a link has cost so far.

    requests: sent, without pings. round_trips: requests that were answered.
    pushed_bytes: of the agent's archive; 0 where the host had it.
    """

    requests: int = 0
    round_trips: int = 0
    pings: int = 0
    frames_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    pushed_bytes: int = 0


class HostLink(Protocol):
    """
    One connection. :meth:`open` comes first and once; after a loss every request raises.

    Every method raises OperatorError alone: HostUnreachable, HostKeyMismatch,
    AuthenticationFailed, KeySecretMissing, PythonMissing, PythonTooOld, SudoDenied, AgentFailed,
    HostTimeout, or what the agent's Fault names (:func:`error_of`).
    """

    @property
    def counters(self) -> LinkCounters:
        """What the link has cost so far."""
        ...

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The key that the host has proved to hold, as a line to pin; empty before :meth:`open`."""
        ...

    async def open(self) -> Hello:
        """Connect, start the agent (putting it there where it is missing) and greet it."""
        ...

    async def converge(self, authority: Authority, desired: DesiredHost) -> Report:
        """Make the host so: one frame there, one back."""
        ...

    async def observe(self) -> ObservedHost:
        """Look, touch nothing."""
        ...

    async def exchange(
        self, protocol: str, port: int, payload: bytes, timeout_seconds: float, answers: int = 1
    ) -> tuple[bytes, ...]:
        """
        Send *payload* to a port of the host from the host itself.

        Args:
            protocol: ``UDP`` or ``TCP``.
            port: 1 to 65535.
            payload: one datagram, or what is written to the TCP connection.
            timeout_seconds: for all that comes back.
            answers: datagrams to wait for at most.

        Returns:
            What came back; empty when nothing did.
        """
        ...

    async def close(self) -> None:
        """End the connection within a bounded time; never raises, may be called twice."""
        ...


class LinkFactory(Protocol):
    """Makes links; holds what they share (settings, archive, limits on dialling)."""

    def connect(self, target: LinkTarget, on_frame: OnFrame, on_lost: OnLost) -> HostLink:
        """
        Make a link, without dialling yet.

        *on_frame* gets every frame that was not asked for, *on_lost* once the error that ended an
        open link; neither is called after :meth:`HostLink.close`. Both are called from the event
        loop and must not block.
        """
        ...

    async def answers(self, address: str, port: int) -> bool:
        """Whether something takes a TCP connection there, which is closed at once."""
        ...


def error_of(fault: Fault) -> OperatorError:
    """Turn an agent's Fault into the error of that name, or AgentFailed for a name unknown here."""
    error = BY_REASON.get(fault.reason)
    if error is None:
        return AgentFailed(f"{fault.reason}: {fault.message}")
    return error(fault.message)
