"""Group commit: what comes while something is under way goes together, and each gets what came of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from reconciler.catalog.batcher import Batcher


class Slow:
    """Carries out numbers: negative ones fail, and 13 makes the whole go fail."""

    def __init__(self) -> None:
        self.goes: list[list[int]] = []

    async def __call__(self, items: Sequence[int]) -> list[str | Exception]:
        self.goes.append([*items])
        await asyncio.sleep(0.01)
        if 13 in items:
            raise ValueError("all")
        return [ArithmeticError(item) if item < 0 else f"{item} done" for item in items]


def test_the_first_goes_at_once_and_the_rest_together() -> None:
    async def run() -> tuple[list[list[int]], list[str]]:
        slow = Slow()
        together: Batcher[int, str] = Batcher(slow, max_batch_size=3)
        first = asyncio.create_task(together(0))
        await asyncio.sleep(0)
        rest = await asyncio.gather(*(together(number) for number in range(1, 6)))
        return slow.goes, [await first, *rest, await together(6)]

    goes, answers = asyncio.run(run())
    assert goes == [[0], [1, 2, 3], [4, 5], [6]]
    assert answers == [f"{number} done" for number in range(7)]


def test_a_failure_is_told_to_its_own_and_one_of_all_to_all_who_wait() -> None:
    async def run() -> list[str | BaseException]:
        together: Batcher[int, str] = Batcher(Slow(), max_batch_size=3)
        return await asyncio.gather(*map(together, (0, -1, 2, 3, 13, 4, 5)), return_exceptions=True)

    answers = asyncio.run(run())
    assert [type(answer) for answer in answers] == [str, ArithmeticError, str, *[ValueError] * 4]


def test_who_is_cancelled_leaves_the_others_alone() -> None:
    async def run() -> tuple[list[list[int]], str]:
        slow = Slow()
        together: Batcher[int, str] = Batcher(slow, max_batch_size=3)
        impatient, patient = asyncio.create_task(together(1)), asyncio.create_task(together(2))
        await asyncio.sleep(0.001)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        return slow.goes, await patient

    assert asyncio.run(run()) == ([[1, 2]], "2 done")
