"""
The agent's life at the end of a channel: frames in, answers and news out, until nobody is there.

==============  =================================================================================
main thread     reads frames; answers Ping at once and Exchange as it comes; sees silence and EOF
pass            converges and observes, one request after the other
watch           systemd's signals (:mod:`watch`)
sample          counters (:mod:`sample`)
progress        installs (:mod:`progress`)
scores          security scores (:mod:`scores`)
==============  =================================================================================

The first frame is Hello; where the host can't be looked at it is a Fault that says why, and the
agent ends. When no frame comes for a while, on EOF and on SIGTERM it finishes its step and ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional, Union

from . import PROTOCOL, apply, operations, wire
from .board import Board
from .channel import Channel, ChannelClosed, TooLarge
from .converge import Pass
from .exchange import Exchanges, Slot
from .facts import facts
from .features import features
from .files import FileError, Tree
from .ledger import LedgerFile, LedgerUnreadable
from .observe import Observer, Senses
from .packages import Packages
from .progress import Progress
from .sample import Sampler
from .scores import Scores
from .sockets import WILDCARDS, SocketTable
from .systemd import Systemd
from .unit import UnitReader
from .users import Users
from .volatile import Volatile
from .watch import Pace, Watch

DRAIN_SECONDS = 5.0
"""How often an idle pass thread empties systemd's queue for its connection."""
MAX_WAITING = 64
END_SECONDS = 60.0
"""How long the step that a pass is at may take to finish when the agent ends."""


@dataclass(frozen=True)
class Options:
    """What the command line can set. sample_seconds: 0 for no samples."""

    silence_seconds: float = 30.0
    stall_seconds: float = 30.0
    sample_seconds: float = 15.0
    start_wait_seconds: float = apply.START_WAIT_SECONDS
    install_deadline_seconds: int = operations.DEADLINE_SECONDS
    coalesce_milliseconds: int = 20
    bind_wait_seconds: float = 120.0


class Agent:
    """All parts of an agent on this host."""

    def __init__(self, options: Options) -> None:
        """Touch nothing yet."""
        self.options = options
        self.stop = threading.Event()
        self.board = Board()
        self.scores = Scores(self.board, self.stop)
        self.systemd = Systemd()
        records = operations.Records()
        users = Users(Tree())
        ledger, volatile = LedgerFile(), Volatile()
        self.observer = Observer(
            Senses(
                systemd=self.systemd,
                ledger=ledger,
                volatile=volatile,
                units=UnitReader(self.systemd, score_of=self.scores.of),
                records=records,
                users=users,
                packages=Packages(Tree()),
                sockets=SocketTable(),
            )
        )
        hands = apply.Hands(
            systemd=self.systemd,
            ledger=ledger,
            volatile=volatile,
            installer=operations.Installer(records, options.install_deadline_seconds),
            users=users,
            start_wait_seconds=options.start_wait_seconds,
        )
        self.passes = Pass(self.observer, hands, self.board, self.stop)

    def hello(self) -> wire.Hello:
        """Say who we are and what this host is like."""
        observed = self.observer.look()
        return wire.Hello(
            PROTOCOL,
            archive_digest(),
            facts(self.systemd.version()),
            features(self.systemd),
            observed,
        )


