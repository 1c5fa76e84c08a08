"""Carries out the machine's commands in a real Postgres cluster. Every command may be carried out again."""

from __future__ import annotations

from typing import assert_never

from psycopg import AsyncConnection, errors, sql
from psycopg_pool import AsyncConnectionPool

from reconciler.local.postgres.bootstrap import (
    GROUP,
    MAX_SESSIONS_PER_ROLE,
    TEMPLATE,
    bootstrap,
    database_exists,
)
from reconciler.local.postgres.commands import (
    Command,
    DatabaseSpec,
    EnsureDatabases,
    RemoveDatabases,
    RemoveRole,
    RoleSpec,
)
from reconciler.local.postgres.ddl import (
    delete_rows,
    end_sessions,
    identifier,
    is_unfinished_copy,
    rename,
    role_exists,
    set_connections_allowed,
)
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.postgres.sessions import startup_options, superuser_session


class PostgresExecutor:
    """Real databases behind local Neon.

    Args:
        postgres: a running server.
        connections: how many commands are carried out at once.
    """

    def __init__(self, postgres: EmbeddedPostgres, *, connections: int = 4) -> None:
        self._postgres = postgres
        self._connections = connections
        self._pool: AsyncConnectionPool[AsyncConnection] | None = None

    async def start(self) -> None:
        """Prepare the cluster and connect to it."""
        await bootstrap(self._postgres)
        pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            self._postgres.dsn(),
            open=False,
            min_size=1,
            max_size=self._connections,
            timeout=600,
            kwargs={"autocommit": True, "options": startup_options(self._postgres.version)},
            check=AsyncConnectionPool.check_connection,
        )
        await pool.open(wait=True)
        self._pool = pool

    async def stop(self) -> None:
        """Let go of the cluster."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def execute(self, command: Command) -> None:
        """Carry out one command; back when all of it is done."""
        if self._pool is None:
            raise RuntimeError("the backing has not been started")
        async with self._pool.connection() as connection:
            match command:
                case EnsureDatabases():
                    await self._ensure(connection, command)
                case RemoveRole():
                    await self._remove_role(connection, command.role)
                case RemoveDatabases():
                    await self._remove(connection, command)
                case _:
                    assert_never(command)

    async def _ensure(self, connection: AsyncConnection, command: EnsureDatabases) -> None:
        await rename(connection, command)
        async with connection.transaction():
            for login in command.roles:
                await _ensure_role(connection, login, may_login=command.open and login.may_login)
        for store in command.databases:
            await self._ensure_database(connection, store, command)
            if command.ends_sessions:
                await end_sessions(connection, store.name)

    async def _ensure_database(
        self, connection: AsyncConnection, store: DatabaseSpec, command: EnsureDatabases
    ) -> None:
        name = identifier(store.name)
        try:
            if not await database_exists(connection, store.name):
                await _create(connection, store)
        finally:
            # Also when a former attempt was cut short after it had closed the source.
            if store.source is not None:
                await set_connections_allowed(connection, store.source, allowed=command.source_open)
        async with connection.transaction():
            # The owner first: a new one takes over what had been granted to the old one.
            await connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, identifier(store.owner)))
            for login in command.roles:
                await connection.execute(
                    sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, identifier(login.name))
                )
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        if store.source is not None:
            await self._take_ownership(connection, store)
        await set_connections_allowed(connection, store.name, allowed=command.open)
        if not command.open:
            await end_sessions(connection, store.name)

    async def _take_ownership(self, connection: AsyncConnection, store: DatabaseSpec) -> None:
        """In a new copy, give to the branch's own roles what its source's own, and take the rows if so wanted.

        Until that is done nobody else is let in, so that it is never done to what was written since.
        """
        if not await is_unfinished_copy(connection, store.name):
            return
        await set_connections_allowed(connection, store.name, allowed=True)
        async with await superuser_session(self._postgres, store.name) as inside, inside.transaction():
            if store.schema_only:
                await delete_rows(inside)
            for old, new in store.ownership_map:
                await _reassign(inside, old, new, await _owned(connection, old))
            await inside.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(identifier(store.name)))

    async def _remove_role(self, connection: AsyncConnection, role: str) -> None:
        if not await role_exists(connection, role):
            return
        await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(identifier(role)))
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
        # A database that the role itself made passes on with the first one that it does not own, and comes next.
        while (found := await _next_foreign_database(connection, role)) is not None:
            database, owner, is_open = found
            await self._transfer_ownership(connection, role, database, owner, is_open=is_open)
        await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(identifier(role)))

    async def _transfer_ownership(
        self, connection: AsyncConnection, role: str, database: str, owner: str, *, is_open: bool
    ) -> None:
        """Give what a role owns in a database to the database's owner, and take its rights there."""
        if not is_open:
            await set_connections_allowed(connection, database, allowed=True)
        async with await superuser_session(self._postgres, database) as inside, inside.transaction():
            await inside.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(identifier(role), sql.Identifier(owner)))
            await inside.execute(sql.SQL("DROP OWNED BY {}").format(identifier(role)))
        if not is_open:
            await set_connections_allowed(connection, database, allowed=False)

    async def _remove(self, connection: AsyncConnection, command: RemoveDatabases) -> None:
        for database in command.databases:
            await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier(database)))
        for role in command.roles:
            if not await role_exists(connection, role):
                continue
            for made in await _owned(connection, role):
                await connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(made))
                )
            made_roles = await _roles_created_by(connection, role)
            await self._remove_role(connection, role)
            for made in made_roles:
                try:
                    await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(made)))
                except errors.DependentObjectsStillExist:
                    continue


