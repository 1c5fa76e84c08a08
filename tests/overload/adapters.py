"""The catalog as the daemons call it: the twin behind the methods of ``reconciler.catalog``, each a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from reconciler.catalog.control_plane_store import Binding, Job
from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core.context import CreateIntent, Credentials, Result, StatusUpdate
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.host_allow_list import AddressRule
from reconciler.core.rate_limit import Grant, Priority
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from reconciler.errors import CatalogUnavailable
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import Project
from tests.overload.catalog import LargeCatalog
from tests.simulation.clock import Clock

T = TypeVar("T")
STATEMENT_SECONDS = 0.001


class Shared:
    """What all daemons share: the twin, and whether it answers.

    Attributes:
        away: whether every statement fails.
    """

    def __init__(self, clock: Clock, catalog: LargeCatalog) -> None:
        self.clock = clock
        self.catalog = catalog
        self.away = False

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

    async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
        """Take a slice."""
        return await self._shared.run(lambda: self._shared.catalog.lease_requests(wanted))

    async def close(self, seconds: float) -> None:
        """Lease nothing for a while."""
        await self._shared.run(lambda: self._shared.catalog.close_budget(seconds))


class Work:
    """``WorkQueue`` of one daemon."""

    def __init__(self, shared: Shared, owner: str) -> None:
        self._shared = shared
        self._owner = owner

    async def claim(self, limit: int) -> list[WorkItem]:
        """Take due apps."""
        return await self._shared.run(lambda: self._shared.catalog.claim_for(self._owner, limit))

    async def next_due(self) -> float | None:
        """Seconds until something is due."""
        due = await self._shared.run(self._shared.catalog.next_due)
        return None if due == float("inf") else due - self._shared.clock.now

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        """Prolong leases."""
        catalog = self._shared.catalog
        return await self._shared.run(lambda: {one.app_id for one in leases if catalog.renew(one)})

    async def release(self, lease: Lease, outcome: Result) -> bool:
        """End a pass."""
        return await self._shared.run(lambda: self._shared.catalog.release(lease, outcome))

    async def release_all(self) -> None:
        """Let others have every app of this process."""
        await self._shared.run(lambda: self._shared.catalog.give_back(self._owner))


class Identity:
    """``CatalogIdentityStore``; nothing here gives a reason for doubt."""

    def __init__(self, shared: Shared) -> None:
        self._run = shared.run
        self._catalog = shared.catalog

    async def read(self) -> CatalogIdentity:
        """What is known at this moment."""
        return await self._run(self._catalog.standing)

    async def unrecorded(self, project_ids: Iterable[str]) -> set[str]:
        """Those of some projects that no row records."""
        wanted = list(project_ids)
        return await self._run(lambda: self._catalog.unrecorded(wanted)) if wanted else set()

    async def record_verified(self, standing: CatalogIdentity, at: datetime | None) -> bool:
        """Keep that Neon's list agrees."""
        return await self._run(lambda: self._catalog.looked(standing, at))

    async def quarantine(self, _standing: CatalogIdentity, reason: str) -> bool:
        """Nothing here was restored, copied or lost."""
        raise AssertionError(reason)


class Records:
    """``StatusStore``."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def authorize_mutation(self, lease: Lease, *, automatic: bool) -> None:
        """Whether a change may be sent."""
        await self._shared.run(lambda: self._shared.catalog.permit(lease, swept=automatic))

    async def open_intent(self, lease: Lease, effect: OpenIntent) -> CreateIntent:
        """The intent to create."""
        return await self._shared.run(lambda: self._shared.catalog.open_intent(lease, effect))

    async def mark_intent_rejected(self, lease: Lease, create_seq: int) -> None:
        """It was not carried out."""
        await self._shared.run(lambda: self._shared.catalog.settle_intent(lease, create_seq, "rejected", absent=False))

    async def record_absence(self, lease: Lease, create_seq: int, *, confirmed: bool) -> None:
        """It was not seen."""
        state: Any = "absent" if confirmed else "open"
        await self._shared.run(lambda: self._shared.catalog.settle_intent(lease, create_seq, state, absent=True))

    async def record(self, lease: Lease, said: StatusUpdate, _request_id: str | None = None) -> None:
        """What a pass says."""
        await self._shared.run(lambda: self._shared.catalog.record(lease, said))

    async def record_credentials(
        self, lease: Lease, _app: AppMetadata, new: Credentials, said: StatusUpdate, _request_id: str | None = None
    ) -> None:
        """URIs along with what a pass says."""
        await self._shared.run(lambda: self._shared.catalog.record(lease, said, new))

    async def record_project(
        self, lease: Lease, app: AppMetadata, effect: RecordProject, _request_id: str | None = None
    ) -> None:
        """The project's id."""
        await self._shared.run(lambda: self._shared.catalog.record_project(lease, app, effect))

    async def dismiss_duplicate(self, lease: Lease, project_id: str, *, report: bool) -> None:
        """Forget a candidate."""
        await self._shared.run(lambda: self._shared.catalog.drop_surplus(lease, project_id, report=report))

    def decrypt_credentials(self, app: AppMetadata, _rule: AddressRule) -> Credentials | None:
        """The recorded URIs."""
        return self._shared.catalog.open_seal(app)


