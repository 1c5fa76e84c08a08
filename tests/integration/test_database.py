"""Connections to the catalog, and the count of living apps that they keep."""

from __future__ import annotations

import asyncio
import random

import pytest

from reconciler.catalog import database as module
from reconciler.catalog.apps import AppCatalog
from reconciler.catalog.refusals import LimitReached
from reconciler.errors import CatalogUnavailable
from tests.catalogs import create, execute, opened, with_catalog

_KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'morphik-apps'
"""


def _after_a_kill(url: str) -> None:
    async def use() -> None:
        async with opened(url) as database:
            catalog = AppCatalog(database)
            await catalog.get("alice", "a" * 24)
            await asyncio.to_thread(execute, url, _KILL)
            await catalog.get("alice", "a" * 24)

    asyncio.run(use())


def test_a_connection_that_died_while_idle_is_replaced_without_a_word(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that worked a moment ago is used without being asked; then its caller is told to send again."""
    monkeypatch.setattr(module, "TRUSTED_SECONDS", 0.0)
    _after_a_kill(catalog_url)
    monkeypatch.setattr(module, "TRUSTED_SECONDS", 3600.0)
    with pytest.raises(CatalogUnavailable):
        _after_a_kill(catalog_url)


def test_the_count_of_living_apps_is_exact_after_creates_and_deletes_at_once(catalog_url: str) -> None:
    """Whoever meets whom: names taken, keys known, limits reached, deletes sent twice."""
    chance = random.Random(20261124)

    async def one(catalog: AppCatalog, number: int) -> None:
        owner, name = f"owner-{number % 3}", f"app-{chance.randrange(8)}"
        key = {"idempotency_key": f"key-{name}", "fingerprint": name.encode()} if chance.random() < 0.4 else {}
        try:
            made = await create(catalog, name, owner, max_apps=6, **key)
        except LimitReached:
            return
        if chance.random() < 0.6:
            await asyncio.gather(*(catalog.request_delete(owner, made.app.app_id, None) for _ in range(2)))

    async def all_at_once(catalog: AppCatalog) -> None:
        await asyncio.gather(*(one(catalog, number) for number in range(200)))

    with_catalog(catalog_url, all_at_once)
    kept = execute(catalog_url, "SELECT owner_id, living FROM app_owners")
    counted = execute(
        catalog_url,
        "SELECT owner_id, count(*) FILTER (WHERE delete_requested_at IS NULL) AS living FROM app_metadata GROUP BY 1",
    )
    assert {row["owner_id"]: row["living"] for row in kept} == {row["owner_id"]: row["living"] for row in counted}
    assert max(row["living"] for row in kept) <= 6
