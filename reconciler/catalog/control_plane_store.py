"""The control plane as a whole: binding, suspension of mutations, resync reads and wake-ups, orphans, job leases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.catalog.database import Database, Row
from reconciler.catalog.identity import CatalogIdentityStore
from reconciler.catalog.rows import app_from_fields, app_from_row
from reconciler.catalog.statements import load
from reconciler.catalog.work_queue import AGING_SECONDS
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import Project

_SQL = load("control_plane_store")
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Binding:
    """The organization, API and control plane that this catalog is bound to since its first mutation."""

    org_id: str
    neon_api_url: str
    control_plane_id: str


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job under a lease, with the checkpoint of the last run."""

    name: str
    token: int
    checkpoint: str


class ControlPlaneStore:
    """Reads and writes that concern all apps.

    Args:
        database: the catalog.
        owner: identifies this process in the leases of jobs.
        lease_seconds: the duration of a job's lease.

    Attributes:
        identity: the catalog's identity.
    """

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        self.identity = CatalogIdentityStore(database)
        self._database = database
        self._owner = owner
        self._lease_seconds = lease_seconds

    async def catalog_id(self) -> str:
        """Return the catalog's id."""
        return str((await self._row("binding"))["catalog_id"])

    async def binding(self) -> Binding | None:
        """Return the binding, or None before the first use."""
        row = await self._row("binding")
        if row["org_id"] is None:
            return None
        return Binding(row["org_id"], row["neon_api_url"], row["control_plane_id"])

    async def bind(self, binding: Binding) -> Binding:
        """Record the binding unless one is recorded, and return the recorded one."""
        parameters = {
            "org_id": binding.org_id,
            "neon_api_url": binding.neon_api_url,
            "control_plane_id": binding.control_plane_id,
        }
        async with self._database.connection() as connection:
            await connection.execute(_SQL["bind"], parameters)
        # A separate statement reads it, since another daemon may have been first.
        return await self.binding() or binding

    async def set_control_plane_id(self, control_plane_id: str) -> bool:
        """Change the CONTROL_PLANE_ID of an unused, quarantined catalog, and end the quarantine. Return whether it was.

        All projects are examined again, so a quarantine with another reason returns.
        """
        return await self._changed("set_control_plane_id", {"control_plane_id": control_plane_id})

    async def stop(self, reason: str) -> bool:
        """Suspend all mutations. Return whether they were not suspended before."""
        return await self._changed("stop", {"reason": reason})

    async def clear_stop(self) -> bool:
        """Resume mutations. Return whether they were suspended."""
        return await self._changed("clear_stop")

    async def override_stop(self) -> datetime:
        """Record an operator's confirmation that missing projects were deleted on purpose. Return its expiry."""
        until: datetime = (await self._row("override_stop"))["stop_overridden_until"]
        return until

    async def stop_overridden(self) -> bool:
        """Whether such a confirmation is in effect."""
        return bool((await self._row("stop_overridden"))["overridden"])

    async def clock(self) -> datetime:
        """Return the time of the catalog's clock."""
        now: datetime = (await self._row("clock"))["now"]
        return now

    async def rows(self) -> AsyncIterator[AppMetadata]:
        """Yield every app until its tombstone expires, without secrets, in pages, each in its own transaction."""
        after = ""
        while page := await self._rows("resync_rows", {"after": after, "limit": PAGE}):
            for row in page:
                yield app_from_fields(row)
            after = page[-1]["app_id"]

    async def deep_resync_rows(self, after: str, limit: int) -> list[AppMetadata]:
        """Return the next converged apps after the id ``after``."""
        rows = await self._rows("deep_resync_rows", {"after": after, "limit": limit})
        return [app_from_row(row) for row in rows]

    async def count_connected(self) -> int:
        """Return the number of apps that deep resyncs check."""
        return int((await self._row("count_connected"))["apps"])

    async def sample_recorded_projects(self, start: str, exclude_app_id: str, limit: int) -> list[str]:
        """Return verified projects of the apps from the id ``start`` on, cyclically, without ``exclude_app_id``."""
        parameters = {"start": start, "besides": exclude_app_id, "limit": limit}
        return [row["project_id"] for row in await self._rows("sample_projects", parameters)]

    async def wake(self, app_ids: Sequence[str], *, missing: bool = False) -> None:
        """Make these apps due, with a lower priority than user requests."""
        if app_ids:
            parameters = {"app_ids": list(app_ids), "missing": missing, "aging_seconds": AGING_SECONDS}
            await self._rows("wake", parameters)

    async def enqueue_duplicates(self, duplicates: Iterable[tuple[str, str]]) -> None:
        """Add (app_id, project_id) candidates to their apps, and make the apps due."""
        pairs = list(duplicates)
        if pairs:
            parameters = {
                "app_ids": [app_id for app_id, _ in pairs],
                "project_ids": [project_id for _, project_id in pairs],
                "aging_seconds": AGING_SECONDS,
            }
            async with self._database.connection() as connection:
                await connection.execute(_SQL["enqueue_duplicates"], parameters)

    async def known_orphans(self) -> set[str]:
        """Return the ids of reported projects."""
        return {row["project_id"] for row in await self._rows("known_orphans")}

    async def report_orphan(self, project: Project) -> bool:
        """Record a project without a row. Return whether it is new."""
        name = parse_project_name(project.name)
        parameters = {
            "project_id": project.id,
            "project_name": project.name,
            "app_id": name.app_id if name else "",
        }
        return await self._changed("report_orphan", parameters)

    async def forget_orphans(self, seen: Iterable[str]) -> None:
        """Delete the reported projects that a complete list did not contain."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["forget_orphans"], {"seen": sorted(seen)})

    async def claim_job(self, name: str, period_seconds: float) -> Job | None:
        """Lease a periodic job if it is due and not leased."""
        parameters = {
            "name": name,
            "owner": self._owner,
            "lease": self._lease_seconds,
            "period": period_seconds,
        }
        rows = await self._rows("claim_job", parameters)
        return Job(name, rows[0]["lease_token"], rows[0]["checkpoint"]) if rows else None

    async def job_finished_at(self, name: str) -> datetime | None:
        """Return when a job last completed the whole fleet, by the catalog's clock; None before the first time."""
        rows = await self._rows("job_finished_at", {"name": name})
        finished: datetime | None = rows[0]["cycle_finished_at"] if rows else None
        return finished

    async def renew_job(self, job: Job) -> bool:
        """Renew a job's lease. Return False if it was lost."""
        parameters = {"name": job.name, "token": job.token, "lease": self._lease_seconds}
        return await self._changed("renew_job", parameters)

    async def finish_job(self, job: Job, checkpoint: str = "", *, complete: bool = False) -> None:
        """Release a job and store its checkpoint; ``complete`` if the job has completed the whole fleet."""
        parameters = {"name": job.name, "token": job.token, "checkpoint": checkpoint, "complete": complete}
        async with self._database.connection() as connection:
            await connection.execute(_SQL["finish_job"], parameters)

    async def release_jobs(self) -> None:
        """Release every job of this process."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["release_jobs"], {"owner": self._owner})

    async def purge_tombstones(self) -> None:
        """Delete the rows whose tombstone has expired."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["purge_tombstones"])

    async def expire_keys(self, after: tuple[str, str]) -> tuple[str, str] | None:
        """Delete the expired of the next ``PAGE`` idempotency keys. Return the last (owner, key), None at the end."""
        owner_id, key = after
        rows = await self._rows("expire_keys", {"owner_id": owner_id, "key": key, "limit": PAGE})
        return (rows[0]["owner_id"], rows[0]["key"]) if rows else None

    async def _rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        async with self._database.connection() as connection:
            return await (await connection.execute(_SQL[statement], parameters)).fetchall()

    async def _row(self, statement: str, parameters: Mapping[str, Any] | None = None) -> Row:
        return (await self._rows(statement, parameters))[0]

    async def _changed(self, statement: str, parameters: Mapping[str, Any] | None = None) -> bool:
        return bool(await self._rows(statement, parameters))
