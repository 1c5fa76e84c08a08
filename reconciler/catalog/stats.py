"""Stats of the fleet, the work queue and the periodic jobs. Reads only."""

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
    """Apps of one status: their number, and seconds since the oldest of them has not matched its desired state."""

    apps: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class LaneStats:
    """Apps of one lane: the number of due ones, seconds since the oldest was due, and the number of leased ones."""

    due: int
    oldest_seconds: float
    leased: int


@dataclass(frozen=True, slots=True)
class JobStats:
    """Seconds since the job last completed the fleet (before the first time: since the catalog was created), and how
    long that took (0 before the first time).
    """

    age_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FleetStats:
    """The stats of one moment.

    Attributes:
        statuses: by status; an absent one has no apps.
        lanes: by number of the lane; an absent one has no work.
        jobs: by name of the periodic job.
        stopped: whether mutations are suspended.
        quarantined: whether an operator must decide if the catalog is authoritative.
        orphans: owned projects without an app.
    """

    statuses: Mapping[str, StatusStats]
    lanes: Mapping[int, LaneStats]
    jobs: Mapping[str, JobStats]
    stopped: bool
    orphans: int
    quarantined: bool = False


async def read_stats(database: Database) -> FleetStats:
    """Read the stats. Raises CatalogUnavailable, also if the login cannot read them."""
    try:
        async with database.connection() as connection:
            apps = await _rows(connection, "apps")
            work = await _rows(connection, "queue")
            jobs = await _rows(connection, "jobs")
            [control_plane] = await _rows(connection, "control_plane")
    except psycopg.Error as error:
        raise CatalogUnavailable(f"the login cannot read the catalog's stats (SQLSTATE {error.sqlstate})") from error
    return FleetStats(
        statuses={row["status"]: StatusStats(int(row["apps"]), row["oldest"]) for row in apps},
        lanes={row["lane"]: LaneStats(row["due"], row["oldest"], row["leased"]) for row in work},
        jobs={row["name"]: JobStats(row["age"], row["seconds"]) for row in jobs},
        stopped=control_plane["stopped"],
        orphans=control_plane["orphans"],
        quarantined=control_plane["quarantined"],
    )


async def _rows(connection: Connection, statement: str) -> list[Row]:
    return await (await connection.execute(_SQL[statement])).fetchall()
