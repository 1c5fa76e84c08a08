"""A catalog whose clock stands still until a test moves it.

Every time in the catalog comes from ``now()`` or ``clock_timestamp()``. A database with functions of these names in
front of Postgres' own answers with a moment that the test has set, in statements, functions and columns' defaults.
Every transaction pins its search path, so theirs is another one here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from reconciler.catalog import session
from reconciler.catalog.migrate import migrate
from tests.postgres import TestServer

_SCHEMA = """
CREATE SCHEMA still;
CREATE TABLE still.moment (at timestamptz NOT NULL);
INSERT INTO still.moment VALUES (pg_catalog.now());
CREATE FUNCTION still.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM still.moment';
CREATE FUNCTION still.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM still.moment';
"""
_EMPTY = """
DELETE FROM app_metadata;
DELETE FROM app_owners;
DELETE FROM token_minimums;
DELETE FROM token_minimum_changes;
DELETE FROM orphan_projects;
DELETE FROM catalog_identity;
INSERT INTO catalog_identity DEFAULT VALUES;
DELETE FROM periodic_jobs;
INSERT INTO periodic_jobs (name) VALUES ('resync'), ('deep_resync'), ('expire_idempotency_keys');
DELETE FROM neon_rate_limit;
INSERT INTO neon_rate_limit DEFAULT VALUES;
SELECT setval('lease_tokens', 1, false);
"""


class StillClock:
    """The clock of one database, and what stands in it.

    Attributes:
        url: the database's address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def close(self) -> None:
        """Leave the database."""
        self._connection.close()

    def set(self, seconds: float) -> None:
        """Set the catalog's clock, in seconds since 1970."""
        self._connection.execute("UPDATE still.moment SET at = %s", (datetime.fromtimestamp(seconds, UTC),))

    def advance(self, seconds: float) -> None:
        """Let time pass for the catalog."""
        self._connection.execute("UPDATE still.moment SET at = at + make_interval(secs => %s)", (seconds,))

    def empty(self) -> None:
        """Make it a fresh catalog, at the present moment of its clock."""
        self._connection.execute(_EMPTY)

    def rows(self, statement: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run one statement behind everybody's back, and return its rows."""
        cursor = self._connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def still_clock(server: TestServer) -> Iterator[StillClock]:
    """A migrated catalog of its own, dropped at the end."""
    name = server.create_database()
    with pytest.MonkeyPatch.context() as patch, _dropped(server, name):
        patch.setattr(session, "search_path", lambda schema: f'"{schema}", still, pg_catalog, pg_temp')
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute(_SCHEMA)
            connection.execute(f"ALTER DATABASE {name} SET search_path = public, still, pg_catalog".encode())
        migrate(server.dsn(name))
        clock = StillClock(server.dsn(name))
        try:
            yield clock
        finally:
            clock.close()


@contextmanager
def _dropped(server: TestServer, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        server.drop_database(name)
