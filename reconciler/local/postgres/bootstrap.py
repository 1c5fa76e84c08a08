"""Bootstrap of the Postgres cluster that all branches share, with the restrictions that make sharing safe.

On Neon every branch has a Postgres of its own. Here all share one, so a role has the rights that it has on Neon,
except those that reach beyond its branch:

- ``neon_superuser`` holds ``pg_read_all_data`` and ``pg_write_all_data``, which end at the databases that one may
  connect to. It holds neither ``pg_monitor``, which shows the statements of other apps, nor ``pg_signal_backend``,
  which ends their sessions, nor ``pg_create_subscription``, whose workers are the cluster's. No role can switch to it
  (``SET ROLE``): the objects that it then creates would belong to all apps.
- Only the roles of branches log in, and only to the databases of branches (``hba_lines``). A database created by
  SQL is open to every role until its owner revokes that, and a role created by SQL may have any password, whose
  verifier ``pg_read_all_data`` shows.
- Replication is off, because it would read the whole cluster.
- A role has at most ``MAX_SESSIONS_PER_ROLE`` sessions and cannot raise that, so no tenant takes all sessions of the
  server.
"""

from __future__ import annotations

from psycopg import AsyncConnection, sql

from reconciler.local.postgres.commands import DATABASE_PATTERN, ROLE_PATTERN
from reconciler.local.postgres.embedded import SUPERUSER, EmbeddedPostgres
from reconciler.local.postgres.sessions import superuser_session

STATE_DATABASE = "local_neon"
TEMPLATE = "local_neon_template"
GROUP = "neon_superuser"

# Neon documentation, Connect, Connection pooling: a compute of 0.25 CU has 104 connections, 7 of which are Neon's.
MAX_SESSIONS_PER_ROLE = 97
MAX_CONNECTIONS = 5 * MAX_SESSIONS_PER_ROLE + 50

_LOOPBACK = "127.0.0.1/32"


def hba_lines() -> tuple[str, ...]:
    """Return the lines of ``pg_hba.conf`` for a cluster that apps share."""
    return (
        f"host all {SUPERUSER} {_LOOPBACK} scram-sha-256",
        f'host "/^{DATABASE_PATTERN}$" +{GROUP} {_LOOPBACK} scram-sha-256',
    )


async def bootstrap(postgres: EmbeddedPostgres) -> None:
    """Create the shared objects and revoke access to the internal databases. Existing objects are not replaced."""
    async with await superuser_session(postgres) as connection:
        await _create_group(connection)
        await _limit_sessions(connection)
        for database in (STATE_DATABASE, TEMPLATE):
            if not await database_exists(connection, database):
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        for database in ("postgres", "template1", STATE_DATABASE, TEMPLATE):
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
    async with await superuser_session(postgres, TEMPLATE) as connection:
        for kind in ("TABLES", "SEQUENCES"):
            await connection.execute(
                sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {} TO {} WITH GRANT OPTION").format(
                    sql.SQL(kind), sql.Identifier(GROUP)
                )
            )
    await postgres.set_hba(hba_lines())


async def _create_group(connection: AsyncConnection) -> None:
    cursor = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (GROUP,))
    if await cursor.fetchone() is None:
        await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN BYPASSRLS").format(sql.Identifier(GROUP)))
    await connection.execute(sql.SQL("GRANT pg_read_all_data, pg_write_all_data TO {}").format(sql.Identifier(GROUP)))


async def _limit_sessions(connection: AsyncConnection) -> None:
    """Set the session limit on roles that an earlier version created."""
    cursor = await connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname ~ %s AND rolconnlimit <> %s",
        (f"^{ROLE_PATTERN}$", MAX_SESSIONS_PER_ROLE),
    )
    for (role,) in await cursor.fetchall():
        limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
        await connection.execute(limit.format(sql.Identifier(role), sql.Literal(MAX_SESSIONS_PER_ROLE)))


async def database_exists(connection: AsyncConnection, database: str) -> bool:
    """Return whether a database exists. One whose creation was interrupted is dropped and does not exist."""
    cursor = await connection.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (database,))
    row = await cursor.fetchone()
    if row is None:
        return False
    if row[0] == -2:
        await connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(database)))
        return False
    return True
