"""What a database, a role, the environment or another client of a pooler sets changes nothing for the product."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from reconciler.catalog.apps import AppStore
from reconciler.catalog.database import SKIP_CHECK_SECONDS, Database
from reconciler.catalog.inspect import CatalogInspector
from reconciler.catalog.listener import NotificationListener
from reconciler.catalog.migrate import MigrationRejected, migrate, schema_is_current
from reconciler.catalog.stats import read_stats
from reconciler.catalog.work_queue import WorkQueue
from reconciler.core.context import Result
from tests.catalogs import create, execute, opened
from tests.environment import PgBouncer, of_product, pgbouncer
from tests.postgres import TestServer

OWNER, NAME = "zoë", "café ☕"
AMBIENT = {
    "client_encoding": "LATIN1",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "statement_timeout": "100ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "row_security": "on",
    "search_path": '"nowhere", public',
}
ENVIRONMENT = {"PGCLIENTENCODING": "LATIN1", "PGDATESTYLE": "German", "PGTZ": "Asia/Kathmandu"}


def _set(url: str, name: str, setting: str, value: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        quoted = value if setting == "search_path" else f"'{value}'"
        connection.execute(f"ALTER DATABASE {name} SET {setting} TO {quoted}".encode())


async def _live(database: Database) -> None:
    """What a request and a pass do to the catalog, and what they see."""
    apps = AppStore(database)
    work = WorkQueue(database, owner="worker", lease_seconds=2.5)
    assert await schema_is_current(database)
    key = {"idempotency_key": "key ☕", "fingerprint": b"\x00\\\xff'"}
    made = await create(apps, NAME, OWNER, **key)
    again = await create(apps, NAME, OWNER, **key)
    assert (again.created, again.app) == (False, made.app)
    app_id = made.app.app_id
    assert await apps.get(OWNER, app_id) == made.app
    page = await apps.list(OWNER, status=None, name=NAME, limit=10, cursor=None)
    assert page.apps == (made.app,)
    assert str(page.apps[0].created_at.utcoffset()) == "0:00:00"
    events = await apps.events(OWNER, app_id, limit=10, cursor=None)
    assert events is not None
    assert [(event.actor, event.at.utcoffset()) for event in events.events] == [
        (OWNER, made.app.created_at.utcoffset())
    ]
    [claimed] = await work.claim(10)
    assert (claimed.app, claimed.app.spec.min_cu) == (made.app, 0.25)
    due = await work.next_due()
    assert due is not None
    assert due % 1 != 0
    assert await work.release(claimed.lease, Result(requeue_after=1.5))
    assert (await read_stats(database)).statuses
    await apps.request_delete(OWNER, app_id, None)


def _run(url: str) -> None:
    async def run() -> None:
        async with opened(url) as database:
            await _live(database)

    asyncio.run(run())


@pytest.mark.parametrize("setting", AMBIENT)
def test_a_setting_of_the_database_changes_nothing(postgres: TestServer, setting: str) -> None:
    """From the first migration on."""
    name = postgres.create_database()
    try:
        _set(postgres.dsn(name), name, setting, AMBIENT[setting])
        migrate(postgres.dsn(name))
        _run(postgres.dsn(name))
    finally:
        postgres.drop_database(name)


def test_a_setting_of_the_environment_changes_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    migrate(empty_database_url)
    _run(empty_database_url)


def test_many_creates_at_once_meet_no_serialization_failure(postgres: TestServer, catalog_url: str) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(catalog_url)["dbname"])
    _set(catalog_url, name, "default_transaction_isolation", "serializable")

    async def run() -> None:
        async with opened(catalog_url) as database:
            catalogs = [AppStore(database) for _ in range(20)]
            await asyncio.gather(*(create(catalog, f"app-{number}") for number, catalog in enumerate(catalogs)))

    asyncio.run(run())
    assert execute(catalog_url, "SELECT count(*) AS apps FROM app_metadata") == [{"apps": 20}]


@pytest.fixture
def pooled(postgres: TestServer, catalog_url: str) -> Iterator[str]:
    """The catalog behind a PgBouncer that has one connection for all its clients."""
    program = pgbouncer()
    if program is None:
        pytest.skip("pgbouncer is not installed")
    address, pooler = of_product(catalog_url), PgBouncer(postgres.url, pool_size=1)
    with pooler.running(program):
        yield address.replace(f":{pooler.server}/", f":{pooler.port}/")


def test_what_another_client_of_the_pooler_set_changes_nothing(pooled: str) -> None:
    """Its session's settings stay on the server's connection, which the product's next transaction gets."""
    # The statement that sets all others still runs under the leaked limit, so a limit that a busy machine may exceed
    # would show nothing about the statements after it: their settings are compared instead.
    leaked = AMBIENT | {"search_path": "nowhere", "statement_timeout": "20s"}
    leaks = "; ".join(f"SET {name} TO '{value}'" for name, value in leaked.items())
    # A transaction takes these two from its BEGIN.
    names = {name: name.removeprefix("default_") for name in leaked}
    values = ", ".join(f"current_setting('{effective}') AS \"{name}\"" for name, effective in names.items())

    async def run() -> None:
        async with opened(pooled) as database:
            assert await schema_is_current(database)
            await asyncio.to_thread(execute, pooled, leaks)
            assert await asyncio.to_thread(execute, pooled, "SHOW lock_timeout") == [{"lock_timeout": "1ms"}]
            async with database.connection() as connection:
                single = await (await connection.execute(f"SELECT {values}".encode())).fetchone()
            async with database.transaction() as connection:
                first = await (await connection.execute(f"SELECT {values}".encode())).fetchone()
            await _live(database)
        assert single == first
        assert single is not None
        assert {name: value for name, value in single.items() if value == leaked[name]} == {}

    asyncio.run(run())


