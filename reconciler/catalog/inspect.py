"""What can be known of a catalog without changing it: in every look the server itself refuses writes."""

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
        version: as it calls itself.
        major: its major version.
        takes_writes: False for a standby.
        encoding: of the database, as Postgres names it.
        ahead: how far its clock is ahead of this machine's.
        uncertainty: how far that may be off: half of the time that the question took.
    """

    version: str
    major: int
    is_writable: bool
    encoding: str
    clock_skew: timedelta
    uncertainty: timedelta


@dataclass(frozen=True, slots=True)
class Schema:
    """How far the catalog's schema is.

    Attributes:
        made: whether the catalog's tables are there.
        migrating: whether somebody is applying migrations at this moment.
        pending: ids that this program carries and that were not applied, in order.
        newer: ids that were applied and that this program does not carry.
        lock_row: the process that yoyo's own lock row names, which a killed one leaves behind.
    """

    made: bool
    migrating: bool
    pending: tuple[str, ...]
    newer: tuple[str, ...]
    lock_row: int | None


@dataclass(frozen=True, slots=True)
class Privileges:
    """What the login may do in the catalog."""

    login: str
    serves: bool
    reconciles: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Which catalog this is and what it works with; None before the first change at Neon.

    ``unused``: it has begun no create and was never claimed. ``quarantined``: an operator must decide about it.
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
    """Looks at a catalog.

    Args:
        database: the catalog.

    Every method raises CatalogUnavailable when the catalog does not answer, is not migrated, or may not be read; the
    message holds no text of the server.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def server(self) -> Server:
        """The server, and its clock against this machine's."""
        async with self._reading() as connection:
            before = datetime.now(UTC)
            row = await _one(connection, "server")
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
        """Applied, pending and interrupted migrations."""
        async with self._reading() as connection:
            found = await _one(connection, "schema")
            applied = {row["migration_id"] for row in await _all(connection, "applied")} if found["noted"] else set()
            held = await _all(connection, "lock_row") if found["has_lock_table"] else []
        carried = packaged_migrations()
        return Schema(
            made=found["made"],
            migrating=found["migrating"],
            pending=tuple(sorted(carried - applied)),
            newer=tuple(sorted(applied - carried)),
            lock_row=held[0]["pid"] if held else None,
        )

    async def privileges(self) -> Privileges:
        """What the login may do."""
        async with self._reading() as connection:
            return Privileges(**await _one(connection, "privileges"))

    async def identity(self) -> Identity:
        """The catalog's identity and pins."""
        async with self._reading() as connection:
            row = await _one(connection, "identity")
        return Identity(stop_reason=row.pop("mutation_stop_reason"), **row)

    async def wrapping_keys(self) -> dict[str, int]:
        """How many apps each wrapping key is in use for, by the key's id."""
        async with self._reading() as connection:
            return {row["key_id"]: row["apps"] for row in await _all(connection, "wrapping_keys")}

    async def wrapped(self, key_id: str, limit: int) -> list[AppMetadata]:
        """The latest apps whose data key this key wraps."""
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


async def _one(connection: Connection, statement: str) -> Row:
    return (await _all(connection, statement))[0]
