"""Revocations are read once for many requests, and count within a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from api.auth.claims import InvalidToken, Principal
from api.auth.revocations import TokenRevocations
from reconciler.errors import CatalogUnavailable


class Minimums:
    """The catalog's minimums, and how often they were read."""

    def __init__(self, **minimums: int) -> None:
        self.minimums = minimums
        self.reads: list[list[str]] = []
        self.error: Exception | None = None
        self.now = 0.0
        self.revocations = TokenRevocations(self._read, clock=lambda: self.now)

    async def _read(self, owner_ids: Sequence[str]) -> dict[str, int]:
        self.reads.append([*owner_ids])
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return {owner: minimum for owner, minimum in self.minimums.items() if owner in owner_ids}

    async def accepts(self, owner: str, version: int | None = None) -> bool:
        """Whether a token counts."""
        try:
            await self.revocations.check(Principal(owner, frozenset(), None, version))
        except InvalidToken:
            return False
        return True


@pytest.mark.parametrize(
    ("minimum", "version", "counts"),
    [(0, None, True), (0, -1, True), (3, None, False), (3, 2, False), (3, 3, True), (3, 10**30, True), (3, -1, False)],
)
def test_check_token_below_the_minimum_is_refused(minimum: int, version: int | None, counts: bool) -> None:
    """A token without a version is below every minimum."""
    catalog = Minimums(alice=minimum) if minimum else Minimums()
    assert asyncio.run(catalog.accepts("alice", version)) is counts


def test_check_reads_once_for_many_requests_and_again_within_a_minute() -> None:
    async def run() -> None:
        catalog = Minimums()
        assert all(await asyncio.gather(*(catalog.accepts("alice") for _ in range(50))))
        assert catalog.reads == [["alice"]]
        await asyncio.gather(*(catalog.accepts(f"owner-{number}") for number in range(150)))
        assert len(catalog.reads) == 2
        catalog.minimums["alice"] = 1
        assert await catalog.accepts("alice")
        catalog.now = 59.0
        assert not await catalog.accepts("alice")

    asyncio.run(run())


def test_check_catalog_unavailable_does_not_count_the_token() -> None:
    async def run() -> None:
        catalog = Minimums()
        assert await catalog.accepts("alice")
        catalog.error = CatalogUnavailable("down")
        assert await catalog.accepts("alice")
        catalog.now = 59.0
        for _ in range(2):
            with pytest.raises(CatalogUnavailable):
                await catalog.accepts("alice")
        catalog.error = None
        assert await catalog.accepts("alice")

    asyncio.run(run())


def test_check_request_cancelled_leaves_the_read_to_the_others() -> None:
    async def run() -> None:
        catalog = Minimums(alice=1)
        first, second = (asyncio.create_task(catalog.accepts("alice")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert not await second
        assert catalog.reads == [["alice"]]

    asyncio.run(run())


def test_minimums_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.revocations.MAX_OWNERS", 2)

    async def run() -> None:
        catalog = Minimums()
        for number in range(5):
            await catalog.accepts(f"owner-{number}")
        assert len(catalog.revocations._minimums) == 2

    asyncio.run(run())
