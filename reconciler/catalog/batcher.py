"""Group commit: concurrent items are executed by one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Executes items in batches, one batch at a time.

    If no batch is in flight, an item executes immediately; items that arrive during a batch form the next one. No item
    waits for others, and the cost per item falls as their number grows.

    Args:
        execute_batch: executes items and returns their results in order; a result may be an exception. If it raises,
            all waiting items fail with that error, since the next batch would probably fail too.
        max_batch_size: the maximum number of items per batch.
    """

    def __init__(
        self, execute_batch: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]], *, max_batch_size: int
    ) -> None:
        self._execute_batch = execute_batch
        self._max_batch_size = max_batch_size
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._draining: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Return the result of one item. A cancelled caller does not cancel the item."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain(), name="execute batch")
        return await future

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._max_batch_size], self._waiting[self._max_batch_size :]
            results: Sequence[Result | Exception]
            try:
                results = await self._execute_batch([item for item, _ in batch])
            except asyncio.CancelledError:
                for _, future in (*batch, *self._waiting):
                    future.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - every error belongs to the callers
                batch, self._waiting = batch + self._waiting, []
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
