"""The periodic rounds over the fleet: the sweep compares lists, the audit looks deeper at a few apps at a time, and
expired idempotency keys are dropped.

One daemon at a time runs each; the catalog's job rows decide which.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reconciler.catalog.control_plane_store import ControlPlaneStore, Job
from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core.context import ControlPlane
from reconciler.core.fleet.resync import FleetDiff, diff_fleet
from reconciler.core.ownership import CONTROL_PLANE_ID
from reconciler.errors import MutationsSuspended, NeonNotFound, NeonUnauthorized, ReconcileError
from reconciler.logging import RepeatSuppressor, log_context, log_extra
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.guards.split_brain import SplitBrainDetector
from reconciler.runtime.reconciler import Reconciler
from reconciler.telemetry.recorder import Recorder
from specs.metadata import AppMetadata
from specs.neon import Project, ProjectListing

DEEP_RESYNC_PERIODS = 12
DEEP_RESYNC_PAUSE_SECONDS = 1.0
MAX_ORPHAN_CHECKS = 20
# Pages of idempotency keys in one round: 5.7 million keys a day with the default period.
EXPIRED_KEY_PAGES = 20
# A catalog that does not answer must not hold up the end of the process.
RELEASE_TIMEOUT_SECONDS = 3.0
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Checkpoint:
    """How far a round has come, whether all of the fleet has been looked at by then, and whether another has it now."""

    position: str
    complete: bool = False
    lease_lost: bool = False


class PeriodicJobs:
    """Sweep and audit.

    Args:
        client, access: Neon.
        fleet: the catalog as a whole.
        driver: says whether a pass over an app would do anything.
        plane: whose projects are ours.
        resync_seconds: the period of the sweep; a deep round takes twelve of them.
        lease_seconds: jobs are renewed three times in this.
        witness: counts what is found; nobody's when None.
    """

    def __init__(
        self,
        client: NeonClient,
        access: OrganizationGuard,
        fleet: ControlPlaneStore,
        driver: Reconciler,
        plane: ControlPlane,
        *,
        resync_seconds: float,
        lease_seconds: float,
        witness: Recorder | None = None,
    ) -> None:
        self._client = client
        self._organization = access
        self._fleet = fleet
        self._reconciler = driver
        self._split_brain = SplitBrainDetector(client, fleet, plane.control_plane_id)
        self._control_plane = plane
        self._period = resync_seconds
        self._lease_seconds = lease_seconds
        self._recorder = witness or Recorder()
        self._troubles = RepeatSuppressor(log)
        self._foreign: set[str] = set()
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def resync(self) -> None:
        """Compare Neon's list with the catalog and wake what differs; never raises for the world's sake."""
        await self._run("resync", self._resync)

    async def deep_resync(self) -> None:
        """Look at the next apps as a pass would, and wake those for which it would act; raises like ``resync``."""
        await self._run("deep_resync", self._deep_resync)

    async def expire_idempotency_keys(self) -> None:
        """Drop idempotency keys that have expired; raises like ``resync``."""
        await self._run("expire_idempotency_keys", self._expire_keys)

    async def stop(self) -> None:
        """Break off what is running and give its job back."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await self._fleet.release_jobs()
        except (ReconcileError, TimeoutError):
            log.warning(
                "The leases of the jobs were not released. They will expire.",
                extra=log_extra("job.leases_not_released"),
            )

    async def _run(self, name: str, handler: Callable[[Job, _Checkpoint], Awaitable[None]]) -> None:
        if not self._stopping:  # the scheduler may have started it, and it had not begun
            await self._run_leased(name, handler)

    async def _run_leased(self, name: str, handler: Callable[[Job, _Checkpoint], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._running.add(task)
        place: _Checkpoint | None = None
        try:
            with log_context(job=name):
                job = await self._fleet.claim_job(name, self._period * 0.8)
                if job is not None:
                    async with self._renewing_lease(job) as place:
                        await handler(job, place)
                    self._troubles.resolve("job.failed", f"Job {name} completed.", key=name)
        except (NeonUnauthorized, MutationsSuspended) as error:
            self._recorder.on_error(error)
        except ReconcileError as error:
            self._troubles.report("job.failed", logging.WARNING, f"Job {name} failed: {error}", key=name, job=name)
        except asyncio.CancelledError:
            # The scheduler would log as a failure what is none: our own stop, and a round that another has taken over.
            if not self._stopping and (place is None or not place.lease_lost):
                raise
        finally:
            self._running.discard(task)

    async def _resync(self, _job: Job, place: _Checkpoint) -> None:
        verdict = await self._compare()
        await self._apply(verdict)
        await self._fleet.purge_tombstones()
        place.complete = verdict.complete

    async def _compare(self) -> FleetDiff:
        org_id = await self._organization.verify()
        standing, listed_from = await self._split_brain.require_trusted(), await self._fleet.clock()
        listing = await self._client.list_all_projects(org_id=org_id)
        self._report_unreadable(listing)
        await self._split_brain.verify_listing(standing, listing, listed_from)
        rows = [row async for row in self._fleet.rows()]
        reported = await self._fleet.known_orphans()
        if listing.is_complete:
            gone = reported - listing.seen_ids
            if gone:
                await self._fleet.forget_orphans(reported - gone)
        settle = timedelta(seconds=self._control_plane.settle_seconds)
        return await asyncio.to_thread(
            diff_fleet,
            rows,
            listing,
            known_orphans=reported | self._foreign,
            listed_from=listed_from,
            settle_window=settle,
        )

    def _report_unreadable(self, listing: ProjectListing) -> None:
        """An item that cannot be read stops nothing, but its project is not compared."""
        number = len(listing.unreadable)
        if number == 0:
            self._troubles.resolve("neon.projects_unreadable", "Every project in Neon's list is readable.")
            return
        self._recorder.metrics.findings.labels("unreadable").inc(number)
        which = next((item.id for item in listing.unreadable if item.id is not None), "without an id")
        text = f"{number} projects in Neon's list are unreadable, one is {which}. The others are compared."
        self._troubles.report("neon.projects_unreadable", logging.WARNING, text)

    async def _apply(self, verdict: FleetDiff) -> None:
        if verdict.stop_reason is not None and not await self._fleet.stop_overridden():
            await self._fleet.stop(verdict.stop_reason)
            self._recorder.on_error(MutationsSuspended(verdict.stop_reason))
            return
        if verdict.complete and verdict.stop_reason is None and await self._fleet.clear_stop():
            log.info("The fleet is complete again. Mutations resume.", extra=log_extra("mutations.resumed"))
        findings = self._recorder.metrics.findings
        for finding, found in (
            ("drifted", verdict.drifted),
            ("missing", verdict.missing),
            ("duplicate", verdict.duplicates),
        ):
            findings.labels(finding).inc(len(found))
        await self._fleet.wake(verdict.drifted)
        await self._fleet.wake(verdict.missing, missing=True)
        await self._fleet.enqueue_duplicates(verdict.duplicates)
        for project in verdict.orphans[:MAX_ORPHAN_CHECKS]:
            await self._report_orphan(project)

    async def _report_orphan(self, project: Project) -> None:
        """Say once that a project of ours has no row; another plane's is none of our business."""
        try:
            branches = await self._client.list_branches(project.id)
        except NeonNotFound:
            return  # gone since the list
        if not any(
            found.get(CONTROL_PLANE_ID) == self._control_plane.control_plane_id
            for found in branches.annotations.values()
        ):
            if not branches.unreadable:
                self._foreign.add(project.id)
        elif await self._fleet.report_orphan(project):
            self._recorder.metrics.findings.labels("orphan").inc()
            extra = log_extra("orphan.found", project_id=project.id)
            log.warning("A project has our annotations and no app. It was left unchanged.", extra=extra)

    async def _deep_resync(self, job: Job, place: _Checkpoint) -> None:
        number = math.ceil(await self._fleet.count_connected() / DEEP_RESYNC_PERIODS)
        rows = await self._fleet.deep_resync_rows(job.checkpoint, number)
        # Where the fleet ends in these rows; behind that, the next look at it begins.
        end = len(rows) if len(rows) < number or number == 0 else None
        if end is not None:
            rows += await self._fleet.deep_resync_rows("", number - end)
        place.complete = end == 0
        now = await self._fleet.clock()
        for done, app in enumerate(rows, start=1):
            claimed = WorkItem(Lease(app.app_id, 0, 0), app, now, 0, (), confirmed_missing=False, duplicate_ids=())
            if await self._has_drift(claimed):
                self._recorder.metrics.findings.labels("drifted").inc()
                await self._fleet.wake([app.app_id])
            place.position, place.complete = app.app_id, end is not None and done >= end
            await asyncio.sleep(min(DEEP_RESYNC_PAUSE_SECONDS, 0.6 * self._period / max(1, number)))

    async def _expire_keys(self, _job: Job, place: _Checkpoint) -> None:
        for _ in range(EXPIRED_KEY_PAGES):
            owner_id, key = json.loads(place.position or '["", ""]')
            following = await self._fleet.expire_keys((owner_id, key))
            place.position, place.complete = json.dumps(following) if following else "", following is None
            if following is None:
                return

    async def _has_drift(self, claimed: WorkItem) -> bool:
        app: AppMetadata = claimed.app
        try:
            return await self._reconciler.has_drift(claimed)
        except ReconcileError as error:
            self._recorder.on_error(error)
            text = f"An app was not checked for drift: {error}"
            self._troubles.report("deep_resync.check_failed", logging.INFO, text, app_id=app.app_id)
            return False

    @asynccontextmanager
    async def _renewing_lease(self, job: Job) -> AsyncIterator[_Checkpoint]:
        """Keep the job's lease, and its place, until the block ends."""
        place, holder = _Checkpoint(job.checkpoint), asyncio.current_task()

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._lease_seconds / 3)
                try:
                    if not await self._fleet.renew_job(job) and holder is not None:
                        log.info("Another daemon took over the job %s.", job.name, extra=log_extra("job.lease_lost"))
                        place.lease_lost = True
                        holder.cancel()
                        return
                except ReconcileError as error:
                    self._troubles.report(
                        "job.lease_renewal_failed", logging.WARNING, f"The lease of {job.name} was not renewed: {error}"
                    )

        renewing = asyncio.create_task(renew())
        try:
            yield place
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._fleet.finish_job(job, place.position, complete=place.complete)
