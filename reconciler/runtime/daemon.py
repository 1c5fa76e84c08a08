"""The reconciler daemon: composes the parts and runs them until it is stopped.

No response of Neon or the catalog, and no lack of one, ends it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
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
    """One reconciler. Several can run concurrently over one catalog.

    Args:
        catalog, encryption, control_plane, settings: its settings.
        registry: for its metrics; None for a registry of its own.
    """

    def __init__(
        self,
        catalog: CatalogSettings,
        encryption: EncryptionSettings,
        control_plane: ControlPlaneSettings,
        settings: ReconcilerSettings,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._bucket = BucketConfig.from_limits(
            requests_per_minute=settings.neon_requests_per_minute, burst=settings.neon_burst_per_second
        )
        self._recorder = Recorder(ReconcileMetrics(CollectorRegistry() if registry is None else registry, self._bucket))
        self._catalog = catalog
        self._encryption = encryption
        self._control_plane = control_plane
        self._settings = settings

    async def run(self) -> None:
        """Work until cancelled; then release every lease.

        Raises:
            ExceptionGroup: a background task failed by a defect.
        """
        database = Database(self._catalog.database_url.get_secret_value())
        settings = self._settings
        client = NeonClient(
            settings.neon_api_url,
            settings.neon_api_key,
            timeout_seconds=settings.neon_timeout_seconds,
            proxy=egress_proxy(settings.neon_api_url, settings),
            on_request=self._recorder.on_neon_response,
        )
        await database.open()
        neon_metrics = self._recorder.metrics.neon
        limiter = RateLimiter(
            RateLimitStore(database, self._bucket),
            self._bucket,
            on_level=neon_metrics.tokens.update,
            on_wait=neon_metrics.rate_limit_waited,
        )
        try:
            await self._work(database, client, limiter)
        finally:
            await limiter.aclose()
            await client.aclose()
            await database.close()

    async def _work(self, database: Database, client: NeonClient, limiter: RateLimiter) -> None:
        settings, holder = self._settings, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        lease_seconds, resync_seconds = settings.lease_seconds, settings.resync_seconds
        store = ControlPlaneStore(database, owner=holder, lease_seconds=lease_seconds)
        control_plane = ControlPlane(
            control_plane_id=self._control_plane.control_plane_id,
            catalog_id=await _wait_for_catalog(database, store),
            settle_seconds=settings.settle_seconds,
            host_suffixes=settings.host_suffixes,
        )
        guard = OrganizationGuard(
            client.with_gate(PriorityGate(limiter, Priority.USER)),
            store,
            org_id=settings.neon_org_id,
            neon_api_url=settings.neon_api_url,
            control_plane_id=control_plane.control_plane_id,
        )
        status_store = StatusStore(database, Sealer(self._encryption.keys()), lease_seconds=lease_seconds)
        send_within = lease_seconds - settings.neon_timeout_seconds - SEND_MARGIN_SECONDS
        reconciler = Reconciler(
            Dependencies(client, limiter, guard, status_store, probe.probe, send_within, self._recorder), control_plane
        )
        work = WorkQueue(database, owner=holder, lease_seconds=lease_seconds)
        worker = Worker(work, reconciler, lease_seconds=lease_seconds, recorder=self._recorder)
        resync_client = client.with_gate(PriorityGate(limiter, Priority.RESYNC))
        jobs = JobRunner(
            JobDependencies(resync_client, guard, store, reconciler, control_plane, resync_seconds, self._recorder),
            lease_seconds=lease_seconds,
        )
        scheduler = _schedule(jobs, resync_seconds)
        log.info("Reconciling as %s.", holder, extra=log_extra("daemon.started", lease_holder=holder))
        try:
            # A background task that fails by a defect cancels the worker, which releases its leases.
            async with asyncio.TaskGroup() as group:
                group.create_task(NotificationListener(self._catalog.direct_url, worker.wake).run())
                group.create_task(_verify_at_startup(guard, self._recorder))
                group.create_task(ResyncWatch(store, resync_seconds, self._recorder).run())
                await worker.run()
        finally:
            scheduler.pause()
            await jobs.stop()
            scheduler.shutdown(wait=False)


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


async def _verify_at_startup(guard: OrganizationGuard, recorder: Recorder) -> None:
    """Verify the key and the catalog at the start, so that problems are reported before the first request."""
    while True:
        try:
            await guard.verify()
        except ReconcileError as error:
            recorder.on_error(error)
            await asyncio.sleep(CATALOG_PAUSE_SECONDS)
        else:
            return


async def _wait_for_catalog(database: Database, store: ControlPlaneStore) -> str:
    """Wait for a catalog with a schema of this version or a later one. Return its id."""
    issues = RepeatSuppressor(log)
    while True:
        try:
            await require_current_schema(database)
            catalog_id = await store.catalog_id()
        except CatalogUnavailable as error:
            issues.report("catalog.unavailable", logging.WARNING, f"Waiting for the catalog: {error}")
            await asyncio.sleep(CATALOG_PAUSE_SECONDS)
        else:
            issues.resolve("catalog.unavailable", "The catalog is available.")
            return catalog_id
