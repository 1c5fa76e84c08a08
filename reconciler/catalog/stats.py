"""The catalog's own figures about the fleet, the work and the rounds. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from reconciler.catalog.database import Connection, Database, Row
from reconciler.catalog.statements import load
from reconciler.errors import CatalogUnavailable

_SQL = load("stats")


@dataclass(frozen=True, slots=True)
class StatusStats:
    """Apps of one status: how many, and seconds since the oldest of them is not as it was asked for."""

    apps: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class LaneStats:
    """Work of one lane: how many apps are due, seconds since the oldest is, and how many are being worked on."""

    due: int
    oldest_seconds: float
    leased: int


@dataclass(frozen=True, slots=True)
class JobStats:
    """Seconds since the whole fleet was last looked at (before the first time: since the catalog was made), and how
    long that look took (0 before the first).
    """

    age_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FleetStats:
    """The figures of one moment.

    Attributes:
        statuses: by status; an absent one has no apps.
        lanes: by number of the lane; an absent one has no work.
        rounds: by name of the periodic job.
        stopped: whether changes at Neon are stopped.
        quarantined: whether that is so because a person must say which catalog is the right one.
        orphans: projects of ours that no app names.
    """

    statuses: Mapping[str, StatusStats]
    lanes: Mapping[int, LaneStats]
    jobs: Mapping[str, JobStats]
    stopped: bool
    orphans: int
    quarantined: bool = False


async def read_stats(database: Database) -> FleetStats:
    """Ask the catalog. Raises CatalogUnavailable, also when the login may not read the figures."""
    try:
        async with database.connection() as connection:
            apps = await _rows(connection, "apps")
            work = await _rows(connection, "queue")
            rounds = await _rows(connection, "jobs")
            [plane] = await _rows(connection, "control_plane")
    except psycopg.Error as error:
        raise CatalogUnavailable(f"the login cannot read the catalog's stats (SQLSTATE {error.sqlstate})") from error
    return FleetStats(
        statuses={row["status"]: StatusStats(int(row["apps"]), row["oldest"]) for row in apps},
        lanes={row["lane"]: LaneStats(row["due"], row["oldest"], row["held"]) for row in work},
        jobs={row["name"]: JobStats(row["age"], row["seconds"]) for row in rounds},
        stopped=plane["stopped"],
        orphans=plane["orphans"],
        quarantined=plane["quarantined"],
    )


async def _rows(connection: Connection, statement: str) -> list[Row]:
    return await (await connection.execute(_SQL[statement])).fetchall()
