"""Connections to the catalog: any Postgres, pooled or not.

Nothing here needs a session: no prepared statements and no session locks. The settings of statements are set once on a
direct connection, and for each transaction behind a pooler (``session``); there a single statement and its transaction
are a single round trip. Several statements share a ``Database.transaction``. A block that
holds a connection longer than ``block_seconds`` is cancelled, also at the server, which has the same limit for a
statement and an idle transaction.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, LiteralString, Self

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic_core import from_json, to_json

from reconciler.catalog import session
from reconciler.catalog.address import reason_of, validated_url
from reconciler.errors import CatalogUnavailable

Row = dict[str, Any]

MAX_HOLD_SECONDS = 30.0
# A connection that worked so lately is not asked again whether it does: under load that would double the questions.
SKIP_CHECK_SECONDS = 1.0
# An undefined table, function or column: the catalog was not migrated yet.
_NOT_MIGRATED = frozenset({"42P01", "42883", "42703"})
# The server became a standby, or the primary, behind a connection that began its transactions for the other.
_ROLE_CHANGED = frozenset({"25006", "0A000"})
_UNAVAILABLE_STATES = frozenset({*_ROLE_CHANGED, *_NOT_MIGRATED})
_UNAVAILABLE_CLASSES = frozenset({"08", "53", "57"})
# A serialization failure, a deadlock, a lock that was not waited for.
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})


class _Cursor(AsyncCursor[Any]):
    """A cursor whose results are binary, and which behind a pooler gives a single statement its own transaction."""

    async def execute(self, query: Any, params: Any = None, *, prepare: Any = None, binary: Any = None) -> Self:
        """Run a statement, in the transaction that is open or in its own, which ends with it."""
        connection = self.connection
        binary = True if binary is None else binary
        if (
            not isinstance(connection, Connection)
            or connection.owned
            or connection.info.transaction_status is not TransactionStatus.IDLE
        ):
            return await super().execute(query, params, prepare=prepare, binary=binary)
        own = AsyncCursor(connection)
        handled = sys.exception()
        try:
            async with connection.pipeline():
                await own.execute(connection.begin)
                await own.execute(connection.pinned)
                await super().execute(query, params, prepare=prepare, binary=binary)
                await own.execute("COMMIT")
        except psycopg.Error as error:
            await connection.give_up()
            raise _first_error(error, handled) from None
        return self


class Connection(AsyncConnection[Row]):
    """A connection of the pool.

    Attributes:
        worked_at: when it was last seen to work, in monotonic seconds.
        owned: whether the server's session is this connection's alone, and has its settings.
        begin: how its transactions begin.
        pinned: what they set, or where ``owned`` what the session has set.
    """

    worked_at = 0.0
    owned = False
    begin: LiteralString = session.READ_WRITE
    pinned: LiteralString = "SELECT"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _Cursor

    @classmethod
    async def connect(cls, *arguments: Any, failed: Callable[[Exception], None], **options: Any) -> Self:  # type: ignore[override]
        """Connect; ``failed`` gets the error, of which the pool keeps nothing."""
        try:
            return await super().connect(*arguments, **options)
        except psycopg.Error as error:
            failed(error)
            raise

    @asynccontextmanager
    async def block(self) -> AsyncIterator[None]:
        """Open a transaction for several statements; BEGIN and its settings are a single round trip."""
        own = AsyncCursor(self)
        try:
            await own.execute("BEGIN" if self.owned else f"{self.begin}; {self.pinned}")
            yield
            await own.execute("COMMIT")
        except BaseException:
            await self.give_up()
            raise

    async def give_up(self) -> None:
        """Roll back if the connection is open."""
        if not self.closed:
            with suppress(psycopg.Error):
                await self.rollback()


class Database:
    """A pool of connections to the catalog, whose failures all are ``CatalogUnavailable``.

    Args:
        url: an address that libpq reads, with its password.
        max_size: the maximum number of connections.
        timeout_seconds: how long to wait for a connection.
        block_seconds: how long one block may hold a connection.
        setting: where the address comes from, for messages.

    Raises:
        ValueError: the address cannot be read. The message does not repeat it.
    """

    def __init__(
        self,
        url: str,
        *,
        max_size: int = 10,
        timeout_seconds: float = 5,
        block_seconds: float = MAX_HOLD_SECONDS,
        setting: str = "DATABASE_URL",
    ) -> None:
        self._block_seconds = block_seconds
        self._setting = setting
        self._schema: str | None = None
        self._failure: Exception | None = None
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            validated_url(url),
            connection_class=Connection,
            kwargs={
                **session.CONNECT,
                "row_factory": dict_row,
                "connect_timeout": max(2, round(timeout_seconds)),
                "application_name": "morphik-apps",
                "failed": self._failed,
            },
            min_size=0,
            max_size=max_size,
            timeout=timeout_seconds,
            # A short timeout lets the next caller retry immediately, so that a recovered server is found quickly.
            reconnect_timeout=timeout_seconds,
            configure=self._configure,
            check=_check,
            open=False,
            name="catalog",
        )
        # Their warnings repeat every second what CatalogUnavailable says once.
        for name in ("psycopg", "psycopg.pool"):
            logging.getLogger(name).setLevel(logging.ERROR)

    async def open(self) -> None:
        """Start the pool. Postgres need not be available yet: the pool connects on demand."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back to the server."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction, committed when the block ends well and rolled back otherwise.

        Raises:
            CatalogUnavailable: as for ``connection``; when it came from the commit, the commit may have happened.
        """
        async with self.connection() as connection, connection.block():
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection whose statements are a transaction each, and whose rows are dictionaries.

        Raises:
            CatalogUnavailable: the catalog did not answer, or was lost while the block ran.
        """
        try:
            async with asyncio.timeout(self._block_seconds):
                connection = await self._pool.getconn()
                try:
                    yield connection
                    connection.worked_at = time.monotonic()
                except psycopg.Error as error:
                    if error.sqlstate in _ROLE_CHANGED:
                        await self._pool.drain()  # new connections ask again what the server is
                    raise
                finally:
                    await self._pool.putconn(connection)
        except TimeoutError as error:
            raise CatalogUnavailable("the catalog did not answer in time") from error
        except PoolTimeout as error:
            reason = type(error).__name__ if self._failure is None else reason_of(self._failure)
            raise CatalogUnavailable(f"the catalog did not answer ({reason}; see {self._setting})") from error
        except psycopg.Error as error:
            unavailable = classify_error(error)
            if unavailable is None:
                raise
            raise unavailable from error

    def _failed(self, error: Exception) -> None:
        self._failure = error

    async def _configure(self, connection: Connection) -> None:
        """Prepare a new connection; the pool keeps nothing of an error, so it is noted here.

        Raises:
            psycopg.Error: as for ``_pin``.
        """
        try:
            await self._pin(connection)
        except psycopg.Error as error:
            self._failed(error)
            raise
        self._failure = None

    async def _pin(self, connection: Connection) -> None:
        """Find out where the catalog is, with the first connection, and pin that and all other settings.

        Raises:
            psycopg.Error: it cannot be found out, or the connection is not one that carries UTF-8.
        """
        if connection.info.encoding != "utf-8":
            raise psycopg.OperationalError("a pooler does not carry client_encoding")
        set_json_loads(from_json, connection)
        set_json_dumps(to_json, connection)
        connection.adapters.register_loader("timestamptz", session.UtcLoader)
        own = AsyncCursor(connection, row_factory=dict_row)
        # In a single round trip: an idle transaction holds a pooler's connection, and the server's settings may end it.
        await own.execute(f"{session.READ_COMMITTED}; {session.FOUND}; COMMIT")
        own.nextset()
        [server] = await own.fetchall()
        self._schema = self._schema or server["schema"]
        connection.owned = server["backend"] == connection.info.backend_pid
        connection.begin = session.READ_ONLY if server["standby"] else session.READ_WRITE
        pins = session.owned if connection.owned else session.pinned
        connection.pinned = pins(
            self._schema or "public", seconds=self._block_seconds, server_version=connection.info.server_version
        )
        if connection.owned:
            await own.execute(f"{session.READ_COMMITTED}; {connection.pinned}; COMMIT")


