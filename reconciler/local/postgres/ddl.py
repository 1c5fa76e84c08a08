"""Statements that open, close, rename and empty databases of the shared cluster."""

from __future__ import annotations

import re

from psycopg import AsyncConnection, sql

from reconciler.local.postgres.bootstrap import database_exists
from reconciler.local.postgres.commands import NAME_PATTERN, EnsureDatabases

_NAME = re.compile(NAME_PATTERN)

# These two run as superuser in a tenant's database, so every operator is named with its schema.
# What an extension has put into its own tables is part of the schema, as in a dump of it.
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
    """Quote a name of ours; anything else is a mistake that must not reach the cluster."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("not a name that local Neon makes")
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
    found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    return await found.fetchone() is not None


async def is_unfinished_copy(connection: AsyncConnection, database: str) -> bool:
    """Say whether a database is a copy that is not yet its branch's own: only a superuser is let in."""
    found = await connection.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", (database,))
    row = await found.fetchone()
    return row is not None and row[0] == 0


async def rename(connection: AsyncConnection, command: EnsureDatabases) -> None:
    """Rename databases and roles, which nobody can use until they are opened again.

    What has its new name already is left alone, so that a rename that was cut short goes on where it was.
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


async def delete_rows(inside: AsyncConnection) -> None:
    """Take all rows out of a database and leave its schema, in a superuser's transaction that runs no trigger.

    PostgreSQL runs what else these statements evaluate (indexes, materialized views) as its owner, restricted.
    """
    await inside.execute("SET LOCAL session_replication_role = replica")
    firing = [
        (sql.Identifier(schema, table), sql.Identifier(trigger), _ENABLED[state])
        for schema, table, trigger, state in await (await inside.execute(_TRUNCATE_TRIGGERS)).fetchall()
    ]
    for table, trigger, _ in firing:
        await inside.execute(sql.SQL("ALTER TABLE ONLY {} DISABLE TRIGGER {}").format(table, trigger))
    tables = await _relations(inside, "r", "p")
    if tables:
        await inside.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(tables)))
    for sequence in await _relations(inside, "S"):
        await inside.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sequence))
    for view in await _relations(inside, "m"):
        await inside.execute(sql.SQL("REFRESH MATERIALIZED VIEW {} WITH NO DATA").format(view))
    await inside.execute("SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata")
    for table, trigger, enabled in firing:
        await inside.execute(sql.SQL("ALTER TABLE ONLY {} {} TRIGGER {}").format(table, enabled, trigger))


async def _relations(inside: AsyncConnection, *kinds: str) -> list[sql.Identifier]:
    found = await inside.execute(_RELATIONS, (list(kinds),))
    return [sql.Identifier(*row) for row in await found.fetchall()]
