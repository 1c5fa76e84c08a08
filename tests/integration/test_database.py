"""Connections to the catalog, and the count of living apps that they keep."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from reconciler.catalog import database as module
from reconciler.catalog import session
from reconciler.catalog.apps import AppStore, CreateResult
from reconciler.catalog.errors import LimitReached, NameTaken
from reconciler.errors import CatalogUnavailable
from tests.catalogs import SPEC, create, execute, opened, with_catalog
from tests.environment import POOLER, with_options

_KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'morphik-apps'
"""


def _after_a_kill(url: str) -> None:
    async def use() -> None:
        async with opened(url) as database:
            catalog = AppStore(database)
            await catalog.get("alice", "a" * 24)
            await asyncio.to_thread(execute, url, _KILL)
            await catalog.get("alice", "a" * 24)

    asyncio.run(use())


def test_a_connection_that_died_while_idle_is_replaced_without_a_word(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that worked a moment ago is used without being asked; then its caller is told to send again."""
    if POOLER:
        pytest.skip("PgBouncer replaces the server's connection behind the client's")
    monkeypatch.setattr(module, "SKIP_CHECK_SECONDS", 0.0)
    _after_a_kill(catalog_url)
    monkeypatch.setattr(module, "SKIP_CHECK_SECONDS", 3600.0)
    with pytest.raises(CatalogUnavailable):
        _after_a_kill(catalog_url)


def _raise_in_turn(chain: Sequence[BaseException]) -> None:
    """Raise the last one; each one before it is the context of the next."""
    try:
        if len(chain) > 1:
            _raise_in_turn(chain[:-1])
    finally:
        raise chain[-1]


_PIPELINE_ENDS = (
    errors.ProtocolViolation("server conn crashed?"),
    errors.OperationalError("cannot exit pipeline mode"),
)


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ((errors.AdminShutdown(), *_PIPELINE_ENDS), "SQLSTATE 57P01"),
        ((errors.DeadlockDetected(), _PIPELINE_ENDS[1]), "SQLSTATE 40P01"),
        ((errors.OperationalError("server closed the connection"), _PIPELINE_ENDS[1]), "the server closed the connect"),
        ((asyncio.CancelledError(), _PIPELINE_ENDS[1]), None),
        ((_PIPELINE_ENDS[1],), "OperationalError"),
    ],
)
def test_a_pipeline_that_ends_gives_the_reason_of_its_first_error(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch, chain: Sequence[BaseException], reason: str | None
) -> None:
    """An error that its caller was handling is no part of it."""

    @asynccontextmanager
    async def ending(_connection: psycopg.AsyncConnection[object]) -> AsyncIterator[None]:
        yield
        _raise_in_turn(chain)

    async def use() -> None:
        async with opened(catalog_url) as database, database.connection() as connection:
            connection.owned = False  # as behind a pooler
            monkeypatch.setattr(module.Connection, "pipeline", ending)
            try:
                raise errors.ReadOnlySqlTransaction
            except psycopg.Error:
                await connection.execute("SELECT 1")

    with pytest.raises(asyncio.CancelledError if reason is None else CatalogUnavailable, match=reason):
        asyncio.run(use())


def test_a_connection_that_cannot_be_prepared_gives_its_reason(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FOUND", "SELECT pg_catalog.pg_sleep(60)")

    async def use() -> None:
        limited = with_options(catalog_url, "-c statement_timeout=50")
        async with opened(limited, timeout_seconds=1) as database, database.connection():
            pass

    with pytest.raises(CatalogUnavailable, match="a statement exceeded the server's timeout; see DATABASE_URL"):
        asyncio.run(use())


def test_the_count_of_living_apps_is_exact_after_creates_and_deletes_at_once(catalog_url: str) -> None:
    """Whoever meets whom: names taken, keys known, limits reached, deletes sent twice."""
    chance = random.Random(20261124)

    async def one(catalog: AppStore, number: int) -> None:
        owner, name = f"owner-{number % 3}", f"app-{chance.randrange(8)}"
        key = {"idempotency_key": f"key-{name}", "fingerprint": name.encode()} if chance.random() < 0.4 else {}
        try:
            made = await create(catalog, name, owner, max_apps=6, **key)
        except LimitReached:
            return
        if chance.random() < 0.6:
            await asyncio.gather(*(catalog.request_delete(owner, made.app.app_id, None) for _ in range(2)))

    async def all_at_once(catalog: AppStore) -> None:
        await asyncio.gather(*(one(catalog, number) for number in range(200)))

    with_catalog(catalog_url, all_at_once)
    kept = execute(catalog_url, "SELECT owner_id, app_count FROM app_owners")
    counted = execute(
        catalog_url,
        """SELECT owner_id, count(*) FILTER (WHERE delete_requested_at IS NULL) AS app_count
           FROM app_metadata GROUP BY 1""",
    )
    assert {row["owner_id"]: row["app_count"] for row in kept} == {row["owner_id"]: row["app_count"] for row in counted}
    assert max(row["app_count"] for row in kept) <= 6


def test_a_create_that_meets_another_process_harms_none_that_goes_along(catalog_url: str) -> None:
    """Another process has not committed the same name yet: the statement fails for all, and each is tried alone."""

    async def use() -> list[bool]:
        async with opened(catalog_url) as database, await psycopg.AsyncConnection.connect(catalog_url) as other:
            catalog = AppStore(database)
            same = {
                "number": 0,
                "app_id": "b" * 24,
                "owner_id": "bob",
                "app_name": "same",
                "spec": SPEC.model_dump() | {"region": "r"},
                "max_apps": 9,
                "queued_message": "",
            }
            await other.execute("SELECT create_apps(%s)", [Jsonb([same])])
            await create(catalog, "first", "carol")  # from here on the next ones go together
            asked = [create(catalog, name, owner) for name, owner in (("a", "alice"), ("same", "bob"), ("c", "carol"))]
            going = asyncio.gather(create(catalog, "now", "dora"), *asked)
            await asyncio.sleep(0.3)
            await other.commit()
            return [made.created for made in await going]

    with pytest.raises(NameTaken):
        asyncio.run(use())
    names = [row["app_name"] for row in execute(catalog_url, "SELECT app_name FROM app_metadata ORDER BY 1")]
    assert names == ["a", "c", "first", "now", "same"]


def test_a_create_that_cannot_be_carried_out_harms_none_that_goes_along(catalog_url: str) -> None:
    """Postgres refuses a NUL in any text, and with it the statement for all."""

    async def use(catalog: AppStore) -> list[CreateResult | BaseException]:
        owners = ("zoe", "alice", "b\x00b", "carol")
        return await asyncio.gather(*(create(catalog, "app", owner) for owner in owners), return_exceptions=True)

    made = with_catalog(catalog_url, use)
    assert [type(one) for one in made[:2]] == [CreateResult, CreateResult]
    assert isinstance(made[2], psycopg.DataError)
    assert isinstance(made[3], CreateResult)


def test_owners_who_ask_at_the_same_moment_see_their_own_only(catalog_url: str) -> None:
    async def use() -> list[str | None]:
        async with opened(catalog_url) as database:
            catalog = AppStore(database)
            mine = (await create(catalog, "mine", "alice")).app.app_id
            theirs = (await create(catalog, "theirs", "bob")).app.app_id
            asked = [("alice", mine), ("bob", mine), ("alice", theirs), ("bob", theirs), ("alice", "a" * 24)]
            seen = await asyncio.gather(*(catalog.get(*one) for one in (("alice", mine), *asked)))
            return [None if app is None else app.app_name for app in seen[1:]]

    assert asyncio.run(use()) == ["mine", None, None, "theirs", None]
