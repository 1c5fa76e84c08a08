"""Stores the simulator's projects and keys in the Postgres cluster that they describe."""

from __future__ import annotations

import asyncio

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from reconciler.local.postgres.bootstrap import STATE_DATABASE
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.simulator import LocalNeon
from reconciler.local.state.account_state import ACCOUNT

_TABLE = "CREATE TABLE IF NOT EXISTS project (project_id text PRIMARY KEY, document jsonb NOT NULL)"
_UPSERT = """
    INSERT INTO project (project_id, document) VALUES (%s, %s)
    ON CONFLICT (project_id) DO UPDATE SET document = excluded.document
"""
_ACCOUNT_TABLE = """
    CREATE TABLE IF NOT EXISTS account (
        only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), document jsonb NOT NULL
    )
"""
_UPSERT_ACCOUNT = """
    INSERT INTO account (document) VALUES (%s) ON CONFLICT (only_one) DO UPDATE SET document = excluded.document
"""
_DELETE = "DELETE FROM project WHERE project_id = ANY (%s)"


class StateStore:
    """The tables of projects and of the account. One connection writes them, one change at a time."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._connection: AsyncConnection | None = None
        self._lock = asyncio.Lock()

    async def start(self, simulator: LocalNeon) -> None:
        """Connect, create the tables and load their documents."""
        connection = await self._connected()
        await connection.execute(_TABLE)
        await connection.execute(_ACCOUNT_TABLE)
        accounts = await connection.execute("SELECT document FROM account")
        for row in await accounts.fetchall():
            simulator.load_account(row[0])
        projects = await connection.execute("SELECT document FROM project ORDER BY project_id")
        simulator.load([row[0] for row in await projects.fetchall()])

    async def stop(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def flush(self, simulator: LocalNeon) -> None:
        """Write all changes and return when they are durable, including changes that a concurrent call is writing."""
        async with self._lock:
            changed = simulator.dirty()
            if not changed:
                return
            dumped = {project_id: simulator.dump(project_id) for project_id in sorted(changed)}
            account = dumped.pop(ACCOUNT, None)
            upserts = [(project_id, Jsonb(document)) for project_id, document in dumped.items() if document is not None]
            removed = [project_id for project_id, document in dumped.items() if document is None]
            try:
                connection = await self._connected()
                async with connection.transaction(), connection.cursor() as cursor:
                    if account is not None:
                        await cursor.execute(_UPSERT_ACCOUNT, (Jsonb(account),))
                    if upserts:
                        await cursor.executemany(_UPSERT, upserts)
                    if removed:
                        await cursor.execute(_DELETE, (removed,))
            except BaseException:
                simulator.mark_dirty(changed)
                raise

    async def _connected(self) -> AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(self._postgres.dsn(STATE_DATABASE), autocommit=True)
        return self._connection
