"""The catalog's schema comes up to date, whoever starts it, how often, and however they end."""

from __future__ import annotations

import asyncio
import multiprocessing

import psycopg
import pytest

from reconciler.catalog.database import Database
from reconciler.catalog.migrate import MigrationRejected, migrate, packaged_migrations, schema_is_current
from reconciler.errors import CatalogUnavailable
from tests.postgres import TestServer


def _tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        )
        return {row[0] for row in rows}


def _is_current(url: str) -> bool:
    async def ask() -> bool:
        database = Database(url)
        await database.open()
        try:
            return await schema_is_current(database)
        finally:
            await database.close()

    return asyncio.run(ask())


def test_it_applies_everything_once_and_then_nothing(empty_database_url: str) -> None:
    assert not _is_current(empty_database_url)
    assert migrate(empty_database_url) == sorted(packaged_migrations())
    assert _is_current(empty_database_url)
    assert migrate(empty_database_url) == []
    assert {"app_metadata", "app_work", "app_events", "create_intents"} <= _tables(empty_database_url)


def test_a_catalog_that_lacks_a_migration_is_not_current(catalog_url: str) -> None:
    with psycopg.connect(catalog_url) as connection:
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0001.baseline'")
    assert not _is_current(catalog_url)


def test_migrate_unreleased_schema_is_refused_and_left_as_it_was(empty_database_url: str) -> None:
    """A schema from before the first release has other ids: one line says so, and nothing is applied."""
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("UPDATE _yoyo_migration SET migration_id = '0001.catalog'")
        connection.execute("INSERT INTO _yoyo_migration VALUES ('h', '0002.roles', now())")
        before = connection.execute("SELECT * FROM _yoyo_migration ORDER BY 2").fetchall()
        with pytest.raises(MigrationRejected, match=r"unreleased earlier schema \(0001\.catalog\).*empty database"):
            migrate(empty_database_url)
        assert connection.execute("SELECT * FROM _yoyo_migration ORDER BY 2").fetchall() == before
    assert not _is_current(empty_database_url)


def test_a_newer_program_beside_this_one_leaves_the_schema_current(catalog_url: str) -> None:
    with psycopg.connect(catalog_url) as connection:
        connection.execute("INSERT INTO _yoyo_migration VALUES ('h', '9999.later', now())")
    assert _is_current(catalog_url)


def test_what_yoyo_calls_a_rollback_undoes_everything(catalog_url: str) -> None:
    from yoyo import get_backend, read_migrations  # noqa: PLC0415 - the tool of an operator, not ours

    with get_backend(catalog_url.replace("postgresql://", "postgresql+psycopg://")) as backend:
        found = read_migrations("package:migrations:catalog").filter(lambda m: m.is_raw_sql())
        backend.rollback_migrations(backend.to_rollback(found))
    assert not {"app_metadata", "app_work"} & _tables(catalog_url)
    assert migrate(catalog_url) == sorted(packaged_migrations())


def test_four_starters_at_once(empty_database_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        applied = pool.map(migrate, [empty_database_url] * 4)
    assert sorted(id_ for ids in applied for id_ in ids) == sorted(packaged_migrations())


def test_a_lock_row_that_a_killed_yoyo_left_behind_is_not_in_the_way(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE yoyo_lock (locked int PRIMARY KEY, ctime timestamp, pid int NOT NULL)")
        connection.execute("INSERT INTO yoyo_lock VALUES (1, now(), 4242)")
    assert migrate(empty_database_url) == sorted(packaged_migrations())


def _migrate_and_die_before_the_note(url: str) -> None:
    import os  # noqa: PLC0415 - only in the process that dies

    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend  # noqa: PLC0415

    def die(*_: object, **__: object) -> None:
        os._exit(9)

    PostgresqlPsycopgBackend.mark_one = die
    migrate(url)


def test_one_that_was_killed_between_the_change_and_the_note_leaves_nothing(empty_database_url: str) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_migrate_and_die_before_the_note, args=(empty_database_url,)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    assert migrate(empty_database_url) == sorted(packaged_migrations())


def test_the_event_history_is_append_only(catalog_url: str) -> None:
    with psycopg.connect(catalog_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO app_metadata (app_id, owner_id, app_name, spec)"
            """ VALUES (repeat('a', 24), 'o', 'n', '{"region": "r", "pg_version": 17, "quota": {}}')"""
        )
        connection.execute(
            "INSERT INTO app_events (app_id, type, reason, message, actor, generation)"
            " VALUES (repeat('a', 24), 'Created', 'r', 'm', 'o', 1)"
        )
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("UPDATE app_events SET message = 'other'")


def test_no_postgres_is_the_catalog_unavailable(postgres: TestServer) -> None:
    with pytest.raises(CatalogUnavailable):
        migrate("postgresql://nobody:hidden@127.0.0.1:1/none")


def test_an_address_that_cannot_be_read_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="cannot be read") as caught:
        migrate("postgresql://user:se%zzcret@host/db")
    assert "cret" not in str(caught.value)
