"""The plane as a whole: the catalog's identity, the emergency stop, what sweeps read and wake, periodic jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.catalog.database import Database, Row
from reconciler.catalog.identity import CatalogIdentityStore
from reconciler.catalog.rows import app_from_fields, app_from_row
from reconciler.catalog.statements import load
from reconciler.catalog.work_queue import AGEING_SECONDS
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import Project

_SQL = load("control_plane_store")
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Binding:
    """What this catalog has worked with from its first change on."""

    org_id: str
    neon_api_url: str
    control_plane_id: str


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job under a lease, with the place where the last run left off."""

    name: str
    token: int
    checkpoint: str


class ControlPlaneStore:
    """Reads and writes about all apps at once.

    Args:
        database: the catalog.
        owner: names this process in the leases of jobs.
        lease_seconds: how long a job's lease lasts without being renewed.

    Attributes:
        identity: which catalog this is.
    """

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        self.identity = CatalogIdentityStore(database)
        self._database = database
        self._owner = owner
        self._lease_seconds = lease_seconds

    async def catalog_id(self) -> str:
        """Which catalog this is."""
        return str((await self._row("binding"))["catalog_id"])

    async def binding(self) -> Binding | None:
        """What is kept, or None before the first use."""
        kept = await self._row("binding")
        if kept["org_id"] is None:
            return None
        return Binding(kept["org_id"], kept["neon_api_url"], kept["control_plane_id"])

    async def bind(self, pins: Binding) -> Binding:
        """Keep these if nothing is kept yet; what is kept."""
        parameters = {
            "org_id": pins.org_id,
            "neon_api_url": pins.neon_api_url,
            "control_plane_id": pins.control_plane_id,
        }
        async with self._database.connection() as connection:
            await connection.execute(_SQL["bind"], parameters)
        # Read in a statement of its own: another daemon may have been first.
        return await self.binding() or pins

    async def set_control_plane_id(self, control_plane_id: str) -> bool:
        """Give an unused catalog in doubt another CONTROL_PLANE_ID, and end the doubt; whether it was one.

        All projects are examined anew: a doubt that the new CONTROL_PLANE_ID does not answer returns.
        """
        return await self._changed("set_control_plane_id", {"control_plane_id": control_plane_id})

    async def stop(self, reason: str) -> bool:
        """Stop every change at Neon; whether that is news."""
        return await self._changed("stop", {"reason": reason})

    async def clear_stop(self) -> bool:
        """End a stop; whether there was one."""
        return await self._changed("clear_stop")

    async def override_stop(self) -> datetime:
        """An operator's word that what vanished did so by a person's will; until when it holds."""
        until: datetime = (await self._row("override_stop"))["stop_overridden_until"]
        return until

    async def stop_overridden(self) -> bool:
        """Whether such a word holds."""
        return bool((await self._row("stop_overridden"))["overridden"])

    async def clock(self) -> datetime:
        """The catalog's clock."""
        now: datetime = (await self._row("clock"))["now"]
        return now

    async def rows(self) -> AsyncIterator[AppMetadata]:
        """Every app that is not beyond its tombstone, without secrets, in pages; no transaction is held open."""
        after = ""
        while page := await self._rows("resync_rows", {"after": after, "limit": PAGE}):
            for row in page:
                yield app_from_fields(row)
            after = page[-1]["app_id"]

    async def deep_resync_rows(self, after: str, limit: int) -> list[AppMetadata]:
        """The next settled apps behind ``after``, for a deep look."""
        rows = await self._rows("deep_resync_rows", {"after": after, "limit": limit})
        return [app_from_row(row) for row in rows]

    async def count_connected(self) -> int:
        """How many apps a deep round has."""
        return int((await self._row("count_connected"))["apps"])

    async def sample_recorded_projects(self, start: str, exclude_app_id: str, limit: int) -> list[str]:
        """Projects that were connected to, of apps from ``start`` on in a circle, without the app ``besides``."""
        parameters = {"start": start, "besides": exclude_app_id, "limit": limit}
        return [row["project_id"] for row in await self._rows("sample_projects", parameters)]

    async def wake(self, app_ids: Sequence[str], *, missing: bool = False) -> None:
        """Have these apps looked at soon, behind what people asked for."""
        if app_ids:
            parameters = {"app_ids": list(app_ids), "missing": missing, "ageing": AGEING_SECONDS}
            await self._rows("wake", parameters)

    async def enqueue_duplicates(self, duplicates: Iterable[tuple[str, str]]) -> None:
        """Hand (app_id, project_id) candidates to the passes of their apps."""
        pairs = list(duplicates)
        if pairs:
            parameters = {
                "app_ids": [app_id for app_id, _ in pairs],
                "project_ids": [project_id for _, project_id in pairs],
                "ageing": AGEING_SECONDS,
            }
            async with self._database.connection() as connection:
                await connection.execute(_SQL["enqueue_duplicates"], parameters)

    async def known_orphans(self) -> set[str]:
        """Ids of projects that were reported before."""
        return {row["project_id"] for row in await self._rows("known_orphans")}

    async def report_orphan(self, project: Project) -> bool:
        """Keep a project that no row names; whether it is new."""
        name = parse_project_name(project.name)
        parameters = {
            "project_id": project.id,
            "project_name": project.name,
            "app_id": name.app_id if name else "",
        }
        return await self._changed("report_orphan", parameters)

    async def forget_orphans(self, seen: Iterable[str]) -> None:
        """Forget the reported projects that are in no complete list any more."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["forget_orphans"], {"seen": sorted(seen)})

    async def claim_job(self, name: str, period_seconds: float) -> Job | None:
        """Take a periodic job if it is due and free."""
        parameters = {
            "name": name,
            "owner": self._owner,
            "lease": self._lease_seconds,
            "period": period_seconds,
        }
        rows = await self._rows("claim_job", parameters)
        return Job(name, rows[0]["lease_token"], rows[0]["checkpoint"]) if rows else None

    async def job_finished_at(self, name: str) -> datetime | None:
        """When a job had last looked at the whole fleet, by the catalog's clock; None before the first time."""
        rows = await self._rows("job_finished_at", {"name": name})
        finished: datetime | None = rows[0]["cycle_finished_at"] if rows else None
        return finished

    async def renew_job(self, job: Job) -> bool:
        """Prolong a running job's lease; False when it was lost."""
        parameters = {"name": job.name, "token": job.token, "lease": self._lease_seconds}
        return await self._changed("renew_job", parameters)

    async def finish_job(self, job: Job, checkpoint: str = "", *, complete: bool = False) -> None:
        """Give a job back and keep its place; ``whole`` says that all of the fleet has been looked at by now."""
        parameters = {"name": job.name, "token": job.token, "checkpoint": checkpoint, "complete": complete}
        async with self._database.connection() as connection:
            await connection.execute(_SQL["finish_job"], parameters)

    async def release_jobs(self) -> None:
        """Let others have every job of this process at once."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["release_jobs"], {"owner": self._owner})

    async def purge_tombstones(self) -> None:
        """Drop the rows whose tombstone has ended."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["purge_tombstones"])

    async def expire_keys(self, after: tuple[str, str]) -> tuple[str, str] | None:
        """Drop what has expired of the next ``PAGE`` idempotency keys; the last (owner, key), None at the end."""
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
