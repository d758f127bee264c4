"""The watch on a scripted bus: news that come at an awkward moment are not left lying."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent.dbus_peer import Peer, peer
from warlock_agent import message
from warlock_agent.board import Board
from warlock_agent.marshal import Variant, marshal
from warlock_agent.message import RETURN, SIGNAL, Message
from warlock_agent.model import ObservedUnit
from warlock_agent.systemd import MANAGER, PROPERTIES, SERVICE, Systemd
from warlock_agent.systemd import UNIT as GENERAL
from warlock_agent.units import object_path
from warlock_agent.watch import Pace, Watch
from warlock_agent.wire import UnitsChanged

UNIT = "game@a.service"
NO_UNITS = ("a(ssssssouso)", [])


def answer(call: Message, signature: str = "", *values: object) -> bytes:
    body = marshal(signature, values)
    made = Message(RETURN, 1, body, reply_serial=call.serial, signature=signature)
    return message.encode(made)


def unit_new() -> bytes:
    body = marshal("so", (UNIT, "/u"))
    made = Message(SIGNAL, 1, body, path="/", interface=MANAGER, member="UnitNew", signature="so")
    return message.encode(made)


def changed(interface: str, **properties: Variant) -> bytes:
    body = marshal("sa{sv}as", (interface, properties, []))
    path, member, signature = object_path(UNIT), "PropertiesChanged", "sa{sv}as"
    made = Message(
        SIGNAL, 1, body, path=path, interface=PROPERTIES, member=member, signature=signature
    )
    return message.encode(made)


def state(active: str, sub: str) -> bytes:
    """What systemd sends of a service that was killed: what is the service's own, then the rest."""
    killed = {"Result": Variant("s", "signal"), "MainPID": Variant("u", 0)}
    code = {"ExecMainCode": Variant("i", 2), "ExecMainStatus": Variant("i", 9)}
    states = {"ActiveState": Variant("s", active), "SubState": Variant("s", sub)}
    return changed(SERVICE, **killed, **code) + changed(GENERAL, **states)


@contextmanager
def watching(path: str, pace: Pace, told: list[UnitsChanged]) -> Iterator[None]:
    board, stop = Board(), threading.Event()
    board.slots = {UNIT: ()}
    watch = Watch(board, told.append, stop, pace, Systemd([path]))
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        watch.wake()
        thread.join(10)


def test_a_signal_that_comes_along_with_an_answer_is_read_without_another(tmp_path: Path) -> None:
    looked_again = threading.Event()

    def script(far: Peer) -> None:
        far.authenticate()
        looks = 0
        while looks < 2:
            call = far.receive()
            if call.member == "ListUnitsByPatterns":
                looks += 1
                # The second look is caused by this signal, or by nothing.
                far.send((unit_new() if looks == 1 else b"") + answer(call, *NO_UNITS))
            elif call.member == "Hello":
                far.send(answer(call, "s", ":1.1"))
            else:
                far.send(answer(call))
                if call.member == "Subscribe":
                    far.send(unit_new())
        looked_again.set()

    with peer(tmp_path, script) as path, watching(path, Pace(0.01), []):
        assert looked_again.wait(5)


def test_a_process_that_is_started_anew_has_all_its_time_to_bind() -> None:
    board = Board()
    board.slots = {UNIT: (("UDP", 27960),)}
    watch = Watch(board, lambda frame: None, threading.Event(), Pace(bind_seconds=60))
    for pid in (7, 8, 8):  # the restart was quicker than a look
        board.told = {UNIT: ObservedUnit(UNIT, "active", main_pid=pid)}
        watch._await_sockets([UNIT])
    first, second = watch._binding[UNIT, 7], watch._binding[UNIT, 8]
    assert second > first
    assert len(watch._binding) == 2


@pytest.mark.parametrize("sub_state", ["auto-restart", "failed"])
def test_a_failure_is_told_once_with_what_systemd_makes_of_it(
    tmp_path: Path, sub_state: str
) -> None:
    told: list[UnitsChanged] = []

    def script(far: Peer) -> None:
        far.authenticate()
        while (call := far.receive()).member != "Subscribe":
            far.send(answer(call, "s", ":1.1"))
        far.send(answer(call))
        for _ in range(3):  # AddMatch
            far.send(answer(far.receive()))
        far.send(state("failed", "failed"))
        if sub_state != "failed":
            heard.wait(0.05)  # systemd takes 2 ms
            far.send(state("activating", sub_state))
        heard.wait(5)

    heard = threading.Event()
    # One that starts again is told when that is said, another when units are read.
    pace = Pace(coalesce_seconds=60 if sub_state == "auto-restart" else 0.1)
    with peer(tmp_path, script) as path, watching(path, pace, told):
        for _ in range(500):
            if told:
                break
            heard.wait(0.01)
        heard.set()
    assert [(u.sub_state, u.exit_code, u.exit_status) for t in told for u in t.units] == [
        (sub_state, "killed", 9)
    ]
