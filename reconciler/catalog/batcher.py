"""Group commit: what many ask for at the same moment is carried out in one go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Gathers items and carries them out, one go at a time.

    An item that finds nothing under way goes at once; whatever comes meanwhile goes together, next. So nobody waits for
    company, and the more come, the less each costs.

    Args:
        carry_out: takes items and returns what came of each, in their order, or an exception in its place. One that it
            raises is told to everybody who waits by then: when there is no answer for one, there is none for the next,
            and nobody shall find that out in a queue.
        most: how many go at once.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]], *, most: int
    ) -> None:
        self._carry_out = carry_out
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._going: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """What came of one item. Whoever is cancelled meanwhile leaves it under way."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._drain(), name="carrying out what was asked for together")
        return await answer

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            results: Sequence[Result | Exception]
            try:
                results = await self._carry_out([item for item, _ in batch])
            except asyncio.CancelledError:
                for _, answer in (*batch, *self._waiting):
                    answer.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - it is theirs who asked, whatever it is
                batch, self._waiting = batch + self._waiting, []
                results = [error] * len(batch)
            for (_, answer), result in zip(batch, results, strict=True):
                if answer.done():
                    continue
                if isinstance(result, Exception):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)
