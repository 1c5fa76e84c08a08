"""Whose turn it is: one owner's many apps do not stand in the way of another's one, at the claim and at the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from reconciler.catalog.apps import AppStore
from reconciler.catalog.work_queue import WorkItem, WorkQueue
from reconciler.core.context import Result
from reconciler.core.rate_limit import Grant, Priority
from reconciler.runtime.rate_limiter import RateLimiter
from tests.catalogs import create, execute, opened
from tests.plenty import TERMS


def _owners(claimed: list[WorkItem]) -> list[str]:
    return [one.app.owner_id for one in claimed]


async def _ask(apps: AppStore, owner: str, number: int) -> None:
    for each in range(number):
        await create(apps, f"app {each}", owner)


def test_the_first_of_each_owner_comes_before_the_second_of_another(catalog_url: str) -> None:
    """However long the others have been due; apps under a lease count as the owner's first ones."""

    async def main() -> None:
        async with opened(catalog_url) as database:
            apps, work = AppStore(database), WorkQueue(database, owner="d", lease_seconds=60)
            await _ask(apps, "hot", 6)
            execute(catalog_url, "UPDATE app_work SET priority_at = priority_at - interval '1 hour'")
            assert _owners(await work.claim(2)) == ["hot", "hot"]
            await _ask(apps, "alice", 2)
            await _ask(apps, "bob", 1)
            assert sorted(_owners(await work.claim(2))) == ["alice", "bob"]
            assert _owners(await work.claim(1)) == ["alice"]
            assert _owners(await work.claim(9)) == ["hot"] * 4
            assert await work.claim(9) == []

    asyncio.run(main())


def test_what_people_asked_for_comes_before_what_can_wait(catalog_url: str) -> None:
    """The second app that an owner asked for overtakes another owner's repair, until that has waited."""

    async def main() -> None:
        async with opened(catalog_url) as database:
            apps, work = AppStore(database), WorkQueue(database, owner="d", lease_seconds=60)
            await _ask(apps, "bob", 1)
            [repair] = await work.claim(1)
            await work.release(repair.lease, Result(0.0, low_priority=True))
            await _ask(apps, "alice", 2)
            assert _owners(await work.claim(2)) == ["alice", "alice"]
            execute(catalog_url, "UPDATE app_work SET priority_at = priority_at - interval '1 minute'")
            await _ask(apps, "alice", 2 + 1)
            assert _owners(await work.claim(1)) == ["bob"]

    asyncio.run(main())


class _Drops:
    """One request at a time."""

    async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
        await asyncio.sleep(0)
        return Grant({kind: min(1, number) for kind, number in wanted.items()}, 0.0, 0.001)

    async def close(self, seconds: float) -> None:
        """Nobody refuses."""


def test_owners_take_turns_at_the_budget() -> None:
    """Whoever was served longest ago is next, however many others of one owner came before."""

    async def main() -> list[str]:
        budget, served = RateLimiter(_Drops(), TERMS), []

        async def wait(whose: str) -> None:
            await budget.acquire(Priority.USER, tenant=whose)
            served.append(whose)

        waiting = [asyncio.create_task(wait("hot")) for _ in range(8)]
        await asyncio.sleep(0.003)
        waiting += [asyncio.create_task(wait(whose)) for whose in ("alice", "alice", "bob")]
        before = len(served)
        await asyncio.gather(*waiting)
        return served[before:]

    order = asyncio.run(main())
    # One ticket may have been on its way to the first owner already.
    assert sorted(order[1:3]) == ["alice", "bob"] or sorted(order[:2]) == ["alice", "bob"]
    assert "alice" in order[2:6]
