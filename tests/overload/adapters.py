"""The catalog as the daemons call it: the twin behind the methods of ``reconciler.catalog``, each a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from reconciler.catalog.fleet import Job, Pins
from reconciler.catalog.work import Claimed, Lease
from reconciler.core.budget import Bucket, Grant, Owed, Terms, Urgency, lease
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.snapshot import CreateIntent, Credentials, Next, Progress
from reconciler.errors import CatalogUnavailable
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import Project
from tests.overload.catalog import LargeCatalog
from tests.simulation.clock import Clock

T = TypeVar("T")
STATEMENT_SECONDS = 0.001


class Shared:
    """What all daemons share: the twin, the row of the budget, and whether the catalog answers.

    Attributes:
        away: whether every statement fails.
    """

    def __init__(self, clock: Clock, catalog: LargeCatalog, terms: Terms) -> None:
        self.clock = clock
        self.catalog = catalog
        self.terms = terms
        self.away = False
        owed = {kind: Owed(0.0, clock.date) for kind in (Urgency.REPAIRS, Urgency.SWEEPS)}
        self.bucket = Bucket(terms.capacity, clock.date, clock.date, owed)

    async def run(self, statement: Callable[[], T]) -> T:
        """One statement."""
        await asyncio.sleep(STATEMENT_SECONDS)
        if self.away:
            raise CatalogUnavailable("the catalog does not answer")
        return statement()


class Slices:
    """``BudgetCatalog``."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def lease(self, wanted: Mapping[Urgency, int]) -> Grant:
        """Take a slice."""
        return await self._shared.run(lambda: self._lease(wanted))

    def _lease(self, wanted: Mapping[Urgency, int]) -> Grant:
        shared = self._shared
        shared.bucket, grant = lease(shared.bucket, wanted, shared.clock.date, shared.terms)
        return grant

    async def close(self, seconds: float) -> None:
        """Lease nothing for a while."""
        await self._shared.run(lambda: self._close(seconds))

    def _close(self, seconds: float) -> None:
        bucket, now = self._shared.bucket, self._shared.clock.date
        until = max(bucket.closed_until, now + timedelta(seconds=seconds))
        self._shared.bucket = Bucket(0.0, max(bucket.at, now), until, bucket.owed)


class Work:
    """``WorkCatalog`` of one daemon."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._taken: dict[str, Lease] = {}

    async def claim(self, limit: int) -> list[Claimed]:
        """Take due apps."""
        claimed = await self._shared.run(lambda: self._shared.catalog.claim(limit))
        self._taken |= {one.lease.app_id: one.lease for one in claimed}
        return claimed

    async def next_due(self) -> float | None:
        """Seconds until something is due."""
        due = await self._shared.run(self._shared.catalog.next_due)
        return None if due == float("inf") else due - self._shared.clock.now

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        """Prolong leases."""
        catalog = self._shared.catalog
        return await self._shared.run(lambda: {one.app_id for one in leases if catalog.renew(one)})

    async def release(self, lease: Lease, outcome: Next) -> bool:
        """End a pass."""
        return await self._shared.run(lambda: self._shared.catalog.release(lease, outcome))

    async def give_back(self) -> None:
        """Let others have every app of this process."""
        await self._shared.run(self._give_back)

    def _give_back(self) -> None:
        now = self._shared.clock.now
        for app_id, held in self._taken.items():
            row = self._shared.catalog.work[app_id]
            if row.lease_token == held.token and row.lease_expires_at is not None:
                row.lease_expires_at, row.rank_at, row.due_at = None, now, now


class Records:
    """``RecordCatalog``."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def permit(self, lease: Lease, *, swept: bool) -> None:
        """Whether a change may be sent."""
        await self._shared.run(lambda: self._shared.catalog.permit(lease, swept=swept))

    async def open_intent(self, lease: Lease, effect: OpenIntent) -> CreateIntent:
        """The intent to create."""
        return await self._shared.run(lambda: self._shared.catalog.open_intent(lease, effect))

    async def refuse_intent(self, lease: Lease, create_seq: int) -> None:
        """It was not carried out."""
        await self._shared.run(lambda: self._shared.catalog.settle_intent(lease, create_seq, "refused", absent=False))

    async def note_absence(self, lease: Lease, create_seq: int, *, proven: bool) -> None:
        """It was not seen."""
        state: Any = "absent" if proven else "open"
        await self._shared.run(lambda: self._shared.catalog.settle_intent(lease, create_seq, state, absent=True))

    async def record(self, lease: Lease, said: Progress, _request_id: str | None = None) -> None:
        """What a pass says."""
        await self._shared.run(lambda: self._shared.catalog.record(lease, said))

    async def record_credentials(
        self, lease: Lease, _app: AppMetadata, new: Credentials, said: Progress, _request_id: str | None = None
    ) -> None:
        """URIs along with what a pass says."""
        await self._shared.run(lambda: self._shared.catalog.record(lease, said, new))

    async def record_project(
        self, lease: Lease, app: AppMetadata, effect: RecordProject, _request_id: str | None = None
    ) -> None:
        """The project's id."""
        await self._shared.run(lambda: self._shared.catalog.record_project(lease, app, effect))

    async def drop_surplus(self, lease: Lease, project_id: str, *, report: bool) -> None:
        """Forget a candidate."""
        await self._shared.run(lambda: self._shared.catalog.drop_surplus(lease, project_id, report=report))

    def open_seal(self, app: AppMetadata) -> Credentials | None:
        """The recorded URIs."""
        return self._shared.catalog.open_seal(app)


