"""Statements that open, close, rename and empty databases of the shared cluster."""

from __future__ import annotations

import re

from psycopg import AsyncConnection, sql

from reconciler.local.postgres.bootstrap import database_exists
from reconciler.local.postgres.commands import NAME_PATTERN, EnsureDatabases

_NAME = re.compile(NAME_PATTERN)

# These two run as superuser in a tenant's database, so every operator is named with its schema.
# The rows of an extension's own tables are part of the schema, as in a dump.
_RELATIONS = """
    SELECT space.nspname, kind.relname
    FROM pg_catalog.pg_class AS kind
    JOIN pg_catalog.pg_namespace AS space ON space.oid OPERATOR(pg_catalog.=) kind.relnamespace
    WHERE kind.relkind::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])
      AND NOT pg_catalog.starts_with(space.nspname::pg_catalog.text, 'pg_'::pg_catalog.text)
      AND space.nspname::pg_catalog.text OPERATOR(pg_catalog.<>) 'information_schema'::pg_catalog.text
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend AS link
          WHERE link.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
            AND link.objid OPERATOR(pg_catalog.=) kind.oid
            AND link.deptype::pg_catalog.text OPERATOR(pg_catalog.=) 'e'::pg_catalog.text
      )
"""
# Of the triggers on TRUNCATE (bit 5 of tgtype, PostgreSQL's pg_trigger.h) those that fire for a replica too.
_TRUNCATE_TRIGGERS = """
    SELECT space.nspname, kind.relname, trigger.tgname, trigger.tgenabled::pg_catalog.text
    FROM pg_catalog.pg_trigger AS trigger
    JOIN pg_catalog.pg_class AS kind ON kind.oid OPERATOR(pg_catalog.=) trigger.tgrelid
    JOIN pg_catalog.pg_namespace AS space ON space.oid OPERATOR(pg_catalog.=) kind.relnamespace
    WHERE (trigger.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 32) OPERATOR(pg_catalog.<>) 0
      AND trigger.tgenabled::pg_catalog.text OPERATOR(pg_catalog.=) ANY ('{A,R}'::pg_catalog.text[])
"""
_ENABLED = {"A": sql.SQL("ENABLE ALWAYS"), "R": sql.SQL("ENABLE REPLICA")}


def identifier(name: str) -> sql.Identifier:
    """Quote a name that local Neon generated.

    Raises:
        ValueError: any other name, which must not reach the cluster.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError("not a name that local Neon generates")
    return sql.Identifier(name)


async def set_connections_allowed(connection: AsyncConnection, database: str, *, allowed: bool) -> None:
    await connection.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
            sql.Identifier(database), sql.SQL("true" if allowed else "false")
        )
    )


async def end_sessions(connection: AsyncConnection, database: str) -> None:
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (database,)
    )


async def role_exists(connection: AsyncConnection, role: str) -> bool:
    cursor = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    return await cursor.fetchone() is not None


async def is_unfinished_copy(connection: AsyncConnection, database: str) -> bool:
    """Return whether a database is an unfinished copy: its connection limit of 0 excludes all but superusers."""
    cursor = await connection.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (database,))
    row = await cursor.fetchone()
    return row is not None and row[0] == 0


async def rename(connection: AsyncConnection, command: EnsureDatabases) -> None:
    """Rename databases and roles, and close them for connections.

    A database or role that already has its new name is skipped, so that an interrupted rename resumes.
    """
    for old, new in command.renamed_databases:
        if not await database_exists(connection, old) or await database_exists(connection, new):
            continue
        await set_connections_allowed(connection, old, allowed=False)
        await end_sessions(connection, old)
        await connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(identifier(old), identifier(new)))
    for old, new in command.renamed_roles:
        if not await role_exists(connection, old) or await role_exists(connection, new):
            continue
        await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(identifier(old)))
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (old,))
        await connection.execute(sql.SQL("ALTER ROLE {} RENAME TO {}").format(identifier(old), identifier(new)))


async def delete_rows(session: AsyncConnection) -> None:
    """Delete all rows of a database and leave its schema, in a superuser's transaction that runs no trigger.

    PostgreSQL evaluates indexes and materialized views in these statements as their owner, with restrictions.
    """
    await session.execute("SET LOCAL session_replication_role = replica")
    firing = [
        (sql.Identifier(schema, table), sql.Identifier(trigger), _ENABLED[state])
        for schema, table, trigger, state in await (await session.execute(_TRUNCATE_TRIGGERS)).fetchall()
    ]
    for table, trigger, _ in firing:
        await session.execute(sql.SQL("ALTER TABLE ONLY {} DISABLE TRIGGER {}").format(table, trigger))
    tables = await _relations(session, "r", "p")
    if tables:
        await session.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(tables)))
    for sequence in await _relations(session, "S"):
        await session.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sequence))
    for view in await _relations(session, "m"):
        await session.execute(sql.SQL("REFRESH MATERIALIZED VIEW {} WITH NO DATA").format(view))
    await session.execute("SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata")
    for table, trigger, enabled in firing:
        await session.execute(sql.SQL("ALTER TABLE ONLY {} {} TRIGGER {}").format(table, enabled, trigger))


async def _relations(session: AsyncConnection, *kinds: str) -> list[sql.Identifier]:
    cursor = await session.execute(_RELATIONS, (list(kinds),))
    return [sql.Identifier(*row) for row in await cursor.fetchall()]
