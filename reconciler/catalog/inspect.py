"""Inspects a catalog in transactions in which the server rejects writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from reconciler.catalog.database import Connection, Database, Row
from reconciler.catalog.migrate import packaged_migrations
from reconciler.catalog.rows import app_from_row
from reconciler.catalog.statements import load
from reconciler.errors import CatalogUnavailable
from specs.metadata import AppMetadata

_SQL = load("inspect")


@dataclass(frozen=True, slots=True)
class Server:
    """The Postgres behind the catalog.

    Attributes:
        version: as the server reports it.
        major: its major version.
        is_writable: False for a standby.
        encoding: of the database, as Postgres names it.
        clock_skew: how far its clock is ahead of this machine's.
        uncertainty: the possible error of that: half of the duration of the query.
    """

    version: str
    major: int
    is_writable: bool
    encoding: str
    clock_skew: timedelta
    uncertainty: timedelta


@dataclass(frozen=True, slots=True)
class Schema:
    """The state of the catalog's schema.

    Attributes:
        made: whether the catalog's tables exist.
        migrating: whether migrations are running now.
        pending: ids of this program's migrations that are not applied, in order.
        newer: applied ids that this program does not have.
        lock_row: the process in yoyo's own lock row, which remains after a killed process.
    """

    made: bool
    migrating: bool
    pending: tuple[str, ...]
    newer: tuple[str, ...]
    lock_row: int | None


@dataclass(frozen=True, slots=True)
class Privileges:
    """The login's privileges in the catalog."""

    login: str
    serves: bool
    reconciles: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """The catalog's id and binding, which is None before the first mutation.

    ``unused``: it has no creates and was never promoted. ``quarantined``: an operator must decide about it.
    """

    catalog_id: str
    org_id: str | None
    neon_api_url: str | None
    control_plane_id: str | None
    stop_reason: str | None
    projects: int
    unused: bool
    quarantined: bool


class CatalogInspector:
    """Reads a catalog's state.

    Args:
        database: the catalog.

    Every method raises CatalogUnavailable if the catalog does not respond, is not migrated, or is not readable. The
    message contains no text of the server.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def server(self) -> Server:
        """Return the server, and the skew of its clock against this machine's."""
        async with self._reading() as connection:
            before = datetime.now(UTC)
            row = await _fetch_one(connection, "server")
            after = datetime.now(UTC)
        half = (after - before) / 2
        return Server(
            version=str(row["version"]).split(" ", 1)[0],
            major=row["number"] // 10_000,
            is_writable=not row["standby"],
            encoding=row["encoding"],
            clock_skew=row["now"] - (before + half),
            uncertainty=half,
        )

    async def schema(self) -> Schema:
        """Return applied, pending and interrupted migrations."""
        async with self._reading() as connection:
            row = await _fetch_one(connection, "schema")
            applied = {item["migration_id"] for item in await _all(connection, "applied")} if row["noted"] else set()
            locks = await _all(connection, "lock_row") if row["has_lock_table"] else []
        carried = packaged_migrations()
        return Schema(
            made=row["made"],
            migrating=row["migrating"],
            pending=tuple(sorted(carried - applied)),
            newer=tuple(sorted(applied - carried)),
            lock_row=locks[0]["pid"] if locks else None,
        )

    async def privileges(self) -> Privileges:
        """Return the login's privileges."""
        async with self._reading() as connection:
            return Privileges(**await _fetch_one(connection, "privileges"))

    async def identity(self) -> Identity:
        """Return the catalog's identity and binding."""
        async with self._reading() as connection:
            row = await _fetch_one(connection, "identity")
        return Identity(stop_reason=row.pop("mutation_stop_reason"), **row)

    async def wrapping_keys(self) -> dict[str, int]:
        """Return the number of apps per wrapping key, by the key's id."""
        async with self._reading() as connection:
            return {row["key_id"]: row["apps"] for row in await _all(connection, "wrapping_keys")}

    async def wrapped(self, key_id: str, limit: int) -> list[AppMetadata]:
        """Return the latest apps whose data key this key wraps."""
        async with self._reading() as connection:
            rows = await _all(connection, "wrapped", {"key_id": key_id, "limit": limit})
        return [app_from_row(row) for row in rows]

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_SQL["read_only"])
                yield connection
        except psycopg.Error as error:
            raise CatalogUnavailable(f"the login cannot read the catalog (SQLSTATE {error.sqlstate})") from None


async def _all(connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
    return await (await connection.execute(_SQL[statement], parameters)).fetchall()


async def _fetch_one(connection: Connection, statement: str) -> Row:
    return (await _all(connection, statement))[0]
