"""Carries out the machine's commands in a real Postgres cluster. Every command may be carried out again."""

from __future__ import annotations

import re
from typing import assert_never

from psycopg import AsyncConnection, errors, sql
from psycopg_pool import AsyncConnectionPool

from reconciler.local.neon.cluster import GROUP, TEMPLATE, exists, prepare
from reconciler.local.neon.commands import NAME_PATTERN, Command, Ensure, Login, Remove, RemoveRole, Store
from reconciler.local.postgres import EmbeddedPostgres

_NAME = re.compile(NAME_PATTERN)


class Backing:
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
        await prepare(self._postgres)
        pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            self._postgres.dsn(),
            open=False,
            min_size=1,
            max_size=self._connections,
            timeout=600,
            kwargs={"autocommit": True},
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
                case Ensure():
                    await self._ensure(connection, command)
                case RemoveRole():
                    await self._remove_role(connection, command.role)
                case Remove():
                    await self._remove(connection, command)
                case _:
                    assert_never(command)

    async def _ensure(self, connection: AsyncConnection, command: Ensure) -> None:
        async with connection.transaction():
            for login in command.logins:
                await _ensure_role(connection, login, may_login=command.open)
        for store in command.stores:
            await self._ensure_database(connection, store, command)

    async def _ensure_database(self, connection: AsyncConnection, store: Store, command: Ensure) -> None:
        name = _identifier(store.name)
        try:
            if not await exists(connection, store.name):
                await _create(connection, store)
        finally:
            # Also when a former attempt was cut short after it had closed the source.
            if store.source is not None:
                await _allow(connection, store.source, allow=command.source_open)
        async with connection.transaction():
            for login in command.logins:
                await connection.execute(
                    sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, _identifier(login.name))
                )
            await connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, _identifier(store.owner)))
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        if store.source is not None:
            await self._hand_over(connection, store.name, command.handover)
        await _allow(connection, store.name, allow=command.open)
        if not command.open:
            await _end_sessions(connection, store.name)

    async def _hand_over(self, connection: AsyncConnection, database: str, pairs: tuple[tuple[str, str], ...]) -> None:
        """In a copy, give to the branch's own roles what its parent's roles own."""
        await _allow(connection, database, allow=True)
        async with await self._inside(database) as inside, inside.transaction():
            for old, new in pairs:
                await _reassign(inside, old, new)

    async def _remove_role(self, connection: AsyncConnection, role: str) -> None:
        if not await _role_exists(connection, role):
            return
        await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(_identifier(role)))
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
        # A database that the role itself made passes on with the first one that it does not own, and comes next.
        while (found := await _database_of_another(connection, role)) is not None:
            database, owner, is_open = found
            await self._pass_on(connection, role, database, owner, is_open=is_open)
        await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(_identifier(role)))

    async def _pass_on(
        self, connection: AsyncConnection, role: str, database: str, owner: str, *, is_open: bool
    ) -> None:
        """Give what a role owns in a database to the database's owner, and take its rights there."""
        if not is_open:
            await _allow(connection, database, allow=True)
        async with await self._inside(database) as inside, inside.transaction():
            await inside.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(_identifier(role), sql.Identifier(owner)))
            await inside.execute(sql.SQL("DROP OWNED BY {}").format(_identifier(role)))
        if not is_open:
            await _allow(connection, database, allow=False)

    async def _remove(self, connection: AsyncConnection, command: Remove) -> None:
        for database in command.databases:
            await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(_identifier(database)))
        for role in command.roles:
            if not await _role_exists(connection, role):
                continue
            for made in await _owned(connection, role):
                await connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(made))
                )
            made_roles = await _made_by(connection, role)
            await self._remove_role(connection, role)
            for made in made_roles:
                try:
                    await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(made)))
                except errors.DependentObjectsStillExist:
                    continue

    async def _inside(self, database: str) -> AsyncConnection:
        return await AsyncConnection.connect(self._postgres.dsn(database), autocommit=True)


def _identifier(name: str) -> sql.Identifier:
    """Quote a name of ours; anything else is a mistake that must not reach the cluster."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("not a name that local Neon makes")
    return sql.Identifier(name)


async def _ensure_role(connection: AsyncConnection, login: Login, *, may_login: bool) -> None:
    name = _identifier(login.name)
    # Only a verifier goes into the statement: statements are logged, and seen by others.
    verifier = connection.pgconn.encrypt_password(login.password.encode(), login.name.encode(), b"scram-sha-256")
    verb = "ALTER" if await _role_exists(connection, login.name) else "CREATE"
    await connection.execute(
        sql.SQL("{} ROLE {} {} INHERIT CREATEROLE CREATEDB BYPASSRLS REPLICATION PASSWORD {}").format(
            sql.SQL(verb), name, sql.SQL("LOGIN" if may_login else "NOLOGIN"), sql.Literal(verifier.decode())
        )
    )
    await connection.execute(
        sql.SQL("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET FALSE").format(sql.Identifier(GROUP), name)
    )


async def _create(connection: AsyncConnection, store: Store) -> None:
    """Make a database that nobody can connect to yet: a new one is open to all until that is revoked."""
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ALLOW_CONNECTIONS false")
    name, owner = _identifier(store.name), _identifier(store.owner)
    if store.source is None:
        await connection.execute(statement.format(name, owner, sql.Identifier(TEMPLATE)))
        return
    await _allow(connection, store.source, allow=False)
    await _end_sessions(connection, store.source)
    await connection.execute(statement.format(name, owner, _identifier(store.source)))


async def _allow(connection: AsyncConnection, database: str, *, allow: bool) -> None:
    await connection.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
            sql.Identifier(database), sql.SQL("true" if allow else "false")
        )
    )


async def _end_sessions(connection: AsyncConnection, database: str) -> None:
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (database,)
    )


async def _reassign(inside: AsyncConnection, old: str, new: str) -> None:
    """Reassign what lies in this database. Postgres reassigns whole databases too, so those are given back."""
    databases = await _owned(inside, old)
    await inside.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(_identifier(old), _identifier(new)))
    for database in databases:
        await inside.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), _identifier(old))
        )


async def _role_exists(connection: AsyncConnection, role: str) -> bool:
    found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    return await found.fetchone() is not None


async def _owned(connection: AsyncConnection, role: str) -> list[str]:
    found = await connection.execute(
        "SELECT datname FROM pg_database WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = %s)", (role,)
    )
    return [str(row[0]) for row in await found.fetchall()]


async def _made_by(connection: AsyncConnection, role: str) -> list[str]:
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


async def _database_of_another(connection: AsyncConnection, role: str) -> tuple[str, str, bool] | None:
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
