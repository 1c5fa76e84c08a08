"""Tells stories, with and without a fault, and finds out which statements they use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.catalog.database import Database
from tests.catalogfaults.faults import Fault, Kind, faulty
from tests.catalogfaults.stories import STORIES
from tests.catalogfaults.whole import Whole
from tests.postgres import TestServer
from tests.stillclock import StillClock, still_clock

CONNECTIONS = 4


class Teller:
    """One catalog for many stories, each from an empty one."""

    def __init__(self, loop: asyncio.Runner, database: Database, clock: StillClock, fault: Fault) -> None:
        self._loop = loop
        self._database = database
        self._clock = clock
        self._fault = fault

    def used(self, story: str) -> dict[str, int]:
        """Which statements a story uses where nothing goes wrong, and how often."""
        seen = self.tell(story, None)
        return {each: seen.count(each) for each in dict.fromkeys(seen)}

    def tell(self, story: str, statement: str | None, kind: Kind = Kind.SERIALIZATION, use: int = 1) -> list[str]:
        """One story with one fault; the statements that ran from where faults may begin.

        Raises:
            AssertionError: it ended otherwise than without the fault, or the fault never happened.
        """
        return self._loop.run(self._tell(story, statement, kind, use))

    async def _tell(self, story: str, statement: str | None, kind: Kind, use: int) -> list[str]:
        self._fault.arm(None)
        whole = Whole(self._database, self._clock, self._fault)
        try:
            async with asyncio.timeout(60):
                await STORIES[story](whole, lambda: self._fault.arm(statement, kind, use))
                await whole.end()
                seen, fired = self._fault.seen, self._fault.fired
                self._fault.arm(None)
                assert statement is None or fired == 1, "the fault never happened"
                await self._again(whole)
        finally:
            self._fault.arm(None)
            await whole.end()
            await whole.client.aclose()
        return seen

    async def _again(self, whole: Whole) -> None:
        """Another life of the daemon finds nothing to change."""
        before = len(whole.calls)
        whole.start()
        await whole.settle()
        sent = [call for call in whole.calls[before:] if not call.startswith("GET ")]
        assert sent == [], f"sent after all was done: {sent}"
        assert whole.wrong == []
        pool = self._database._pool.get_stats()
        assert pool["pool_available"] == pool["pool_size"], f"connections were not given back: {pool}"


@contextmanager
def teller(server: TestServer) -> Iterator[Teller]:
    """A catalog of its own."""
    with still_clock(server) as clock, faulty() as fault, asyncio.Runner() as loop:
        database = Database(clock.url, max_size=CONNECTIONS)
        loop.run(database.open())
        try:
            yield Teller(loop, database, clock, fault)
        finally:
            loop.run(database.close())
