"""A real catalog whose clock is ours: Postgres finds our ``now()`` before its own."""

from __future__ import annotations

import psycopg
from psycopg.rows import dict_row

from reconciler.catalog.migrate import migrate
from tests.postgres import TestServer
from tests.simulation.clock import START, Clock

_CLOCK = """
CREATE SCHEMA virtual;
CREATE TABLE virtual.clock (at timestamptz NOT NULL) WITH (fillfactor = 10);
INSERT INTO virtual.clock VALUES ('epoch');
CREATE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM virtual.clock';
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM virtual.clock';
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = public, virtual, pg_catalog', current_database());
END $$;
"""
_EMPTY = """
TRUNCATE app_metadata, app_owners, orphan_projects, catalog_identity, periodic_jobs RESTART IDENTITY CASCADE;
INSERT INTO catalog_identity DEFAULT VALUES;
INSERT INTO periodic_jobs (name) VALUES ('sweep'), ('audit');
ALTER SEQUENCE lease_tokens RESTART;
"""
# All that a pass may write, without the leases, which every claim changes.
_WRITTEN = """
SELECT (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.app_id) FROM app_metadata a) AS apps,
       (SELECT jsonb_agg(to_jsonb(i) ORDER BY i.create_seq) FROM create_intents i) AS intents,
       (SELECT jsonb_agg(to_jsonb(e) ORDER BY e.event_id) FROM app_events e) AS events,
       (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.project_id) FROM orphan_projects o) AS orphans,
       (SELECT high_water FROM catalog_identity) AS creates
"""


class OwnClock(Clock):
    """Virtual time that the catalog shares.

    Args:
        url: a catalog that ``make_catalog`` made.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self._tell()

    def pass_by(self, seconds: float) -> None:
        """Let so much time pass, for everybody."""
        self.now += seconds
        self._tell()

    def begin_again(self) -> None:
        """An empty catalog, at the start of time."""
        self.execute(_EMPTY)
        self.now = START
        self._tell()

    def written(self) -> dict[str, object]:
        """All that the catalog holds, but who works on what."""
        return self.rows(_WRITTEN)[0]

    def rows(self, statement: str) -> list[dict[str, object]]:
        """Look behind everybody's back."""
        return self._connection.execute(statement.encode()).fetchall()

    def execute(self, statements: str) -> None:
        """Change something behind everybody's back."""
        self._connection.execute(statements.encode())

    def close(self) -> None:
        """Leave the catalog."""
        self._connection.close()

    def _tell(self) -> None:
        self._connection.execute("UPDATE virtual.clock SET at = to_timestamp(%s)", [self.now])


def make_catalog(server: TestServer) -> str:
    """The name of a migrated database with a clock of ours."""
    name = server.create_database()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(_CLOCK)
    # On a new connection, so that the columns' defaults are of our clock too.
    migrate(server.dsn(name))
    return name
