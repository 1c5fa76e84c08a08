"""Compares Neon's project list with the catalog, and wakes the apps that differ."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from reconciler.core.fleet.resync import FleetDiff, diff_fleet
from reconciler.core.ownership import CONTROL_PLANE_ID
from reconciler.errors import MutationsSuspended, NeonNotFound
from reconciler.logging import RepeatSuppressor, log_extra
from reconciler.runtime.guards.split_brain import SplitBrainDetector
from reconciler.runtime.jobs.job import Checkpoint, JobDependencies
from specs.neon import Project, ProjectListing

MAX_ORPHAN_CHECKS: Final = 20
log = logging.getLogger(__name__)


class Resync:
    """The job ``resync``."""

    def __init__(self, dependencies: JobDependencies) -> None:
        self._client = dependencies.client
        self._organization = dependencies.organization
        self._store = dependencies.store
        self._control_plane = dependencies.control_plane
        self._recorder = dependencies.recorder
        self._split_brain = SplitBrainDetector(
            dependencies.client, dependencies.store, dependencies.control_plane.control_plane_id
        )
        self._issues = RepeatSuppressor(log)
        self._foreign: set[str] = set()

    async def run(self, checkpoint: Checkpoint) -> None:
        """Compare, act on the result, and purge expired tombstones."""
        diff = await self._compare()
        await self._apply(diff)
        await self._store.purge_tombstones()
        checkpoint.complete = diff.complete

    async def _compare(self) -> FleetDiff:
        org_id = await self._organization.verify()
        identity, listed_from = await self._split_brain.require_trusted(), await self._store.clock()
        listing = await self._client.list_all_projects(org_id=org_id)
        self._report_unreadable(listing)
        await self._split_brain.verify_listing(identity, listing, listed_from)
        rows = [row async for row in self._store.rows()]
        known = await self._store.known_orphans()
        if listing.is_complete:
            deleted = known - listing.seen_ids
            if deleted:
                await self._store.forget_orphans(known - deleted)
        return await asyncio.to_thread(
            diff_fleet,
            rows,
            listing,
            known_orphans=known | self._foreign,
            listed_from=listed_from,
            settle_window=timedelta(seconds=self._control_plane.settle_seconds),
        )

    def _report_unreadable(self, listing: ProjectListing) -> None:
        """Report list items that cannot be read. The resync skips their projects and compares the others."""
        number = len(listing.unreadable)
        if number == 0:
            self._issues.resolve("neon.projects_unreadable", "Every project in Neon's list is readable.")
            return
        self._recorder.metrics.findings.labels("unreadable").inc(number)
        example = next((item.id for item in listing.unreadable if item.id is not None), "without an id")
        text = f"{number} projects in Neon's list are unreadable, one is {example}. The others are compared."
        self._issues.report("neon.projects_unreadable", logging.WARNING, text)

    async def _apply(self, diff: FleetDiff) -> None:
        if diff.stop_reason is not None and not await self._store.stop_overridden():
            await self._store.stop(diff.stop_reason)
            self._recorder.on_error(MutationsSuspended(diff.stop_reason))
            return
        if diff.complete and diff.stop_reason is None and await self._store.clear_stop():
            log.info("The fleet is complete again. Mutations resume.", extra=log_extra("mutations.resumed"))
        for finding, items in (
            ("drifted", diff.drifted),
            ("missing", diff.missing),
            ("duplicate", diff.duplicates),
        ):
            self._recorder.metrics.findings.labels(finding).inc(len(items))
        await self._store.wake(diff.drifted)
        await self._store.wake(diff.missing, missing=True)
        await self._store.enqueue_duplicates(diff.duplicates)
        for project in diff.orphans[:MAX_ORPHAN_CHECKS]:
            await self._report_orphan(project)

    async def _report_orphan(self, project: Project) -> None:
        """Report an owned project without an app, once. A project of another control plane is ignored from then on."""
        try:
            branches = await self._client.list_branches(project.id)
        except NeonNotFound:
            return  # deleted since the list was read
        owner = self._control_plane.control_plane_id
        if not any(annotations.get(CONTROL_PLANE_ID) == owner for annotations in branches.annotations.values()):
            if not branches.unreadable:
                self._foreign.add(project.id)
        elif await self._store.report_orphan(project):
            self._recorder.metrics.findings.labels("orphan").inc()
            extra = log_extra("orphan.found", project_id=project.id)
            log.warning("A project has this control plane's annotations and no app. It is left unchanged.", extra=extra)
