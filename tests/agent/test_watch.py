"""The watch on a scripted bus: news that come at an awkward moment are not left lying."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.agent.dbus_peer import Peer, peer
from warlock_agent import message
from warlock_agent.board import Board
from warlock_agent.marshal import marshal
from warlock_agent.message import RETURN, SIGNAL, Message
from warlock_agent.systemd import MANAGER, Systemd
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

    board, stop = Board(), threading.Event()
    board.slots = {UNIT: ()}
    told: list[UnitsChanged] = []
    with peer(tmp_path, script) as path:
        watch = Watch(board, told.append, stop, Pace(0.01), Systemd([path]))
        thread = threading.Thread(target=watch.run, daemon=True)
        thread.start()
        try:
            assert looked_again.wait(5)
        finally:
            stop.set()
            watch.wake()
            thread.join(10)
