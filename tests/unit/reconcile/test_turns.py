"""One host decides in each round of the event loop."""

from __future__ import annotations

import asyncio

from warlock_operator.reconcile.turns import Turns


async def test_one_decides_a_round_however_many_wait() -> None:
    turns, rounds, decided = Turns(), 0, list[tuple[int, int]]()
    done = asyncio.Event()

    async def decide(number: int) -> None:
        await turns.mine()
        decided.append((rounds, number))

    async def count() -> None:
        nonlocal rounds
        while not done.is_set():
            rounds += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(decide(number) for number in range(50)))
    done.set()
    await counting
    assert [number for _, number in decided] == list(range(50))
    assert len({when for when, _ in decided}) == 50


async def test_a_cancelled_one_holds_nobody_up() -> None:
    turns = Turns()
    tasks = [asyncio.create_task(turns.mine()) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks[1:4]:
        task.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns.mine()
    assert [task.cancelled() for task in tasks] == [False, True, True, True, False]