def archive_digest() -> str:
    """Give the sha256 of the archive that we were started from; empty when run from source."""
    archive = operations.archive_path()
    if not archive:
        return ""
    import hashlib

    with open(archive, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Server:
    """One agent at one channel."""

    def __init__(self, agent: Agent, channel: Channel) -> None:
        """Nothing is read or sent before :meth:`run`."""
        self._agent = agent
        self._channel = channel
        self._options = agent.options
        self._stop = agent.stop
        self._reader = wire.FrameReader()
        self._requests: queue.Queue[Optional[Union[wire.Converge, wire.Observe]]] = queue.Queue(
            MAX_WAITING
        )
        self._selector = selectors.DefaultSelector()
        self._exchanges = Exchanges(self._selector, self._answer, self._held_ports)
        self._ledger = LedgerFile()
        self._sockets = SocketTable()
        self._heard_at = time.monotonic()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def run(self) -> int:
        """Serve until nobody is there; give the exit status."""
        self._heed_signals()
        try:
            if not self._say_hello():
                return 1
            threads = self._start_threads()
            self._heard_at = time.monotonic()
            self._listen()
            self._end(threads)
        except ChannelClosed:
            self._stop.set()
        return 0

    def _heed_signals(self) -> None:
        """
        Make each signal that ends us a byte in the pipe that wakes the main thread.

        A handler that set the event would do so within another one's hold on the event's lock: a
        login session that ends is sent SIGTERM and SIGHUP together, and the agent hung until it
        was killed, 90 s later, with the reboot of the whole machine waiting for it.
        """
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def _say_hello(self) -> bool:
        try:
            with self._agent.board.truth:
                hello = self._agent.hello()
                self._channel.send(hello)
                self._agent.board.host_told(hello.observed)
        except TooLarge:
            pass  # said
        except LedgerUnreadable as error:
            self._channel.send(wire.Fault(0, "LedgerUnreadable", str(error)))
        except apply.SYSTEMD_ERRORS as error:
            self._channel.send(wire.Fault(0, "SystemdUnreachable", str(error)))
        except (FileError, OSError) as error:
            self._channel.send(wire.Fault(0, "AgentFailed", str(error)))
        else:
            return True
        return False

    # --- threads ----------------------------------------------------------------

    def _start_threads(self) -> list[threading.Thread]:
        agent, options, send = self._agent, self._options, self._channel.send
        pace = Pace(options.coalesce_milliseconds / 1000, options.bind_wait_seconds)
        watch = Watch(agent.board, send, self._stop, pace, score_of=agent.scores.of)
        agent.scores.changed = watch.refresh
        progress = Progress(agent.board, send, self._stop, operations.Records())
        work: dict[str, Callable[[], None]] = {
            "pass": self._pass,
            "watch": watch.run,
            "progress": progress.run,
            "scores": agent.scores.run,
        }
        if options.sample_seconds > 0:
            work["sample"] = Sampler(agent.board, send, self._stop, options.sample_seconds).run
        self._wakers = (watch.wake, progress.wake, agent.scores.wake)
        threads = [
            threading.Thread(target=self._guarded, args=(name, run), name=name, daemon=True)
            for name, run in work.items()
        ]
        for thread in threads:
            thread.start()
        return threads

    def _guarded(self, name: str, run: Callable[[], None]) -> None:
        """Run a thread's work; when it fails the agent ends, and the operator starts a new one."""
        try:
            run()
        except (ChannelClosed, TooLarge):
            pass
        except Exception:
            _log(traceback.format_exc())
            last = traceback.format_exc().strip().splitlines()[-1]
            with contextlib.suppress(ChannelClosed):
                self._channel.send(wire.Fault(0, "AgentFailed", f"{name}: {last}"))
        finally:
            self._stop.set()
            self._wake()

    def _pass(self) -> None:
        while not self._stop.is_set():
            try:
                request = self._requests.get(timeout=DRAIN_SECONDS)
            except queue.Empty:
                with contextlib.suppress(*apply.SYSTEMD_ERRORS):
                    self._agent.observer.drain()
                continue
            try:
                if isinstance(request, wire.Converge):
                    self._agent.passes.converge(request, self._channel.send)
                elif isinstance(request, wire.Observe):
                    self._agent.passes.observe(request, self._channel.send)
            except apply.Interrupted:
                return

    def _end(self, threads: list[threading.Thread]) -> None:
        self._stop.set()
        self._exchanges.close()
        with contextlib.suppress(queue.Full):
            self._requests.put_nowait(None)
        for wake in self._wakers:
            wake()
        # The others only look and tell; what a pass is at must not be left half done.
        threads[0].join(END_SECONDS)

    # --- frames in --------------------------------------------------------------

    def _listen(self) -> None:
        self._selector.register(self._channel.read_fd, selectors.EVENT_READ, self._receive)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        while not self._stop.is_set():
            silent = self._heard_at + self._options.silence_seconds - time.monotonic()
            if silent <= 0:
                _log("no frame came for too long: the agent ends")
                return
            due = self._exchanges.expire()
            for key, mask in self._selector.select(silent if due is None else min(silent, due)):
                try:
                    key.data(mask)
                except EOFError:
                    return

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _woken(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if any(os.read(self._wake_read, 4096)):  # the number of a signal; our own are zeros
                self._stop.set()

    def _receive(self, _: int) -> None:
        try:
            data = self._channel.receive()
        except BlockingIOError:
            return
        self._heard_at = time.monotonic()
        for line in self._reader.feed(data):
            if isinstance(line, wire.WireError):
                self._channel.send(wire.Fault(0, "BadFrame", str(line)))
            else:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            frame = wire.decode(line)
        except wire.UnknownFrame as error:
            self._channel.send(wire.Fault(error.request, "UnknownRequest", str(error)))
        except wire.WireError as error:
            self._channel.send(wire.Fault(error.request, "BadFrame", str(error)))
        else:
            self._dispatch(frame)

    def _dispatch(self, frame: wire.Frame) -> None:
        if isinstance(frame, wire.Ping):
            self._channel.send(wire.Pong(frame.request))
        elif isinstance(frame, wire.Exchange):
            self._exchanges.begin(frame)
        elif isinstance(frame, (wire.Converge, wire.Observe)):
            try:
                self._requests.put_nowait(frame)
            except queue.Full:
                message = f"{MAX_WAITING} requests are waiting already"
                self._channel.send(wire.Fault(frame.request, "HostBusy", message))
        else:
            message = f"{type(frame).__name__} is no request"
            self._channel.send(wire.Fault(getattr(frame, "request", 0), "UnknownRequest", message))

    def _answer(self, frame: wire.Frame) -> None:
        with contextlib.suppress(TooLarge):  # said in its place
            self._channel.send(frame)

    def _held_ports(self) -> Mapping[Slot, str]:
        """Give the ports that the ledger lists, with the address to ask them at."""
        try:
            entries = self._ledger.read().instances
        except (LedgerUnreadable, OSError):
            return {}
        bound = {(s.protocol, s.port): s.address for s in self._sockets.read()}
        held = {(port.protocol, port.number) for entry in entries for port in entry.ports}
        return {slot: _reachable(bound.get(slot, "")) for slot in held}


def _reachable(address: str) -> str:
    """Give the address at which a socket that is bound to *address* can be asked from this host."""
    return "127.0.0.1" if not address or address in WILDCARDS else address


def _log(text: str) -> None:
    """Say something on standard error; sshd carries it to the operator's log."""
    with contextlib.suppress(OSError):
        os.write(2, f"warlock-agent: {text}\n".encode())


def serve(options: Options) -> int:
    """Serve at standard input and output; give the exit status."""
    channel = Channel.take_stdio(options.stall_seconds)
    return Server(Agent(options), channel).run()
