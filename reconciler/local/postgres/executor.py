"""Executes the simulator's commands in a Postgres cluster. Every command is idempotent."""

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
    """The executor of commands, with a pool of superuser sessions.

    Args:
        postgres: a running server.
        connections: number of commands that are executed concurrently.
    """

    def __init__(self, postgres: EmbeddedPostgres, *, connections: int = 4) -> None:
        self._postgres = postgres
        self._connections = connections
        self._pool: AsyncConnectionPool[AsyncConnection] | None = None

    async def start(self) -> None:
        """Bootstrap the cluster and connect to it."""
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
        """Disconnect from the cluster."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def execute(self, command: Command) -> None:
        """Execute one command, and return when all of it is done.

        Raises:
            RuntimeError: the executor has not been started.
            psycopg.Error: a statement failed; the command can be executed again.
        """
        if self._pool is None:
            raise RuntimeError("the executor has not been started")
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
            for role in command.roles:
                await _ensure_role(connection, role, may_login=command.open and role.may_login)
        for spec in command.databases:
            await self._ensure_database(connection, spec, command)
            if command.ends_sessions:
                await end_sessions(connection, spec.name)

    async def _ensure_database(self, connection: AsyncConnection, spec: DatabaseSpec, command: EnsureDatabases) -> None:
        name = identifier(spec.name)
        try:
            if not await database_exists(connection, spec.name):
                await _create(connection, spec)
        finally:
            # Also when an earlier attempt was interrupted after it had closed the source.
            if spec.source is not None:
                await set_connections_allowed(connection, spec.source, allowed=command.source_open)
        async with connection.transaction():
            # The owner first: a new owner takes over the grants of the old one.
            await connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, identifier(spec.owner)))
            for role in command.roles:
                await connection.execute(
                    sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, identifier(role.name))
                )
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        if spec.source is not None:
            await self._take_ownership(connection, spec)
        await set_connections_allowed(connection, spec.name, allowed=command.open)
        if not command.open:
            await end_sessions(connection, spec.name)

    async def _take_ownership(self, connection: AsyncConnection, spec: DatabaseSpec) -> None:
        """In a new copy, pass the objects of the source's roles to the branch's roles, and delete the rows if required.

        Until that is done the copy accepts no tenant, so that later objects and rows are never affected.
        """
        if not await is_unfinished_copy(connection, spec.name):
            return
        await set_connections_allowed(connection, spec.name, allowed=True)
        async with await superuser_session(self._postgres, spec.name) as session, session.transaction():
            if spec.schema_only:
                await delete_rows(session)
            for old, new in spec.ownership_map:
                await _reassign(session, old, new, await _owned(connection, old))
            await session.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(identifier(spec.name)))

    async def _remove_role(self, connection: AsyncConnection, role: str) -> None:
        if not await role_exists(connection, role):
            return
        await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(identifier(role)))
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
        # A database that the role created passes to the owner of the first one that it does not own, and is next then.
        while (match := await _next_foreign_database(connection, role)) is not None:
            database, owner, is_open = match
            await self._transfer_ownership(connection, role, database, owner, is_open=is_open)
        await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(identifier(role)))

    async def _transfer_ownership(
        self, connection: AsyncConnection, role: str, database: str, owner: str, *, is_open: bool
    ) -> None:
        """Pass the objects of a role in a database to the database's owner, and revoke its rights there."""
        if not is_open:
            await set_connections_allowed(connection, database, allowed=True)
        async with await superuser_session(self._postgres, database) as session, session.transaction():
            await session.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(identifier(role), sql.Identifier(owner)))
            await session.execute(sql.SQL("DROP OWNED BY {}").format(identifier(role)))
        if not is_open:
            await set_connections_allowed(connection, database, allowed=False)

    async def _remove(self, connection: AsyncConnection, command: RemoveDatabases) -> None:
        for database in command.databases:
            await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier(database)))
        for role in command.roles:
            if not await role_exists(connection, role):
                continue
            for created in await _owned(connection, role):
                await connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(created))
                )
            created_roles = await _roles_created_by(connection, role)
            await self._remove_role(connection, role)
            for created in created_roles:
                try:
                    await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(created)))
                except errors.DependentObjectsStillExist:
                    continue


async def _ensure_role(connection: AsyncConnection, role: RoleSpec, *, may_login: bool) -> None:
    name = identifier(role.name)
    # Only a verifier is in the statement: statements are logged, and visible to others.
    verifier = connection.pgconn.encrypt_password(role.password.encode(), role.name.encode(), b"scram-sha-256")
    verb = "ALTER" if await role_exists(connection, role.name) else "CREATE"
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


async def _create(connection: AsyncConnection, spec: DatabaseSpec) -> None:
    """Create a database that accepts no connections yet: a new one is open to all until that is revoked.

    SQL may have dropped the source with its data; then the database is empty.
    """
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ALLOW_CONNECTIONS false")
    name, owner = identifier(spec.name), identifier(spec.owner)
    if spec.source is None or not await database_exists(connection, spec.source):
        await connection.execute(statement.format(name, owner, sql.Identifier(TEMPLATE)))
        return
    await set_connections_allowed(connection, spec.source, allowed=False)
    await end_sessions(connection, spec.source)
    copy_statement = statement.format(name, owner, identifier(spec.source))
    await connection.execute(copy_statement + sql.SQL(" CONNECTION LIMIT 0"))


async def _reassign(session: AsyncConnection, old: str, new: str, databases: list[str]) -> None:
    """Reassign the objects of this database. Postgres reassigns whole databases too, so those are reassigned back."""
    await session.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(identifier(old), identifier(new)))
    for database in databases:
        await session.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), identifier(old))
        )


async def _owned(connection: AsyncConnection, role: str) -> list[str]:
    cursor = await connection.execute(
        "SELECT datname FROM pg_database WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = %s)", (role,)
    )
    return [str(row[0]) for row in await cursor.fetchall()]


async def _roles_created_by(connection: AsyncConnection, role: str) -> list[str]:
    """Return the roles that a role created by SQL: Postgres granted it the right to administer those."""
    cursor = await connection.execute(
        """
        WITH RECURSIVE created AS (
            SELECT oid FROM pg_roles WHERE rolname = %s
            UNION
            SELECT membership.roleid
            FROM pg_auth_members AS membership JOIN created ON membership.member = created.oid
            WHERE membership.admin_option AND membership.grantor = 10
        )
        SELECT rolname FROM created JOIN pg_roles USING (oid) WHERE rolname <> %s
        """,
        (role, role),
    )
    return [str(row[0]) for row in await cursor.fetchall()]


async def _next_foreign_database(connection: AsyncConnection, role: str) -> tuple[str, str, bool] | None:
    """Return a database in which a role has objects or rights and that it does not own: name, owner, whether open."""
    cursor = await connection.execute(
        """
        SELECT candidate.datname, owner.rolname, candidate.datallowconn
        FROM pg_shdepend AS link
        JOIN pg_database AS candidate
            ON candidate.oid = link.dbid
            OR (link.dbid = 0 AND link.classid = 'pg_database'::regclass AND candidate.oid = link.objid)
        JOIN pg_roles AS owner ON owner.oid = candidate.datdba
        WHERE link.refclassid = 'pg_authid'::regclass
          AND link.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
          AND owner.rolname <> %s
        ORDER BY 1
        LIMIT 1
        """,
        (role, role),
    )
    row = await cursor.fetchone()
    return None if row is None else (str(row[0]), str(row[1]), bool(row[2]))
