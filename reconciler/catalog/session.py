"""The settings that every transaction of the catalog depends on.

A database, a role, the environment and an earlier client of a pooled connection can change the meaning of a statement.
The values of results do not depend on settings: results are binary, and ``client_encoding`` is a start-up parameter,
which poolers support. All other settings are set once on a direct connection. Behind a transaction pooler a session's
``SET`` is lost or reaches another client, so there each transaction starts with its isolation, its access mode and one
``SELECT`` that sets the rest until its end.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, LiteralString

from psycopg import DataError
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.sql import SQL, Identifier, Literal

# libpq's keepalives: a server that disappears without closing the connection is noticed within about 25 s.
CONNECT: Mapping[str, Any] = MappingProxyType(
    {
        "autocommit": True,
        "prepare_threshold": None,
        "client_encoding": "UTF8",
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
)
"""How every connection to the catalog is made."""
READ_WRITE: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
READ_ONLY: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
"""The start of a transaction, on a primary and on a standby, which allows only this one."""
READ_COMMITTED: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""The start of a transaction before the server's role is known: a standby rejects a serializable default."""
FOUND: LiteralString = """/* session.found */ SELECT pg_catalog.current_schema() AS schema,
       pg_catalog.pg_is_in_recovery() AS standby, pg_catalog.current_setting('server_encoding') AS encoding,
       pg_catalog.pg_backend_pid() AS backend"""
"""The query of a new connection: the catalog's schema, the server's role and encoding, and the backend.

A pooler gives its clients cancel keys of its own, so behind one ``backend`` is not the process ID that the connection
got with its key (PostgreSQL, "Message Formats", BackendKeyData; PgBouncer does so in every pool mode).
"""
# Where SQL_ASCII is the encoding, Postgres keeps the bytes as they come, and they come as UTF-8.
ENCODINGS = frozenset({"UTF8", "SQL_ASCII"})
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def search_path(schema: str) -> str:
    """The search path of every transaction: the catalog's schema, behind what Postgres itself defines."""
    return SQL("{}, pg_temp").format(Identifier(schema)).as_string(None)


def pinned(schema: str, *, seconds: float, server_version: int) -> LiteralString:
    """The statement that sets what a transaction depends on, until its end.

    Args:
        schema: where the catalog is.
        seconds: how long a statement may take, with its wait for locks, and how long a transaction may be idle;
            0 is no limit.
        server_version: as libpq counts, such as 170002.
    """
    return _set(_values(schema, seconds, server_version), until_commit=True)


def owned(schema: str, *, seconds: float, server_version: int) -> LiteralString:
    """The statement that sets it for the life of a session that no other client can use; arguments as ``pinned``."""
    values = _values(schema, seconds, server_version)
    values |= {"default_transaction_isolation": "read committed", "default_transaction_read_only": "off"}
    return _set(values, until_commit=False)


def _values(schema: str, seconds: float, server_version: int) -> dict[str, str]:
    limit = f"{max(1, round(seconds * 1000)) if seconds else 0}ms"
    values = {
        "search_path": search_path(schema),
        "client_encoding": "UTF8",
        "standard_conforming_strings": "on",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "TimeZone": "UTC",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        # A policy that hides rows would look like apps that are gone: then an error is better.
        "row_security": "off",
        "statement_timeout": limit,
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": limit,
    }
    return values | ({"transaction_timeout": "0"} if server_version >= 170000 else {})


def _set(values: Mapping[str, str], *, until_commit: bool) -> LiteralString:
    local = "true" if until_commit else "false"
    calls = [f"pg_catalog.set_config({_quoted(name)}, {_quoted(value)}, {local})" for name, value in values.items()]
    # A commit is acknowledged only when it is on disk, also if the server's default differs.
    calls.append(
        "pg_catalog.set_config('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit')"
        f" WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, {local})"
    )
    # The schema's name is the only part that is not written here, and it is quoted.
    return f"/* session.pinned */ SELECT {', '.join(calls)}"


def _quoted(text: str) -> str:
    return Literal(text).as_string(None)


class UtcLoader(Loader):
    """Reads a binary ``timestamptz`` as a ``datetime`` in UTC; psycopg's own gives it the session's time zone."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """The moment, aware and in UTC."""
        (microseconds,) = struct.unpack("!q", data)
        try:
            return _EPOCH + timedelta(microseconds=microseconds)
        except OverflowError:
            raise DataError("a timestamp is infinite or beyond what Python can hold") from None
