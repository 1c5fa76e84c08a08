"""The in-memory twin of ``fleet.sql`` and ``drop_surplus``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.catalog.work_queue import AGING_SECONDS, Lease
from specs.metadata import AppMetadata
from specs.status import AppStatus
from tests.simulation.catalog import Catalog
from tests.simulation.clock import Clock


@dataclass
class Job:
    """A row of ``periodic_jobs``."""

    token: int = 0
    lease_expires_at: float | None = None
    started_at: float = -math.inf
    position: str = ""


class FleetCatalog(Catalog):
    """The catalog, with what is said about the fleet as a whole."""

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        super().__init__(clock, lease_seconds)
        self.orphans: dict[str, str] = {}
        self.jobs = {"resync": Job(), "deep_resync": Job(), "expire_idempotency_keys": Job()}

    def pin(self, org_id: str) -> str:
        """``pin``."""
        self.plane.org_id = self.plane.org_id or org_id
        return self.plane.org_id

    def stop(self, reason: str) -> bool:
        """``stop``; whether that is news."""
        news = self.plane.stop_reason != reason
        self.version += news
        self.plane.stop_reason = reason
        self.plane.stopped_at = min(self.plane.stopped_at, self._clock.now)
        return news

    def lift_stop(self) -> bool:
        """``lift_stop``; whether there was one. An operator's word that it was right to go on is used up with it."""
        if self.plane.stop_reason is None:
            return False
        self.version += 1
        self.plane.stop_reason, self.plane.stopped_at, self.plane.overridden_until = None, math.inf, -math.inf
        return True

    def sweep_rows(self) -> list[AppMetadata]:
        """``sweep_rows``."""
        now = self._clock.date
        rows = [self.rows[app_id] for app_id in sorted(self.rows)]
        return [row for row in rows if row.tombstone_until is None or row.tombstone_until > now]

    def audit_rows(self, after: str, limit: int) -> list[AppMetadata]:
        """``audit_rows``."""
        return [row for row in self._connected() if row.app_id > after and self._settled(row.app_id)][:limit]

    def count_connected(self) -> int:
        """``count_connected``."""
        return len(self._connected())

    def wake(self, app_ids: Iterable[str], *, missing: bool = False) -> None:
        """``wake`` of the fleet."""
        for app_id in dict.fromkeys(app_ids):
            self.work[app_id].confirmed_missing |= missing
            self._wake(app_id)

    def name_surplus(self, found: Iterable[tuple[str, str]]) -> None:
        """``name_surplus``: all candidates of an app at once, and one wake-up, known or not."""
        named: dict[str, list[str]] = {}
        for app_id, project_id in found:
            named.setdefault(app_id, []).append(project_id)
        for app_id, project_ids in named.items():
            work = self.work[app_id]
            work.duplicate_ids = sorted({*work.duplicate_ids, *project_ids})
            self._wake(app_id)

    def drop_surplus(self, lease: Lease, project_id: str, *, report: bool) -> None:
        """``drop_surplus``."""
        self._fence(lease)
        work = self.work[lease.app_id]
        work.duplicate_ids = [each for each in work.duplicate_ids if each != project_id]
        if report:
            self.orphans.setdefault(project_id, lease.app_id)
        self._wrote(lease)

    def report_orphan(self, project_id: str, app_id: str) -> bool:
        """``report_orphan``; whether it is new."""
        new = project_id not in self.orphans
        self.version += new
        self.orphans.setdefault(project_id, app_id)
        return new

    def forget_orphans(self, seen: set[str]) -> None:
        """``forget_orphans``."""
        self.version += 1
        self.orphans = {project_id: app_id for project_id, app_id in self.orphans.items() if project_id in seen}

    def claim_job(self, name: str, period: float) -> tuple[int, str] | None:
        """``claim_job``: its token and place."""
        job, now = self.jobs[name], self._clock.now
        busy = job.lease_expires_at is not None and job.lease_expires_at >= now
        if busy or job.started_at > now - period:
            return None
        job.token += 1
        job.lease_expires_at, job.started_at = now + self._lease_seconds, now
        return job.token, job.position

    def renew_job(self, name: str, token: int) -> bool:
        """``renew_job``; whether it was still held."""
        job = self.jobs[name]
        if job.token != token:
            return False
        job.lease_expires_at = self._clock.now + self._lease_seconds
        return True

    def finish_job(self, name: str, token: int, position: str) -> None:
        """``finish_job``."""
        job = self.jobs[name]
        if job.token == token:
            job.lease_expires_at, job.position = None, position

    def give_back_job(self, name: str, token: int) -> None:
        """``give_back_jobs``, for one job."""
        job = self.jobs[name]
        if job.token == token:
            job.lease_expires_at = None

    def rebuilt(self, app_id: str) -> None:
        """A row as ``rebuild`` of the claim makes it."""
        gone = dict.fromkeys(("data_key_sealed", "connection_uri_sealed", "pooled_uri_sealed", "connected_at"))
        self._update(app_id, hold_reason="owner", status=AppStatus.FAILED, **gone)
        self._wake(app_id)

    def confirmed(self, app_id: str) -> None:
        """``confirm`` of the claim."""
        self._update(app_id, hold_reason=None)
        self._wake(app_id)

    def _connected(self) -> list[AppMetadata]:
        rows = [self.rows[app_id] for app_id in sorted(self.rows)]
        return [row for row in rows if row.connected_at is not None and row.delete_requested_at is None]

    def _settled(self, app_id: str) -> bool:
        return self.work[app_id].due_at == math.inf

    def _wake(self, app_id: str) -> None:
        work, now = self.work[app_id], self._clock.now
        work.wake_count += 1
        work.lane = 1 if work.due_at == math.inf else work.lane
        if work.lease_expires_at is None or work.lease_expires_at <= now:
            work.due_at = min(work.due_at, now)
        work.priority_at = min(work.priority_at, now + AGING_SECONDS)
        self._changed()
