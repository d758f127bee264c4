"""How the process ends: by the first of its tasks that fails, and never in silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from warlock_operator import process


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise KeyError("a bug")


async def succeed() -> None:
    return


@pytest.mark.parametrize(
    ("endless", "once", "reason"),
    [
        (forever, fail, "begin: KeyError: 'a bug'"),
        (fail, forever, "watches: 'a bug'"),
        (succeed, succeed, "watches: ended"),
    ],
)
async def test_a_task_that_fails_is_the_reason(endless: Any, once: Any, reason: str) -> None:
    ending = process.Ending()
    work = asyncio.create_task(process._all_of(ending, [("watches", endless())], once()))
    await asyncio.wait_for(ending.wait(), 5)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert ending.reason == reason


async def test_a_beginning_that_is_over_ends_nothing() -> None:
    ending = process.Ending()
    work = asyncio.create_task(process._all_of(ending, [("watches", forever())], succeed()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ending.wait(), 0.05)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
