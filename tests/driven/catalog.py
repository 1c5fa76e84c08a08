"""The classes of the catalog as a daemon uses them, over rows in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime

from reconciler.catalog.control_plane_store import Binding, Job
from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core.context import CreateIntent, Credentials, Result, StatusUpdate
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.host_allow_list import AddressRule
from reconciler.core.rate_limit import BucketConfig, Grant, Priority
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import Project
from tests.driven.database import Database
from tests.driven.table import CATALOG_ID
from tests.simulation.steps import Violation
from tests.virtual.loop import HOST


class WorkQueue:
    """Stands in for ``reconciler.catalog.work_queue.WorkQueue``."""

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        del lease_seconds  # the table's own
        self._database = database
        self._table = database.table
        self._owner = owner
        database.world.owner_of[HOST.get()] = owner

    async def claim(self, limit: int) -> list[WorkItem]:
        """Take up to ``limit`` due apps."""
        world, table, host = self._database.world, self._table, HOST.get()

        def claim() -> tuple[list[WorkItem], int]:
            # What takes effect while the process stands still is found out about too late.
            return self._claim(limit), -1 if world.loop.is_paused(host) else world.troubles[host]

        taken, troubles = await self._database.run("claim", claim)
        if not taken:
            return []
        claimed = await self._database.run("claimed", lambda: table.claimed(taken))
        table.claims |= {one.lease.app_id: (host, troubles) for one in claimed}
        return claimed

    def _claim(self, limit: int) -> list[WorkItem]:
        world, table = self._database.world, self._table
        owned = set(table.owners)
        taken = table.claim_for(self._owner, limit)
        for one in taken:
            app_id = one.lease.app_id
            world.holders[app_id] = one.lease.token
            holder, troubles = table.claims.pop(app_id, ("", -1))
            if app_id in owned and world.loop.lives(holder) and troubles == world.troubles[holder]:
                raise Violation(f"{holder} works on {app_id} and has lost its lease")
        return taken

    async def next_due(self) -> float | None:
        """Seconds until something is due."""

        def next_due() -> float | None:
            due = self._table.next_due()
            return None if due == float("inf") else due - self._database.world.clock.now

        return await self._database.run("next_due", next_due)

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        """Prolong the leases that are still held."""
        held = [*leases]
        return await self._database.run("renew", lambda: {lease.app_id for lease in held if self._table.renew(lease)})

    async def release(self, lease: Lease, outcome: Result) -> bool:
        """End a pass."""
        return await self._database.run("release", lambda: self._table.release(lease, outcome))

    async def release_all(self) -> None:
        """Let others have every app of this process at once."""
        await self._database.run("release_all", lambda: self._table.give_back(self._owner))


class StatusStore:
    """Stands in for ``reconciler.catalog.status_store.StatusStore``."""

    def __init__(self, database: Database, sealer: object, *, lease_seconds: float) -> None:
        del sealer, lease_seconds
        self._database = database
        self._table = database.table

    async def authorize_mutation(self, lease: Lease, *, automatic: bool) -> None:
        """Ask whether a change may be sent."""

        def permit() -> None:
            self._table.permit(lease, swept=automatic)
            self._database.world.on_permit(lease.app_id)

        await self._database.run("authorize_mutation", permit)

    async def open_intent(self, lease: Lease, effect: OpenIntent) -> CreateIntent:
        """Commit the intent to create."""
        await self.authorize_mutation(lease, automatic=False)
        return await self._database.run("open_intent", lambda: self._table.open_intent(lease, effect))

    async def mark_intent_rejected(self, lease: Lease, create_seq: int) -> None:
        """The request of this intent was definitely not carried out."""
        await self._database.run(
            "update_intent", lambda: self._table.settle_intent(lease, create_seq, "rejected", absent=False)
        )

    async def record_absence(self, lease: Lease, create_seq: int, *, confirmed: bool) -> None:
        """A complete list did not show the intent's project."""
        await self._database.run(
            "update_intent",
            lambda: self._table.settle_intent(lease, create_seq, "absent" if confirmed else "open", absent=True),
        )

    async def record(self, lease: Lease, said: StatusUpdate, request_id: str | None = None) -> None:
        """Write conditions, status, columns and events."""
        del request_id
        await self._database.run("record", lambda: self._table.record(lease, said))

    async def record_credentials(
        self, lease: Lease, app: AppMetadata, new: Credentials, said: StatusUpdate, request_id: str | None = None
    ) -> None:
        """Seal and publish URIs."""
        del app, request_id
        await self._database.run("record", lambda: self._table.record(lease, said, new))

    async def record_project(
        self, lease: Lease, app: AppMetadata, effect: RecordProject, request_id: str | None = None
    ) -> None:
        """Write the project's id, once."""
        del request_id
        await self._database.run("record_project", lambda: self._table.record_project(lease, app, effect))

    async def dismiss_duplicate(self, lease: Lease, project_id: str, *, report: bool) -> None:
        """Forget a candidate for a surplus."""
        await self._database.run(
            "dismiss_duplicate", lambda: self._table.drop_surplus(lease, project_id, report=report)
        )

    def decrypt_credentials(self, app: AppMetadata, _rule: AddressRule) -> Credentials | None:
        """The recorded URIs, opened."""
        return self._table.open_seal(app)