class Whole:
    """``FleetCatalog`` of one daemon."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._catalog = shared.catalog
        self._run = shared.run
        self._jobs: dict[str, int] = {}

    async def pins(self) -> Pins | None:
        """What is kept."""
        kept = await self._run(lambda: self._catalog.plane.org_id)
        return None if kept is None else Pins(kept, "http://localhost", "simulated")

    async def pin(self, pins: Pins) -> Pins:
        """Keep these."""
        await self._run(lambda: self._catalog.pin(pins.org_id))
        return await self.pins() or pins

    async def stop(self, reason: str) -> bool:
        """Stop every change."""
        await self._run(lambda: self._catalog.stop(reason))
        return True

    async def lift_stop(self) -> bool:
        """End a stop."""
        await self._run(self._catalog.lift_stop)
        return False

    async def stop_overridden(self) -> bool:
        """Nobody gives such a word here."""
        return False

    async def clock(self) -> Any:
        """The catalog's clock."""
        return await self._run(lambda: self._shared.clock.date)

    async def rows(self) -> AsyncIterator[AppMetadata]:
        """Every app."""
        for row in await self._run(self._catalog.sweep_rows):
            yield row

    async def audit_rows(self, after: str, limit: int) -> list[AppMetadata]:
        """The next settled apps."""
        return await self._run(lambda: self._catalog.audit_rows(after, limit))

    async def count_connected(self) -> int:
        """How many apps a deep round has."""
        return await self._run(self._catalog.count_connected)

    async def witnesses(self, start: str, besides: str, limit: int) -> list[str]:
        """Projects that a good key must see."""
        return await self._run(lambda: self._catalog.witnesses(start, besides, limit))

    async def wake(self, app_ids: Sequence[str], *, missing: bool = False) -> None:
        """Have these looked at."""
        await self._run(lambda: self._catalog.wake(app_ids, missing=missing))

    async def name_surplus(self, found: Iterable[tuple[str, str]]) -> None:
        """Candidates for a surplus."""
        await self._run(lambda: self._catalog.name_surplus(found))

    async def reported(self) -> set[str]:
        """Reported projects."""
        return await self._run(lambda: set(self._catalog.orphans))

    async def report_orphan(self, project: Project) -> bool:
        """Keep a project that no row names."""
        name = parse_project_name(project.name)
        await self._run(lambda: self._catalog.report_orphan(project.id, name.app_id if name else ""))
        return True

    async def forget_orphans(self, seen: Iterable[str]) -> None:
        """Forget the reported ones that are gone."""
        await self._run(lambda: self._catalog.forget_orphans(set(seen)))

    async def claim_job(self, name: str, period_seconds: float) -> Job | None:
        """Take a job."""
        claimed = await self._run(lambda: self._catalog.claim_job(name, period_seconds))
        if claimed is None:
            return None
        self._jobs[name] = claimed[0]
        return Job(name, *claimed)

    async def renew_job(self, job: Job) -> bool:
        """Prolong a job's lease."""
        await self._run(lambda: self._catalog.renew_job(job.name, job.token))
        return True

    async def finish_job(self, job: Job, position: str = "", *, whole: bool = False) -> None:  # noqa: ARG002 - a figure
        """Give a job back."""
        await self._run(lambda: self._catalog.finish_job(job.name, job.token, position))

    async def give_back_jobs(self) -> None:
        """Give every job of this process back."""
        for name, token in self._jobs.items():
            held = self._catalog.jobs[name]
            if held.token == token:
                held.lease_expires_at = None

    async def bury(self) -> None:
        """No tombstone ends here."""
