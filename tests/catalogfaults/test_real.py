"""The same faults as a server really makes them, where a test can bring it to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from reconciler.catalog.apps import AppStore
from reconciler.catalog.database import Database
from reconciler.catalog.work_queue import WorkQueue
from reconciler.errors import CatalogUnavailable
from tests.catalogs import create, execute, opened
from tests.environment import with_options
from tests.identity.copies import Folder, promote
from tests.postgres import TestServer, own_server

_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'morphik-apps'
"""
_WAITING = """
SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'morphik-apps' AND wait_event_type = 'Lock'
"""
Use = Callable[[Database, AppStore], Awaitable[None]]


def _run(url: str, use: Use, **options: float) -> None:
    async def run() -> None:
        async with opened(url, **options) as database, asyncio.timeout(60):
            await use(database, AppStore(database))

    asyncio.run(run())


@contextmanager
def _locked(url: str) -> Iterator[None]:
    """Somebody holds every row of the work."""
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM app_work FOR UPDATE")
        yield


async def _waits_for_a_lock(url: str) -> None:
    while not await asyncio.to_thread(execute, url, _WAITING):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.005)


def test_a_standby_is_read_and_nothing_is_claimed() -> None:
    """After a failover to one, and again after its promotion, over the connections that were there before."""
    with own_server() as server:
        url = server.dsn(server.create_database(server.migrated_template()))

        def become_standby() -> None:
            server.stop()
            Folder(server, "kept").as_replica()
            server.start()

        async def use(database: Database, apps: AppStore) -> None:
            work = WorkQueue(database, owner="d", lease_seconds=60)
            app_id = (await create(apps)).app.app_id
            await asyncio.to_thread(become_standby)
            with suppress(CatalogUnavailable):
                await apps.get("alice", app_id)  # over a connection that is gone
            assert await apps.get("alice", app_id) is not None
            for refused in (create(apps, "late"), apps.request_delete("alice", app_id, None), work.claim(1)):
                with pytest.raises(CatalogUnavailable, match="25006"):
                    await refused
            assert await apps.get("alice", app_id) is not None
            await asyncio.to_thread(promote, url)
            claimed = []
            with suppress(CatalogUnavailable):
                claimed += await work.claim(1)  # over a connection that may take the server for a standby
            claimed += await work.claim(1)
            assert [each.app.app_id for each in claimed] == [app_id]

        _run(url, use)


def test_a_backend_that_is_ended_while_it_waits_has_done_nothing(catalog_url: str) -> None:
    async def use(_database: Database, apps: AppStore) -> None:
        app_id = (await create(apps)).app.app_id
        with _locked(catalog_url):
            asked = asyncio.create_task(apps.request_delete("alice", app_id, None))
            await _waits_for_a_lock(catalog_url)
            await asyncio.to_thread(execute, catalog_url, _END)
            with pytest.raises(CatalogUnavailable, match="57P01"):
                await asked
        app = await apps.get("alice", app_id)
        assert app is not None
        assert app.delete_requested_at is None

    _run(catalog_url, use)


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_a_limit_that_an_operator_set_ends_no_wait(catalog_url: str, setting: str) -> None:
    """The product's own limit holds."""

    async def use(_database: Database, apps: AppStore) -> None:
        app_id = (await create(apps)).app.app_id
        with _locked(catalog_url):
            asked = asyncio.create_task(apps.request_delete("alice", app_id, None))
            await _waits_for_a_lock(catalog_url)
            await asyncio.sleep(0.4)
        assert await asked is not None

    _run(with_options(catalog_url, f"-c {setting}=200"), use)


def test_a_wait_that_is_too_long_is_broken_off(catalog_url: str) -> None:
    async def use(_database: Database, apps: AppStore) -> None:
        app_id = (await create(apps)).app.app_id
        with _locked(catalog_url), pytest.raises(CatalogUnavailable, match=r"in time|57014"):
            await apps.request_delete("alice", app_id, None)
        assert await apps.request_delete("alice", app_id, None) is not None

    _run(catalog_url, use, block_seconds=0.5)


def test_two_that_wait_for_each_other_are_parted(catalog_url: str) -> None:
    """A person's own transaction takes the rows in the other order; one of the two is broken off."""

    async def use(_database: Database, apps: AppStore) -> None:
        app_id = (await create(apps)).app.app_id
        async with await psycopg.AsyncConnection.connect(catalog_url) as person:
            await person.execute("SET deadlock_timeout = '60s'")
            await person.execute("SELECT 1 FROM app_metadata FOR UPDATE")
            asked = asyncio.create_task(apps.request_delete("alice", app_id, None))
            await _waits_for_a_lock(catalog_url)
            await person.execute("SELECT 1 FROM app_work FOR UPDATE")
            with pytest.raises(CatalogUnavailable, match="40P01"):
                await asked
        assert await apps.request_delete("alice", app_id, None) is not None

    _run(with_options(catalog_url, "-c deadlock_timeout=2s"), use)


def test_a_server_with_no_room_for_another_connection(postgres: TestServer, catalog_url: str) -> None:
    """The role may have one connection, and somebody has it; then it is free again."""
    role = "morphik_test_one_connection"
    execute(postgres.url, f"DROP ROLE IF EXISTS {role}")
    execute(catalog_url, f"CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 1")
    url = catalog_url.replace(postgres.url.partition("//")[2].partition("@")[0], f"{role}:p")

    async def use(_database: Database, apps: AppStore) -> None:
        async with await psycopg.AsyncConnection.connect(url):
            with pytest.raises(psycopg.OperationalError, match="too many connections"):
                await psycopg.AsyncConnection.connect(url)
            with pytest.raises(CatalogUnavailable):
                await apps.get("alice", "a" * 24)
        while True:
            try:
                assert await apps.get("alice", "a" * 24) is None
            except CatalogUnavailable:
                continue  # the server takes a moment to see that a place is free
            return

    try:
        execute(catalog_url, f"GRANT morphik_apps_api TO {role}")
        _run(url, use, timeout_seconds=0.5)
    finally:
        execute(catalog_url, f"DROP ROLE {role}")