class Whole:
    """``FleetCatalog`` of one daemon."""

    def __init__(self, shared: Shared, owner: str) -> None:
        self._shared = shared
        self._catalog = shared.catalog
        self._run = shared.run
        self._owner = owner
        self.identity = Identity(shared)

    async def binding(self) -> Binding | None:
        """What is kept."""
        return await self._run(self._catalog.pins)

    async def bind(self, pins: Binding) -> Binding:
        """Keep these."""
        await self._run(lambda: self._catalog.keep_pins(pins))
        return await self.binding() or pins

    async def set_control_plane_id(self, _control_plane_id: str) -> bool:
        """No catalog is in doubt here."""
        return await self._run(lambda: False)

    async def stop(self, reason: str) -> bool:
        """Stop every change."""
        return await self._run(lambda: self._catalog.stop(reason))

    async def clear_stop(self) -> bool:
        """End a stop."""
        return await self._run(self._catalog.lift_stop)

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

    async def deep_resync_rows(self, after: str, limit: int) -> list[AppMetadata]:
        """The next settled apps."""
        return await self._run(lambda: self._catalog.audit_rows(after, limit))

    async def count_connected(self) -> int:
        """How many apps a deep round has."""
        return await self._run(self._catalog.count_connected)

    async def sample_recorded_projects(self, start: str, exclude_app_id: str, limit: int) -> list[str]:
        """Projects that a good key must see."""
        return await self._run(lambda: self._catalog.witnesses(start, exclude_app_id, limit))

    async def wake(self, app_ids: Sequence[str], *, missing: bool = False) -> None:
        """Have these looked at."""
        await self._run(lambda: self._catalog.wake(app_ids, missing=missing))

    async def enqueue_duplicates(self, duplicates: Iterable[tuple[str, str]]) -> None:
        """Candidates for a surplus."""
        await self._run(lambda: self._catalog.name_surplus(duplicates))

    async def known_orphans(self) -> set[str]:
        """Reported projects."""
        return await self._run(lambda: set(self._catalog.orphans))

    async def report_orphan(self, project: Project) -> bool:
        """Keep a project that no row names."""
        name = parse_project_name(project.name)
        return await self._run(lambda: self._catalog.report_orphan(project.id, name.app_id if name else ""))

    async def forget_orphans(self, seen: Iterable[str]) -> None:
        """Forget the reported ones that are gone."""
        await self._run(lambda: self._catalog.forget_orphans(set(seen)))

    async def claim_job(self, name: str, period_seconds: float) -> Job | None:
        """Take a job."""
        claimed = await self._run(lambda: self._catalog.claim_job_for(self._owner, name, period_seconds))
        return None if claimed is None else Job(name, *claimed)

    async def renew_job(self, job: Job) -> bool:
        """Prolong a job's lease."""
        return await self._run(lambda: self._catalog.renews_job(job.name, job.token))

    async def finish_job(self, job: Job, checkpoint: str = "", *, complete: bool = False) -> None:
        """Give a job back."""
        del complete
        await self._run(lambda: self._catalog.finish(job.name, job.token, checkpoint))

    async def release_jobs(self) -> None:
        """Let others have every job of this process."""
        await self._run(lambda: self._catalog.give_back_jobs(self._owner))

    async def purge_tombstones(self) -> None:
        """No tombstone ends here."""
