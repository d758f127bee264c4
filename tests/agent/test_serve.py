"""The channel and the agent's start, on this machine; the rest needs systemd and a host."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import warlock_agent
from tests.agent.agent_process import AgentProcess
from warlock_agent import wire
from warlock_agent.board import Board
from warlock_agent.channel import Channel, ChannelClosed, TooLarge
from warlock_agent.converge import Pass, Quiet
from warlock_agent.model import DesiredHost, ObservedHost, ObservedUnit, Retry
from warlock_operator.transport.zipapp import agent_archive

PONG = wire.Pong(1)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "agent.pyz"
    path.write_bytes(agent_archive().data)
    return path


def test_frames_of_many_threads_arrive_whole_though_the_pipe_is_full() -> None:
    read_fd, write_fd = os.pipe()
    channel = Channel(os.dup(read_fd), write_fd, stall_seconds=20)
    frame = wire.Fault(1, "X", "y" * 50_000)

    def talk() -> None:
        for _ in range(10):
            channel.send(frame)

    threads = [threading.Thread(target=talk) for _ in range(4)]
    for thread in threads:
        thread.start()
    reader, got = wire.FrameReader(), []
    deadline = time.monotonic() + 20
    while len(got) < 40 and time.monotonic() < deadline:
        try:
            got += [wire.decode(line) for line in reader.feed(channel.receive()) if line]  # type: ignore[arg-type]
        except BlockingIOError:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert got == [frame] * 40


def test_a_peer_that_reads_nothing_ends_the_channel_in_time() -> None:
    read_fd, write_fd = os.pipe()
    channel = Channel(read_fd, write_fd, stall_seconds=0.2)
    frame = wire.Fault(1, "X", "y" * 50_000)
    with pytest.raises(ChannelClosed, match="nothing was read"):
        [channel.send(frame) for _ in range(100)]  # more than any pipe holds
    with pytest.raises(ChannelClosed):
        channel.send(PONG)


def test_a_peer_that_is_gone_ends_the_channel() -> None:
    read_fd, write_fd = os.pipe()
    other_read, _ = os.pipe()
    channel = Channel(other_read, write_fd, stall_seconds=5)
    os.close(read_fd)
    with pytest.raises(ChannelClosed):
        channel.send(PONG)


def test_an_answer_that_is_too_large_becomes_a_fault_of_the_same_request() -> None:
    read_fd, write_fd = os.pipe()
    channel = Channel(read_fd, write_fd, stall_seconds=5)
    with pytest.raises(TooLarge, match="a frame of"):
        channel.send(wire.Exchanged(7, ("x" * (wire.MAX_FRAME_BYTES + 1),)))
    fault = wire.decode(channel.receive().rstrip(b"\n"))
    assert isinstance(fault, wire.Fault)
    assert (fault.request, fault.reason) == (7, "AgentFailed")


def test_what_was_too_large_to_be_sent_counts_as_not_said(tmp_path: Path) -> None:
    """Or the next answer would be "as before" about a host that nobody was told of."""
    board, observed = Board(), ObservedHost(machine_id="m")
    observer: Any = SimpleNamespace(look=lambda *_: observed)
    hands: Any = None
    one_pass = Pass(observer, hands, board, threading.Event())

    def refuse(frame: wire.Answer) -> None:
        raise TooLarge

    one_pass.observe(wire.Observe(1), refuse)
    assert not board.shortened(observed, remembers=True).as_before
    one_pass.observe(wire.Observe(2), lambda frame: None)
    assert board.shortened(observed, remembers=True).as_before


_STRAY = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from warlock_agent.channel import Channel
from warlock_agent.wire import Pong
channel = Channel.take_stdio(5)
print("a stray print", flush=True)
os.write(1, b"and a write")
subprocess.run(["sh", "-c", "echo from a child; cat"], check=True)
channel.send(Pong(1))
assert channel.receive() == b"for the agent"
"""


def test_neither_a_print_nor_a_child_puts_a_byte_on_the_channel_or_eats_one() -> None:
    source = Path(__file__).parents[2] / "operator"
    done = subprocess.run(
        [sys.executable, "-c", _STRAY, str(source)],
        input=b"for the agent",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, wire.encode(PONG)), done.stderr
    assert b"from a child" in done.stderr


SIGNALLED = """
import signal, sys, threading
sys.path.insert(0, sys.argv[1])
from warlock_agent.channel import Channel
from warlock_agent.serve import Agent, Options, Server
import os
agent = Agent(Options())
server = Server(agent, Channel(*os.pipe(), stall_seconds=1.0))
server._heed_signals()
with agent.stop._cond:  # as where a signal comes in the middle of stop.set()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGHUP)
server._listen()
print("ended by", "signal" if agent.stop.is_set() else "silence")
"""


def test_two_signals_at_once_end_it() -> None:
    """A session that ends sends SIGTERM and SIGHUP, one right after the other."""
    source = str(Path(warlock_agent.__file__).parents[1])
    argv = [sys.executable, "-c", SIGNALLED, source]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "ended by signal\n"


def test_where_the_host_cannot_be_looked_at_the_first_frame_says_why(archive: Path) -> None:
    if Path("/run/systemd/private").exists():
        pytest.fail("this machine runs systemd: run the agent's tests in a container without it")
    argv = [sys.executable, "-I", "-S", str(archive), "serve"]
    with AgentProcess(argv) as agent:
        fault = agent.wait_for(lambda _: True)
        assert isinstance(fault, wire.Fault)
        assert (fault.request, fault.reason) == (0, "SystemdUnreachable")
        assert agent.process.wait(10) == 1


def test_the_archive_names_itself_and_helps(archive: Path) -> None:
    argv = [sys.executable, "-I", "-S", str(archive)]
    said = subprocess.run([*argv, "version"], capture_output=True, check=True, timeout=30).stdout
    assert agent_archive().digest in said.decode()
    helped = subprocess.run([*argv, "--help"], capture_output=True, check=True, timeout=30).stdout
    for command in ("serve", "converge", "observe", "version", "install"):
        assert command in helped.decode()


def test_what_is_no_converge_frame_is_refused_by_hand(archive: Path) -> None:
    argv = [sys.executable, "-I", "-S", str(archive), "converge"]
    for given, words in ((b"", "not JSON"), (wire.encode(wire.Ping(1)), "got Ping")):
        done = subprocess.run(argv, input=given, capture_output=True, timeout=30, check=False)
        assert done.returncode == 2
        assert words in done.stderr.decode()


def test_the_board_gives_as_news_what_was_not_told() -> None:
    board = Board()
    a, b = ObservedUnit("a", "active"), ObservedUnit("b", "active")
    board.host_told(ObservedHost(units=(a,)))
    assert board.news((a, b)) == (b,)
    board.units_told((b,))
    assert board.news((a, b)) == ()
    assert board.news((ObservedUnit("a", "failed"),)) == (ObservedUnit("a", "failed"),)


def test_a_quiet_host_is_planned_once_and_one_that_waits_each_time() -> None:
    desired, quiet = DesiredHost("h", ("/srv",)), Quiet()
    first = quiet.plan(desired, ObservedHost(uptime_seconds=1))
    assert quiet.plan(DesiredHost("h", ("/srv",)), ObservedHost(uptime_seconds=2)) is first
    assert quiet.plan(DesiredHost("x", ("/srv",)), ObservedHost(uptime_seconds=2)) is not first
    waiting = ObservedHost(uptime_seconds=1, retries=(Retry("a", 1, 10),))
    assert quiet.plan(desired, waiting) is not quiet.plan(desired, waiting)
