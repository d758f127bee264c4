"""News that a host sends after an answer is taken after that answer, however the bytes arrive."""

from __future__ import annotations

import asyncio

from warlock_agent import wire
from warlock_agent.model import ObservedHost, ObservedUnit
from warlock_operator.settings import Settings
from warlock_operator.transport.conversation import Conversation
from warlock_operator.transport.link import LinkCounters


async def test_news_in_one_read_with_the_report_before_it_comes_second() -> None:
    taken: list[str] = []
    conversation = Conversation(
        "host-a",
        lambda data: None,
        Settings(),
        LinkCounters(),
        lambda frame: taken.append(type(frame).__name__),
        lambda error: taken.append(type(error).__name__),
    )

    async def ask() -> None:
        answer = await conversation.ask(wire.Observe, 10.0)
        taken.append(type(answer).__name__)

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)  # it has sent its request, number 1
    unit = ObservedUnit("game@default.service", "active", ports=(("UDP", 27960),))
    frames = (wire.State(1, ObservedHost()), wire.UnitsChanged((unit,)))
    conversation.receive(b"".join(map(wire.encode, frames)))
    await asking
    await asyncio.sleep(0)
    assert taken == ["State", "UnitsChanged"]
