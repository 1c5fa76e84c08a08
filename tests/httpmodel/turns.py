"""One thing at a time: whoever wants the catalog waits for a turn, and a schedule says whose it is.

So the statements of several requests and passes meet in every order, and in the same order each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from reconciler.catalog.database import Connection, Database

# Between two statements nothing waits for the outer world, so a few rounds of the loop bring everybody to the next one.
_ROUNDS = 30


class Turns:
    """Hands out turns, one after the other; out of play nobody has to wait for one."""

    def __init__(self) -> None:
        self._playing = False
        self._waiting: list[asyncio.Future[None]] = []
        self._over = asyncio.Event()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A turn."""
        if not self._playing:
            yield
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        await place
        try:
            yield
        finally:
            self._over.set()

    async def play(self, acts: Sequence[Coroutine[Any, Any, Any]], order: Sequence[int]) -> list[Any]:
        """Carry out several acts at once.

        Args:
            acts: each begins as soon as its turn comes.
            order: who is next among those who wait, counted round; the first in line behind its end.

        Returns:
            What came of each, an exception in its place.
        """
        self._playing, picks = True, iter(order)
        tasks = [asyncio.create_task(act) for act in acts]
        try:
            while not await self._still(tasks):
                if not self._waiting:
                    await asyncio.sleep(0.001)
                    continue
                place = self._waiting.pop(next(picks, 0) % len(self._waiting))
                self._over.clear()
                place.set_result(None)
                await self._over.wait()
        finally:
            self._playing = False
            for place in self._waiting:
                place.set_result(None)
            self._waiting.clear()
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def _still(self, tasks: Sequence[asyncio.Task[Any]]) -> bool:
        """Let everybody go as far as they can; whether all are done."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        return all(task.done() for task in tasks)


class TurnDatabase(Database):
    """A catalog that is used in turns."""

    def __init__(self, url: str, turns: Turns) -> None:
        super().__init__(url)
        self._turns = turns

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection, for as long as a turn lasts."""
        async with self._turns.one(), super().connection() as connection:
            yield connection