async def _ensure_role(connection: AsyncConnection, login: RoleSpec, *, may_login: bool) -> None:
    name = identifier(login.name)
    # Only a verifier goes into the statement: statements are logged, and seen by others.
    verifier = connection.pgconn.encrypt_password(login.password.encode(), login.name.encode(), b"scram-sha-256")
    verb = "ALTER" if await role_exists(connection, login.name) else "CREATE"
    await connection.execute(
        sql.SQL(
            "{} ROLE {} {} INHERIT CREATEROLE CREATEDB BYPASSRLS REPLICATION CONNECTION LIMIT {} PASSWORD {}"
        ).format(
            sql.SQL(verb),
            name,
            sql.SQL("LOGIN" if may_login else "NOLOGIN"),
            sql.Literal(MAX_SESSIONS_PER_ROLE),
            sql.Literal(verifier.decode()),
        )
    )
    await connection.execute(
        sql.SQL("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET FALSE").format(sql.Identifier(GROUP), name)
    )


async def _create(connection: AsyncConnection, store: DatabaseSpec) -> None:
    """Make a database that nobody can connect to yet: a new one is open to all until that is revoked.

    What was to be copied may be gone, by SQL: then so is what it held, and there is an empty one.
    """
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ALLOW_CONNECTIONS false")
    name, owner = identifier(store.name), identifier(store.owner)
    if store.source is None or not await database_exists(connection, store.source):
        await connection.execute(statement.format(name, owner, sql.Identifier(TEMPLATE)))
        return
    await set_connections_allowed(connection, store.source, allowed=False)
    await end_sessions(connection, store.source)
    copied = statement.format(name, owner, identifier(store.source))
    await connection.execute(copied + sql.SQL(" CONNECTION LIMIT 0"))


async def _reassign(inside: AsyncConnection, old: str, new: str, databases: list[str]) -> None:
    """Reassign what lies in this database. Postgres reassigns whole databases too, so those are given back."""
    await inside.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(identifier(old), identifier(new)))
    for database in databases:
        await inside.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), identifier(old)))


async def _owned(connection: AsyncConnection, role: str) -> list[str]:
    found = await connection.execute(
        "SELECT datname FROM pg_database WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = %s)", (role,)
    )
    return [str(row[0]) for row in await found.fetchall()]


async def _roles_created_by(connection: AsyncConnection, role: str) -> list[str]:
    """Return the roles that a role made by SQL: Postgres itself gave it the right to administer those."""
    found = await connection.execute(
        """
        WITH RECURSIVE made AS (
            SELECT oid FROM pg_roles WHERE rolname = %s
            UNION
            SELECT given.roleid FROM pg_auth_members AS given JOIN made ON given.member = made.oid
            WHERE given.admin_option AND given.grantor = 10
        )
        SELECT rolname FROM made JOIN pg_roles USING (oid) WHERE rolname <> %s
        """,
        (role, role),
    )
    return [str(row[0]) for row in await found.fetchall()]


async def _next_foreign_database(connection: AsyncConnection, role: str) -> tuple[str, str, bool] | None:
    """Return a database in which a role has anything and that it does not own: name, owner, whether it is open."""
    found = await connection.execute(
        """
        SELECT kept.datname, owner.rolname, kept.datallowconn
        FROM pg_shdepend AS link
        JOIN pg_database AS kept
            ON kept.oid = link.dbid
            OR (link.dbid = 0 AND link.classid = 'pg_database'::regclass AND kept.oid = link.objid)
        JOIN pg_roles AS owner ON owner.oid = kept.datdba
        WHERE link.refclassid = 'pg_authid'::regclass
          AND link.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
          AND owner.rolname <> %s
        ORDER BY 1
        LIMIT 1
        """,
        (role, role),
    )
    row = await found.fetchone()
    return None if row is None else (str(row[0]), str(row[1]), bool(row[2]))
