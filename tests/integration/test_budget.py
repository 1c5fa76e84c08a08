"""The request budget over a real catalog: several processes, one bucket."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from reconciler.catalog.database import Database
from reconciler.catalog.rate_limit import RateLimitStore
from reconciler.core.rate_limit import BucketConfig, Grant, Priority
from reconciler.errors import CatalogUnavailable, NeonNotSent, NeonRateLimited, RateLimitExhausted
from reconciler.neon.protocol import NeonRequest
from reconciler.runtime.rate_limiter import PriorityGate, RateLimiter
from tests.integration.loopback import Peer, Script, Seen, run
from tests.plenty import Plenty

GET = NeonRequest("GET", "/projects", "/projects")
POST = NeonRequest("POST", "/projects", "/projects", mutates=True)
# A bucket of 25 which hardly flows, so that what was leased can be counted.
FEW = BucketConfig(rate=0.01, capacity=25, lease_seconds=0.4, lease_size=6)


@asynccontextmanager
async def processes(url: str, number: int, terms: BucketConfig) -> AsyncIterator[list[RateLimiter]]:
    """So many processes, each with connections of its own."""
    databases = [Database(url) for _ in range(number)]
    for database in databases:
        await database.open()
    budgets = [RateLimiter(RateLimitStore(database, terms), terms) for database in databases]
    try:
        yield budgets
    finally:
        for budget in budgets:
            await budget.aclose()
        for database in databases:
            await database.close()


async def fill(url: str, tokens: float) -> None:
    """Put so much into the bucket."""
    database = Database(url)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("UPDATE neon_rate_limit SET tokens = %s, refilled_at = clock_timestamp()", (tokens,))
    await database.close()


def test_all_processes_together_get_what_the_bucket_holds(catalog_url: str) -> None:
    """Sixty requests of three processes, at once: twenty-five are let in, whoever asked."""

    async def main() -> int:
        await fill(catalog_url, 25)
        async with processes(catalog_url, 3, FEW) as budgets:
            asked = [asyncio.create_task(budget.acquire(Priority.USER, 1.0)) for budget in budgets for _ in range(20)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        kinds = Counter(type(answer).__name__ for answer in answers)
        assert set(kinds) == {"Permit", "RateLimitExhausted"}
        return kinds["Permit"]

    assert asyncio.run(main()) == 25


def test_people_are_let_in_before_repairs_and_these_before_sweeps(catalog_url: str) -> None:
    async def main() -> dict[Priority, bool]:
        await fill(catalog_url, 3)
        async with processes(catalog_url, 1, FEW) as (budget,):
            turns = {kind: asyncio.create_task(budget.acquire(kind, 1.0)) for kind in reversed(Priority)}
            answers = await asyncio.gather(*turns.values(), return_exceptions=True)
            return {kind: not isinstance(answer, BaseException) for kind, answer in zip(turns, answers, strict=True)}

    assert asyncio.run(main()) == {Priority.RESYNC: False, Priority.REPAIR: False, Priority.USER: True}


def test_one_refusal_by_neon_holds_back_every_process(catalog_url: str) -> None:
    async def main() -> None:
        await fill(catalog_url, 25)
        async with processes(catalog_url, 2, FEW) as (one, other):
            await one.on_rate_limited(30.0)
            with pytest.raises(RateLimitExhausted):
                await other.acquire(Priority.USER, 0.5)

    asyncio.run(main())


def test_who_stops_waiting_takes_nothing(catalog_url: str) -> None:
    """A cancelled wait and one that ran out leave the bucket to others."""

    async def main() -> None:
        await fill(catalog_url, 0)
        async with processes(catalog_url, 1, replace(FEW, rate=5)) as (budget,):
            waiting = asyncio.create_task(budget.acquire(Priority.USER))
            await asyncio.sleep(0.1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await asyncio.gather(*(budget.acquire(Priority.USER, 10) for _ in range(2)))

    asyncio.run(main())


def test_without_a_catalog_nothing_is_let_in() -> None:
    async def main() -> None:
        async with processes("postgresql://nobody@127.0.0.1:1/none", 1, FEW) as (budget,):
            with pytest.raises(CatalogUnavailable):
                await budget.acquire(Priority.USER)

    asyncio.run(main())


def test_a_change_is_not_let_in_on_a_stale_permission() -> None:
    """Neither the first time nor when it is sent again."""

    async def main() -> None:
        turn = PriorityGate(RateLimiter(Plenty(), FEW), Priority.USER)
        await turn.acquire(GET)
        await turn.reserve()
        turn.set_mutation_deadline(asyncio.get_running_loop().time() + 60)
        await turn.acquire(POST)
        await turn.acquire(POST)
        turn.set_mutation_deadline(asyncio.get_running_loop().time() - 0.001)
        await turn.reserve()
        with pytest.raises(NeonNotSent):
            await turn.acquire(POST)
        await turn.acquire(GET)

    asyncio.run(main())


def test_nobody_goes_in_with_a_ticket_that_has_lapsed() -> None:
    """The catalog answers so late that others may have the same place by then."""

    class Late(Plenty):
        asked = 0

        async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
            self.asked += 1
            if self.asked < 3:
                await asyncio.sleep(2 * FEW.lease_seconds)
            return await super().lease(wanted)

    async def main() -> int:
        slices = Late()
        await PriorityGate(RateLimiter(slices, FEW), Priority.USER).acquire(GET)
        return slices.asked

    assert asyncio.run(main()) == 3


def test_a_repair_that_has_begun_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes room before its first request; later, what it has asked already would be lost, again and again."""
    monkeypatch.setattr("reconciler.runtime.rate_limiter.REPAIR_WAIT_TIMEOUT_SECONDS", 0.05)

    class Slow(Plenty):
        shut = True

        async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
            if self.shut:
                await asyncio.sleep(0.2)
            return await super().lease(wanted)

    async def main() -> None:
        slices = Slow()
        turn = PriorityGate(RateLimiter(slices, FEW), Priority.REPAIR)
        with pytest.raises(RateLimitExhausted):
            await turn.acquire(GET)
        slices.shut = False
        await asyncio.sleep(0.3)
        await turn.acquire(GET)
        slices.shut = True
        await turn.acquire(GET)

    asyncio.run(main())


def test_a_refusal_for_there_being_too_many_closes_the_door_for_all() -> None:
    """And is followed by another try after the time that Neon asked for."""
    slices = Plenty()
    statuses = iter((429, 200))

    async def script(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(next(statuses), {"account_id": "a"}, "Retry-After: 1\r\n")

    def with_gate(script: Script, wait: str | None = None) -> tuple[object, list[str], Seen]:
        gate = PriorityGate(RateLimiter(slices, FEW), Priority.USER)
        result, server, seen = run(script, lambda client: client.get_auth(), gate=gate)
        return result, [each.decode() for each in server.requests], seen

    result, requests, seen = with_gate(script)
    assert not isinstance(result, NeonRateLimited)
    assert [status for _, status in seen] == [429, 200]
    assert len(requests) == 2
    assert slices.closed == [1.0]
