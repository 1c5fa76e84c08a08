"""Connections to the catalog: any Postgres, pooled or not.

Nothing here needs a session: no prepared statements, no session settings, no session locks; autocommit, and explicit
short transactions. A limit on time is kept on this side, since ``statement_timeout`` cannot be set in a way that
every pooler lets through: a block that holds a connection longer than ``block_seconds`` is cancelled, at the server
too. An operator who wants a limit at the server as well sets it on the role (``ALTER ROLE … SET statement_timeout``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool
from pydantic_core import from_json, to_json

from reconciler.errors import CatalogUnavailable

Row = dict[str, Any]
Connection = AsyncConnection[Row]

BLOCK_SECONDS = 30.0
# A connection that worked so lately is not asked again whether it does: under load that would double the questions.
TRUSTED_SECONDS = 1.0
# An undefined table, function or column: the catalog was not migrated yet.
_NOT_MIGRATED = frozenset({"42P01", "42883", "42703"})
# A read-only server is a standby after a failover.
_UNAVAILABLE_STATES = frozenset({"25006", *_NOT_MIGRATED})
_UNAVAILABLE_CLASSES = frozenset({"08", "53", "57"})
# A serialization failure, a deadlock, a lock that an operator's ``lock_timeout`` did not wait for.
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
# libpq's own keep-alive: a server that vanished without a word is noticed within about 25 s.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


class _Connection(AsyncConnection[Row]):
    """A connection that knows when it was last seen to work, in monotonic seconds."""

    worked_at = 0.0


class Database:
    """A pool of connections to the catalog, whose failures all are ``CatalogUnavailable``.

    Args:
        url: ``postgresql://`` address, with its password.
        max_size: most connections at once.
        timeout_seconds: how long to wait for a connection.
        block_seconds: how long one block may hold a connection.

    Raises:
        ValueError: the address cannot be read. The message does not repeat it.
    """

    def __init__(
        self, url: str, *, max_size: int = 10, timeout_seconds: float = 5, block_seconds: float = BLOCK_SECONDS
    ) -> None:
        self._block_seconds = block_seconds
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            readable_url(url),
            connection_class=_Connection,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": None,
                "connect_timeout": max(2, round(timeout_seconds)),
                "application_name": "morphik-apps",
                **_KEEPALIVE,
            },
            min_size=0,
            max_size=max_size,
            timeout=timeout_seconds,
            # Giving up early lets the next caller try at once, so that a server that is back is found within seconds.
            reconnect_timeout=timeout_seconds,
            configure=_configure,
            check=_check,
            open=False,
            name="catalog",
        )
        # Its warnings repeat every second what CatalogUnavailable says once.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

    async def open(self) -> None:
        """Start the pool. Postgres need not be there yet: connections are made when they are asked for."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back to the server."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit, whose rows are dictionaries.

        Raises:
            CatalogUnavailable: the catalog did not answer, or was lost while the block ran.
        """
        try:
            async with asyncio.timeout(self._block_seconds):
                connection = await self._pool.getconn()
                try:
                    yield connection
                    connection.worked_at = time.monotonic()
                finally:
                    await self._pool.putconn(connection)
        except TimeoutError as error:
            raise CatalogUnavailable("the catalog did not answer in time") from error
        except psycopg.Error as error:
            said = unavailable(error)
            if said is None:
                raise
            raise said from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction, committed when the block ends well and rolled back otherwise.

        Raises:
            CatalogUnavailable: as for ``connection``; when it came from the commit, the commit may have happened.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection


async def _configure(connection: _Connection) -> None:
    set_json_loads(from_json, connection)
    set_json_dumps(to_json, connection)


async def _check(connection: _Connection) -> None:
    if time.monotonic() - connection.worked_at > TRUSTED_SECONDS:
        await AsyncConnectionPool.check_connection(connection)


def readable_url(url: str) -> str:
    """The address as it came, once it is known that libpq can read it.

    Raises:
        ValueError: it cannot be read. libpq's own message may repeat a part of it, so it is left out.
    """
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError("the address of the catalog cannot be read as a postgresql:// URI") from None
    return url


def unavailable(error: psycopg.Error) -> CatalogUnavailable | None:
    """What an error says about the catalog as a whole; None when it is about one statement only.

    The message holds no text of the server or of libpq, which may repeat values.
    """
    state = error.sqlstate
    if state in _CONFLICTS:
        return CatalogUnavailable(f"the catalog broke off a transaction that met another one (SQLSTATE {state})")
    if state in _UNAVAILABLE_STATES or (state and state[:2] in _UNAVAILABLE_CLASSES):
        hint = "; run morphik-apps migrate" if state in _NOT_MIGRATED else ""
        return CatalogUnavailable(f"the catalog cannot serve at the moment (SQLSTATE {state}){hint}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return CatalogUnavailable(f"the catalog did not answer ({type(error).__name__})")
    return None
