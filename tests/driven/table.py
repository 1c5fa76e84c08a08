"""The catalog's rows, with what only the shell of a daemon asks of them: owners of leases, pins, the budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.catalog.control_plane_store import Binding
from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core.context import Result
from reconciler.core.rate_limit import BucketConfig, Credit, Grant, Priority, TokenBucket, take_tokens
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from specs.app import DesiredApp
from specs.status import AppStatus
from tests.simulation.clock import Clock
from tests.simulation.fleet import FleetCatalog

CATALOG_ID = "catalog-1"
SERVER = "system 1, database 1, table 1, timeline 1"


class Table(FleetCatalog):
    """The catalog in memory; a statement is one moment.

    Attributes:
        owners: who holds the lease of each app.
        claims: the host that knows of its claim of each app, and what had befallen processes by then.
        job_owners: who holds each job.
    """

    def __init__(self, clock: Clock, lease_seconds: float, terms: BucketConfig) -> None:
        super().__init__(clock, lease_seconds)
        self.owners: dict[str, str] = {}
        self.claims: dict[str, tuple[str, int]] = {}
        self.job_owners: dict[str, str] = {}
        self._pins: Binding | None = None
        self._made_at = self._started = clock.date
        self._kept: str | None = None
        self._looked_at: datetime | None = None
        self._terms = terms
        never = clock.date - timedelta(days=1)
        self._bucket = TokenBucket(
            terms.capacity, clock.date, never, {kind: Credit(0.0, never) for kind in (Priority.REPAIR, Priority.RESYNC)}
        )

    # What clients change is told to who listens.

    def create_app(self, app_id: str, owner_id: str, desired: DesiredApp) -> None:
        """``insert_app``, and its NOTIFY."""
        super().create_app(app_id, owner_id, desired)
        self.on_change()

    def _changed(self) -> None:
        self.version += 1

    def request_delete(self, app_id: str) -> None:
        """``request_delete``, and its NOTIFY."""
        super().request_delete(app_id)
        self.on_change()

    # Leases

    def claim_for(self, owner: str, limit: int) -> list[WorkItem]:
        """``claim``."""
        claimed = self.claim(limit)
        self.owners |= {one.lease.app_id: owner for one in claimed}
        return claimed

    def claimed(self, taken: list[WorkItem]) -> list[WorkItem]:
        """``claimed``: what is there by now of what was taken."""
        return [
            replace(
                one,
                app=self.rows[one.lease.app_id],
                at=self._clock.date,
                intents=tuple(self.intents[one.lease.app_id]),
            )
            for one in taken
        ]

    def release(self, lease: Lease, outcome: Result) -> bool:
        """``release``."""
        released = super().release(lease, outcome)
        if released:
            self.owners.pop(lease.app_id, None)
        return released

    def give_back(self, owner: str) -> None:
        """``give_back``."""
        for app_id in [app_id for app_id, holder in self.owners.items() if holder == owner]:
            del self.owners[app_id]
            work = self.work[app_id]
            work.lease_expires_at, work.due_at, work.priority_at = None, self._clock.now, self._clock.now

    def held_by(self, owner: str) -> list[str]:
        """The apps and jobs whose leases an owner holds."""
        jobs = [name for name, holder in self.job_owners.items() if holder == owner]
        return [app_id for app_id, holder in self.owners.items() if holder == owner] + jobs

    # The fleet

    def pins(self) -> Binding | None:
        """``identity``."""
        return self._pins

    def keep_pins(self, pins: Binding) -> None:
        """``pin``."""
        if self._pins is None:
            self._pins = pins
            self.pin(pins.org_id)

    def witnesses(self, start: str, besides: str, limit: int) -> list[str]:
        """``witnesses``."""
        known = [
            row
            for row in self._connected()
            if row.app_id != besides and row.status != AppStatus.LOST and row.project_id is not None
        ]
        circle = [row for row in known if row.app_id >= start] + [row for row in known if row.app_id < start]
        return [row.project_id or "" for row in circle[:limit]]

    def claim_job_for(self, owner: str, name: str, period: float) -> tuple[int, str] | None:
        """``claim_job``."""
        claimed = self.claim_job(name, period)
        if claimed is not None:
            self.job_owners[name] = owner
        return claimed

    def renews_job(self, name: str, token: int) -> bool:
        """``renew_job``."""
        self.renew_job(name, token)
        return self.jobs[name].token == token

    def finish(self, name: str, token: int, position: str) -> None:
        """``finish_job``."""
        if self.jobs[name].token == token:
            self.job_owners.pop(name, None)
        self.finish_job(name, token, position)

    def give_back_jobs(self, owner: str) -> None:
        """``give_back_jobs``."""
        for name in [name for name, holder in self.job_owners.items() if holder == owner]:
            del self.job_owners[name]
            self.jobs[name].lease_expires_at = None

    def running_jobs(self) -> bool:
        """Whether somebody runs a periodic job at the moment."""
        now = self._clock.now
        return any(job.lease_expires_at is not None and job.lease_expires_at >= now for job in self.jobs.values())

    # Which catalog this is

    def standing(self) -> CatalogIdentity:
        """``standing``."""
        return CatalogIdentity(
            catalog_id=CATALOG_ID,
            last_create_seq=self.plane.last_create_seq,
            created_at=self._made_at,
            server=SERVER,
            server_started_at=self._started,
            recorded_server=self._kept,
            verified_at=self._looked_at,
        )

    def unrecorded(self, project_ids: Iterable[str]) -> set[str]:
        """``unrecorded``."""
        return set(project_ids) - {row.project_id for row in self.rows.values()}

    def looked(self, standing: CatalogIdentity, at: datetime | None) -> bool:
        """``looked``."""
        if standing.server_started_at != self._started:
            return False
        self._kept, self.plane.unseen = SERVER, False
        self._looked_at = max(filter(None, (self._looked_at, at)), default=None)
        return True

    def restart(self) -> None:
        """Its server is started again: no change is permitted before it was compared with Neon."""
        self._started = self._clock.date
        self.plane.unseen = self._kept is not None

    # The budget

    def lease_requests(self, wanted: Mapping[Priority, int]) -> Grant:
        """``look`` and ``keep``."""
        self._bucket, grant = take_tokens(self._bucket, wanted, self._clock.date, self._terms)
        return grant

    def close_budget(self, seconds: float) -> None:
        """``close``."""
        now = self._clock.date
        until = max(self._bucket.closed_until, now + timedelta(seconds=seconds))
        self._bucket = replace(
            self._bucket, tokens=0.0, updated_at=max(self._bucket.updated_at, now), closed_until=until
        )