def test_a_wake_up_arrives_whatever_the_database_sets(catalog_url: str) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(catalog_url)["dbname"])
    for setting in ("statement_timeout", "client_encoding", "default_transaction_read_only"):
        _set(catalog_url, name, setting, AMBIENT[setting])

    async def run() -> None:
        woken = asyncio.Event()
        listening = asyncio.create_task(NotificationListener(catalog_url, woken.set).run())
        try:
            async with asyncio.timeout(30), opened(catalog_url) as database:
                await woken.wait()
                woken.clear()
                await AppStore(database).notify()
                await woken.wait()
        finally:
            listening.cancel()

    asyncio.run(run())


@pytest.mark.parametrize(("encoding", "accepted"), [("LATIN1", False), ("SQL_ASCII", True)])
def test_a_database_that_cannot_hold_utf8_is_refused(postgres: TestServer, encoding: str, accepted: bool) -> None:
    """In one line of ``migrate``; where the tables are there already, the schema does not count as current."""
    name = postgres.create_database(f"template0 ENCODING '{encoding}' LOCALE 'C'")
    url = postgres.dsn(name)

    async def look() -> tuple[str, bool]:
        async with opened(url) as database:
            return (await CatalogInspector(database).server()).encoding, await schema_is_current(database)

    try:
        if accepted:
            migrate(url)
            _run(url)
        else:
            with pytest.raises(MigrationRejected, match=f"encoding is {encoding}.*ENCODING 'UTF8'"):
                migrate(url)
            execute(url, "CREATE TABLE _yoyo_migration (migration_id text)")
            assert asyncio.run(look()) == (encoding, False)
    finally:
        postgres.drop_database(name)


def test_the_schema_of_the_start_is_kept(catalog_url: str) -> None:
    """A schema that appears in front of the catalog's, or a temporary table, hides nothing."""
    name = str(psycopg.conninfo.conninfo_to_dict(catalog_url)["dbname"])

    async def run() -> None:
        async with opened(catalog_url) as database:
            assert await schema_is_current(database)
            execute(catalog_url, "CREATE SCHEMA before")
            execute(catalog_url, "CREATE TABLE before.app_metadata (app_id text)")
            _set(catalog_url, name, "search_path", "before")
            execute(
                catalog_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            await asyncio.sleep(SKIP_CHECK_SECONDS)  # a connection that worked a moment ago is not checked
            await _live(database)

    asyncio.run(run())