class CatalogIdentityStore:
    """Stands in for ``reconciler.catalog.identity.CatalogIdentityStore``; no run gives a reason for doubt."""

    def __init__(self, database: Database) -> None:
        self._run = database.run
        self._table = database.table
        self._world = database.world

    async def read(self) -> CatalogIdentity:
        """What is known at this moment."""
        return await self._run("read_identity", self._table.standing)

    async def unrecorded(self, project_ids: Iterable[str]) -> set[str]:
        """Those of some projects that no row records."""
        wanted = list(project_ids)
        return await self._run("unrecorded", lambda: self._table.unrecorded(wanted)) if wanted else set()

    async def record_verified(self, standing: CatalogIdentity, at: datetime | None) -> bool:
        """Keep that Neon's list agrees."""
        return await self._run("record_verified", lambda: self._table.looked(standing, at))

    async def quarantine(self, _standing: CatalogIdentity, reason: str) -> bool:
        """Nothing here was restored, copied or lost."""
        await self._world.violated(f"the catalog is in doubt: {reason}")
        return True


class ControlPlaneStore:
    """Stands in for ``reconciler.catalog.control_plane_store.FleetCatalog``."""

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        del lease_seconds
        self._run = database.run
        self._table = database.table
        self._world = database.world
        self._owner = owner
        self.identity = CatalogIdentityStore(database)

    async def catalog_id(self) -> str:
        """Which catalog this is."""
        return await self._run("binding", lambda: CATALOG_ID)

    async def binding(self) -> Binding | None:
        """What is kept."""
        return await self._run("binding", self._table.pins)

    async def bind(self, pins: Binding) -> Binding:
        """Keep these if nothing is kept yet."""
        await self._run("bind", lambda: self._table.keep_pins(pins))
        return await self.binding() or pins

    async def set_control_plane_id(self, _control_plane_id: str) -> bool:
        """No catalog is in doubt here."""
        return await self._run("set_control_plane_id", lambda: False)

    async def stop(self, reason: str) -> bool:
        """Stop every change at Neon."""
        return await self._run("stop", lambda: self._table.stop(reason))

    async def clear_stop(self) -> bool:
        """End a stop."""
        return await self._run("clear_stop", self._table.lift_stop)

    async def stop_overridden(self) -> bool:
        """Whether an operator's word holds."""
        return await self._run("stop_overridden", lambda: self._table.plane.overridden_until > self._world.clock.now)

    async def clock(self) -> datetime:
        """The catalog's clock."""
        return await self._run("clock", lambda: self._world.clock.date)

    async def rows(self) -> AsyncIterator[AppMetadata]:
        """Every app that is not beyond its tombstone."""
        for row in await self._run("resync_rows", self._table.sweep_rows):
            yield row

    async def deep_resync_rows(self, after: str, limit: int) -> list[AppMetadata]:
        """The next settled apps."""
        return await self._run("deep_resync_rows", lambda: self._table.audit_rows(after, limit))

    async def count_connected(self) -> int:
        """How many apps a deep round has."""
        return await self._run("count_connected", self._table.count_connected)

    async def sample_recorded_projects(self, start: str, exclude_app_id: str, limit: int) -> list[str]:
        """Projects that a good key must see."""
        return await self._run("sample_projects", lambda: self._table.witnesses(start, exclude_app_id, limit))

    async def wake(self, app_ids: Sequence[str], *, missing: bool = False) -> None:
        """Have these apps looked at soon."""
        if app_ids:
            await self._run("wake", lambda: self._table.wake(app_ids, missing=missing))

    async def enqueue_duplicates(self, duplicates: Iterable[tuple[str, str]]) -> None:
        """Hand candidates to the passes of their apps."""
        pairs = list(duplicates)
        if pairs:
            await self._run("enqueue_duplicates", lambda: self._table.name_surplus(pairs))

    async def known_orphans(self) -> set[str]:
        """Projects that were reported before."""
        return await self._run("known_orphans", lambda: set(self._table.orphans))

    async def report_orphan(self, project: Project) -> bool:
        """Keep a project that no row names."""
        name = parse_project_name(project.name)
        new = project.id not in self._table.orphans
        await self._run("report_orphan", lambda: self._table.report_orphan(project.id, name.app_id if name else ""))
        return new

    async def forget_orphans(self, seen: Iterable[str]) -> None:
        """Forget the reported projects that are gone."""
        left = set(seen)
        await self._run("forget_orphans", lambda: self._table.forget_orphans(left))

    async def claim_job(self, name: str, period_seconds: float) -> Job | None:
        """Take a periodic job if it is due and free."""
        claimed = await self._run("claim_job", lambda: self._table.claim_job_for(self._owner, name, period_seconds))
        return None if claimed is None else Job(name, *claimed)

    async def renew_job(self, job: Job) -> bool:
        """Prolong a running job's lease."""
        return await self._run("renew_job", lambda: self._table.renews_job(job.name, job.token))

    async def finish_job(self, job: Job, checkpoint: str = "", *, complete: bool = False) -> None:
        """Give a job back and keep its place."""
        del complete
        await self._run("finish_job", lambda: self._table.finish(job.name, job.token, checkpoint))

    async def release_jobs(self) -> None:
        """Let others have every job of this process at once."""
        await self._run("release_jobs", lambda: self._table.give_back_jobs(self._owner))

    async def purge_tombstones(self) -> None:
        """No run is as long as a tombstone stands."""
        await self._run("purge_tombstones", lambda: None)

    async def expire_keys(self, after: tuple[str, str]) -> tuple[str, str] | None:
        """Users of a run send no idempotency keys."""
        del after
        await self._run("expire_keys", lambda: None)
        return None


class RateLimitStore:
    """Stands in for ``reconciler.catalog.rate_limit.BudgetCatalog``."""

    def __init__(self, database: Database, terms: BucketConfig) -> None:
        del terms
        self._database = database

    async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
        """Requests that may be sent."""
        asked, host, world = dict(wanted), HOST.get(), self._database.world

        def grant() -> Grant:
            given = world.table.lease_requests(asked)
            world.on_grant(host, given)
            return given

        return await self._database.run("lease_budget", grant)

    async def close(self, seconds: float) -> None:
        """Lease nothing for a while."""
        await self._database.run("close_budget", lambda: self._database.table.close_budget(seconds))
