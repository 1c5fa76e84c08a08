"""The reconciler daemon: puts the parts together and runs them until it is told to stop.

Nothing that Neon or the catalog answers, or fails to answer, ends it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from contextlib import suppress
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from prometheus_client import CollectorRegistry

from reconciler.app_database import probe
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.listener import NotificationListener
from reconciler.catalog.migrate import require_current_schema
from reconciler.catalog.rate_limit import RateLimitStore
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkQueue
from reconciler.core.context import ControlPlane
from reconciler.core.rate_limit import BucketConfig, Priority
from reconciler.egress_proxy import egress_proxy
from reconciler.errors import CatalogUnavailable, ReconcileError
from reconciler.logging import RepeatSuppressor, log_extra
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.handlers.session import Dependencies
from reconciler.runtime.jobs.job import JobDependencies
from reconciler.runtime.jobs.registry import JOBS
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.periods import Every, MonotonicZone, ResyncWatch
from reconciler.runtime.rate_limiter import PriorityGate, RateLimiter
from reconciler.runtime.reconciler import Reconciler
from reconciler.runtime.worker import Worker
from reconciler.telemetry.reconcile_metrics import ReconcileMetrics
from reconciler.telemetry.recorder import Recorder
from specs.settings import (
    SEND_MARGIN_SECONDS,
    CatalogSettings,
    ControlPlaneSettings,
    EncryptionSettings,
    ReconcilerSettings,
)

CATALOG_PAUSE_SECONDS = 1.0
log = logging.getLogger(__name__)


class Daemon:
    """One reconciler; run as many as you like over one catalog.

    Args:
        catalog, seal, plane, loop: its settings.
        registry: where its metrics are registered; nobody's when None.
    """

    def __init__(
        self,
        catalog: CatalogSettings,
        seal: EncryptionSettings,
        plane: ControlPlaneSettings,
        loop: ReconcilerSettings,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._terms = BucketConfig.from_limits(
            requests_per_minute=loop.neon_requests_per_minute, burst=loop.neon_burst_per_second
        )
        self._witness = Recorder(ReconcileMetrics(CollectorRegistry() if registry is None else registry, self._terms))
        self._catalog = catalog
        self._seal = seal
        self._plane = plane
        self._loop = loop

    async def run(self) -> None:
        """Work until cancelled; then give every lease back."""
        database = Database(self._catalog.database_url.get_secret_value())
        loop = self._loop
        client = NeonClient(
            loop.neon_api_url,
            loop.neon_api_key,
            timeout_seconds=loop.neon_timeout_seconds,
            proxy=egress_proxy(loop.neon_api_url, loop),
            on_request=self._witness.on_neon_response,
        )
        await database.open()
        measured = self._witness.metrics.neon
        budget = RateLimiter(
            RateLimitStore(database, self._terms),
            self._terms,
            on_level=measured.tokens.update,
            on_wait=measured.rate_limit_waited,
        )
        try:
            await self._work(database, client, budget)
        finally:
            await budget.aclose()
            await client.aclose()
            await database.close()

    async def _work(self, database: Database, client: NeonClient, budget: RateLimiter) -> None:
        loop, owner = self._loop, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        fleet = ControlPlaneStore(database, owner=owner, lease_seconds=loop.lease_seconds)
        plane = ControlPlane(
            control_plane_id=self._plane.control_plane_id,
            catalog_id=await _wait_for_catalog(database, fleet),
            settle_seconds=loop.settle_seconds,
            host_suffixes=loop.host_suffixes,
        )
        access = OrganizationGuard(
            client.with_gate(PriorityGate(budget, Priority.USER)),
            fleet,
            org_id=loop.neon_org_id,
            neon_api_url=loop.neon_api_url,
            control_plane_id=plane.control_plane_id,
        )
        records = StatusStore(database, Sealer(self._seal.keys()), lease_seconds=loop.lease_seconds)
        send_within = loop.lease_seconds - loop.neon_timeout_seconds - SEND_MARGIN_SECONDS
        driver = Reconciler(
            Dependencies(client, budget, access, records, probe.probe, send_within, self._witness), plane
        )
        work = WorkQueue(database, owner=owner, lease_seconds=loop.lease_seconds)
        worker = Worker(work, driver, lease_seconds=loop.lease_seconds, witness=self._witness)
        jobs = JobRunner(
            JobDependencies(
                client.with_gate(PriorityGate(budget, Priority.RESYNC)),
                access,
                fleet,
                driver,
                plane,
                loop.resync_seconds,
                self._witness,
            ),
            lease_seconds=loop.lease_seconds,
        )
        listening = asyncio.create_task(NotificationListener(self._catalog.direct_url, worker.wake).run())
        looking = asyncio.create_task(_verify_at_startup(access, self._witness))
        watching = asyncio.create_task(ResyncWatch(fleet, loop.resync_seconds, self._witness).run())
        scheduler = _schedule(jobs, loop.resync_seconds)
        log.info("Reconciling as %s.", owner, extra=log_extra("daemon.started", lease_holder=owner))
        try:
            await worker.run()
        finally:
            scheduler.pause()
            await jobs.stop()
            scheduler.shutdown(wait=False)
            looking.cancel()
            watching.cancel()
            await asyncio.gather(looking, watching, return_exceptions=True)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


def _schedule(jobs: JobRunner, period: float) -> AsyncIOScheduler:
    scheduler = AsyncIOScheduler(timezone=MonotonicZone())
    for name in JOBS:
        scheduler.add_job(
            partial(jobs.run, name),
            Every(period, jitter=period * 0.1, first=min(1.0, period)),
            id=name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
    scheduler.start()
    return scheduler


async def _verify_at_startup(access: OrganizationGuard, witness: Recorder) -> None:
    """Have the first look at the start, so that what is wrong with the catalog is said before anybody asks."""
    while True:
        try:
            await access.verify()
        except ReconcileError as error:
            witness.on_error(error)
            await asyncio.sleep(CATALOG_PAUSE_SECONDS)
        else:
            return


async def _wait_for_catalog(database: Database, fleet: ControlPlaneStore) -> str:
    """Wait for a catalog that answers, and whose schema is at least this program's: before that nothing is touched."""
    troubles = RepeatSuppressor(log)
    while True:
        try:
            await require_current_schema(database)
            catalog_id = await fleet.catalog_id()
        except CatalogUnavailable as error:
            troubles.report("catalog.unavailable", logging.WARNING, f"Waiting for the catalog: {error}")
            await asyncio.sleep(CATALOG_PAUSE_SECONDS)
        else:
            troubles.resolve("catalog.unavailable", "The catalog is available.")
            return catalog_id