async def _check(connection: Connection) -> None:
    if time.monotonic() - connection.worked_at > SKIP_CHECK_SECONDS:
        await AsyncCursor(connection).execute(f"{session.READ_COMMITTED}; COMMIT")


def _first_error(error: BaseException, handled: BaseException | None) -> BaseException:
    """The first of the errors that ended a pipeline; ``handled`` is what its caller was handling.

    When a connection ends within a pipeline, psycopg raises up to three errors, each the context of the next: for the
    statement, for the results that are left, and for the end of the pipeline. Only the first has the server's reason.
    """
    while (earlier := error.__context__) is not handled and isinstance(earlier, psycopg.Error | asyncio.CancelledError):
        error = earlier
    return error


def classify_error(error: psycopg.Error) -> CatalogUnavailable | None:
    """Return the error for an unavailable catalog, or None if the error concerns one statement only.

    The message contains no text of the server or libpq, which may repeat values.
    """
    state = error.sqlstate
    if state in _CONFLICTS:
        return CatalogUnavailable(f"the catalog broke off a transaction that met another one (SQLSTATE {state})")
    if state in _UNAVAILABLE_STATES or (state and state[:2] in _UNAVAILABLE_CLASSES):
        hint = "; run morphik-apps migrate" if state in _NOT_MIGRATED else ""
        return CatalogUnavailable(f"the catalog cannot serve at the moment (SQLSTATE {state}){hint}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return CatalogUnavailable(f"the catalog did not answer ({reason_of(error)})")
    return None
