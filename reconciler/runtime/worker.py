"""Claims due apps in batches, runs a pass over each, keeps the leases alive, and gives them back when it ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from types import TracebackType

from reconciler.catalog.work_queue import Lease, WorkItem, WorkQueue
from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.context import Result
from reconciler.errors import CatalogUnavailable, LeaseLost
from reconciler.logging import RepeatSuppressor, log_context, log_extra
from reconciler.runtime.reconciler import Reconciler
from reconciler.telemetry.recorder import Recorder

POLL_SECONDS = 1.0
CATALOG_PAUSE_SECONDS = 1.0
# A catalog that does not answer must not hold up the end of the process.
RELEASE_TIMEOUT_SECONDS = 3.0
log = logging.getLogger(__name__)


class Worker:
    """One daemon's share of the work.

    Args:
        work: the work table.
        driver: runs a pass.
        lease_seconds: leases are renewed three times in this.
        concurrency: most passes at once.
        witness: whose metrics count the passes; nobody's when None.
    """

    def __init__(
        self,
        work: WorkQueue,
        driver: Reconciler,
        *,
        lease_seconds: float,
        concurrency: int = 16,
        witness: Recorder | None = None,
    ) -> None:
        self._work = work
        self._reconciler = driver
        self._metrics = (witness or Recorder()).metrics
        self._troubles = RepeatSuppressor(log)
        self._lease_seconds = lease_seconds
        self._concurrency = concurrency
        self._tasks: dict[Lease, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be work: look now."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; then drop what is in flight as unknown and give every lease back."""
        renewing = asyncio.create_task(self._renew_leases())
        try:
            while True:
                self._woken.clear()
                try:
                    pause = await self._claim_batch()
                except CatalogUnavailable as error:
                    self._log_catalog_unavailable(error)
                    pause = CATALOG_PAUSE_SECONDS
                else:
                    self._troubles.resolve("catalog.unavailable", "The catalog is available.")
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
        finally:
            renewing.cancel()
            await asyncio.shield(self._drain())

    async def _claim_batch(self) -> float:
        """Claim as much as there is room for; seconds until it is worth looking again."""
        while room := self._concurrency - len(self._tasks):
            claimed = await self._work.claim(room)
            for one in claimed:
                task = asyncio.create_task(self._reconcile_one(one))
                self._tasks[one.lease] = task
            if len(claimed) < room:
                due = await self._work.next_due()
                return POLL_SECONDS if due is None else min(POLL_SECONDS, max(0.01, due))
        return POLL_SECONDS

    async def _reconcile_one(self, claimed: WorkItem) -> None:
        """One pass and the end of its lease, under an id that is on every record made meanwhile."""
        began, ended = time.monotonic(), "cancelled"
        with log_context(reconcile_id=secrets.token_hex(8), app_id=claimed.app.app_id):
            try:
                ended, outcome = await self._run(claimed)
                await self._release(claimed.lease, outcome)
            finally:
                self._metrics.reconciles.labels(ended).inc()
                self._metrics.reconcile_duration.observe(time.monotonic() - began)
                self._tasks.pop(claimed.lease, None)
                self._woken.set()

    async def _run(self, claimed: WorkItem) -> tuple[str, Result]:
        """How the pass ended, and when to look again."""
        try:
            outcome = await self._reconciler.run(claimed)
        except LeaseLost:
            # Either another worker has it, and then the release changes nothing, or the app changed meanwhile.
            return "lease_lost", Result(0.1)
        except CatalogUnavailable as error:
            self._log_catalog_unavailable(error)
            return "catalog_unavailable", Result(CATALOG_PAUSE_SECONDS, backoff=True)
        except Exception as error:  # noqa: BLE001 - a defect must cost its own app a slow retry, never the daemon
            defect = f"{type(error).__name__} in {_origin(error.__traceback__)}"
            self._troubles.report(
                "reconcile.crashed",
                logging.ERROR,
                "unhandled exception while reconciling an app",
                key=defect,
                error=error,
            )
            return "internal_error", Result(CAP_SECONDS, backoff=True)
        if outcome.backoff:
            return "failed", outcome
        return "converged" if outcome.requeue_after is None else "requeued", outcome

    async def _release(self, lease: Lease, outcome: Result) -> None:
        try:
            await self._work.release(lease, outcome)
        except CatalogUnavailable as error:
            self._log_catalog_unavailable(error)  # and the lease is left to expire

    def _log_catalog_unavailable(self, error: CatalogUnavailable) -> None:
        self._troubles.report("catalog.unavailable", logging.WARNING, f"No app can be reconciled: {error}")

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
        passes = list(self._tasks.values())
        for task in passes:
            task.cancel()
        await asyncio.gather(*passes, return_exceptions=True)
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await self._work.release_all()
        except (CatalogUnavailable, TimeoutError):
            log.warning(
                "%d leases were not released. They will expire.",
                len(passes),
                extra=log_extra("reconcile.leases_not_released"),
            )


def _origin(traceback: TracebackType | None) -> str:
    """Where an exception came from."""
    if traceback is None:
        return "nowhere"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}"
