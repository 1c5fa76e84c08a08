"""Claims due apps in batches, reconciles each, renews the leases, and releases them at the end."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

from reconciler.catalog.work_queue import Lease, WorkItem, WorkQueue
from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.context import Result
from reconciler.errors import CatalogUnavailable, LeaseLost
from reconciler.logging import RepeatSuppressor, log_context, log_extra
from reconciler.runtime.reconciler import Reconciler
from reconciler.telemetry.recorder import Recorder

POLL_SECONDS = 1.0
CATALOG_PAUSE_SECONDS = 1.0
# A catalog that does not respond must not delay the end of the process.
RELEASE_TIMEOUT_SECONDS = 3.0
log = logging.getLogger(__name__)


class Worker:
    """The reconciles of one daemon.

    Args:
        work: the work queue.
        reconciler: reconciles an app.
        lease_seconds: the duration of a lease; it is renewed three times in this.
        concurrency: the maximum number of concurrent reconciles.
        recorder: its metrics count the reconciles.
    """

    def __init__(
        self,
        work: WorkQueue,
        reconciler: Reconciler,
        *,
        lease_seconds: float,
        concurrency: int = 16,
        recorder: Recorder | None = None,
    ) -> None:
        self._work = work
        self._reconciler = reconciler
        self._metrics = (recorder or Recorder()).metrics
        self._issues = RepeatSuppressor(log)
        self._lease_seconds = lease_seconds
        self._concurrency = concurrency
        self._tasks: dict[Lease, asyncio.Task[None]] = {}
        self._wake_event = asyncio.Event()

    def wake(self) -> None:
        """Claim now: an app may be due."""
        self._wake_event.set()

    async def run(self) -> None:
        """Work until cancelled; then cancel the reconciles in flight and release every lease.

        Raises:
            ExceptionGroup: the renewal of leases failed by a defect. Without it, leases would expire under reconciles
                in flight, so the worker ends; its leases are released.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew_leases())
                await self._claim()
        finally:
            await asyncio.shield(self._drain())

    async def _claim(self) -> NoReturn:
        while True:
            self._wake_event.clear()
            try:
                delay = await self._claim_batch()
            except CatalogUnavailable as error:
                self._log_catalog_unavailable(error)
                delay = CATALOG_PAUSE_SECONDS
            else:
                self._issues.resolve("catalog.unavailable", "The catalog is available.")
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake_event.wait()

    async def _claim_batch(self) -> float:
        """Claim up to the concurrency limit. Return the seconds until the next claim."""
        while free := self._concurrency - len(self._tasks):
            items = await self._work.claim(free)
            for item in items:
                self._tasks[item.lease] = asyncio.create_task(self._reconcile_one(item))
            if len(items) < free:
                due = await self._work.next_due()
                return POLL_SECONDS if due is None else min(POLL_SECONDS, max(0.01, due))
        return POLL_SECONDS

    async def _reconcile_one(self, item: WorkItem) -> None:
        """Reconcile an app and release its lease. All log records during this have one id."""
        started, outcome = time.monotonic(), "cancelled"
        with log_context(reconcile_id=secrets.token_hex(8), app_id=item.app.app_id):
            try:
                outcome, result = await self._run(item)
                await self._release(item.lease, result)
            finally:
                self._metrics.reconciles.labels(outcome).inc()
                self._metrics.reconcile_duration.observe(time.monotonic() - started)
                self._tasks.pop(item.lease, None)
                self._wake_event.set()

    async def _run(self, item: WorkItem) -> tuple[str, Result]:
        """Return the outcome of a reconcile, as a label of the metric, and its result."""
        try:
            result = await self._reconciler.run(item)
        except LeaseLost:
            # Another worker has the lease, and then the release changes nothing, or the app changed during the run.
            return "lease_lost", Result(0.1)
        except CatalogUnavailable as error:
            self._log_catalog_unavailable(error)
            return "catalog_unavailable", Result(CATALOG_PAUSE_SECONDS, backoff=True)
        except Exception as error:  # noqa: BLE001 - a defect must cost its own app a slow retry, never the daemon
            defect = f"{type(error).__name__} in {_origin(error.__traceback__)}"
            self._issues.report(
                "reconcile.crashed",
                logging.ERROR,
                "unhandled exception while reconciling an app",
                key=defect,
                error=error,
            )
            return "internal_error", Result(CAP_SECONDS, backoff=True)
        if result.backoff:
            return "failed", result
        return "converged" if result.requeue_after is None else "requeued", result

    async def _release(self, lease: Lease, result: Result) -> None:
        try:
            await self._work.release(lease, result)
        except CatalogUnavailable as error:
            self._log_catalog_unavailable(error)  # the lease will expire

    def _log_catalog_unavailable(self, error: CatalogUnavailable) -> None:
        self._issues.report("catalog.unavailable", logging.WARNING, f"No app can be reconciled: {error}")

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            leased = list(self._tasks)
            if not leased:
                continue
            try:
                renewed = await self._work.renew(leased)
            except CatalogUnavailable as error:
                self._log_catalog_unavailable(error)
                continue
            for lease in leased:
                task = self._tasks.get(lease)
                if lease.app_id not in renewed and task is not None:
                    task.cancel()

    async def _drain(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await self._work.release_all()
        except (CatalogUnavailable, TimeoutError):
            log.warning(
                "%d leases were not released. They will expire.",
                len(tasks),
                extra=log_extra("reconcile.leases_not_released"),
            )


def _origin(traceback: TracebackType | None) -> str:
    """Return the function and line that raised an exception."""
    if traceback is None:
        return "nowhere"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}"
