"""Claims due apps in batches, runs a pass over each, keeps the leases alive, and gives them back when it ends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from reconciler.catalog.work import Claimed, Lease, WorkCatalog
from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.snapshot import Next
from reconciler.errors import CatalogUnavailable, LeaseLost
from reconciler.shell.driver import Driver

POLL_SECONDS = 1.0
CATALOG_PAUSE_SECONDS = 1.0
log = logging.getLogger(__name__)


class Worker:
    """One daemon's share of the work.

    Args:
        work: the work table.
        driver: runs a pass.
        lease_seconds: leases are renewed three times in this.
        concurrency: most passes at once.
    """

    def __init__(self, work: WorkCatalog, driver: Driver, *, lease_seconds: float, concurrency: int = 16) -> None:
        self._work = work
        self._driver = driver
        self._lease_seconds = lease_seconds
        self._concurrency = concurrency
        self._passes: dict[Lease, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be work: look now."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; then drop what is in flight as unknown and give every lease back."""
        renewing = asyncio.create_task(self._keep_leases())
        try:
            while True:
                self._woken.clear()
                try:
                    pause = await self._fill()
                except CatalogUnavailable as error:
                    log.warning("no work can be claimed: %s", error)
                    pause = CATALOG_PAUSE_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
        finally:
            renewing.cancel()
            await asyncio.shield(self._drain())

    async def _fill(self) -> float:
        """Claim as much as there is room for; seconds until it is worth looking again."""
        while room := self._concurrency - len(self._passes):
            claimed = await self._work.claim(room)
            for one in claimed:
                task = asyncio.create_task(self._pass(one))
                self._passes[one.lease] = task
            if len(claimed) < room:
                due = await self._work.next_due()
                return POLL_SECONDS if due is None else min(POLL_SECONDS, max(0.01, due))
        return POLL_SECONDS

    async def _pass(self, claimed: Claimed) -> None:
        outcome = Next(CAP_SECONDS, failed=True)
        try:
            outcome = await self._driver.run(claimed)
        except LeaseLost:
            # Either another worker has it, and then the release below changes nothing, or the app changed meanwhile.
            outcome = Next(0.1)
        except CatalogUnavailable as error:
            log.warning("a pass over %s broke off: %s", claimed.app.app_id, error)
            outcome = Next(CATALOG_PAUSE_SECONDS, failed=True)
        except Exception:
            # A defect must cost its own app a slow retry, never the daemon.
            log.exception("a pass over %s failed", claimed.app.app_id)
        try:
            await self._work.release(claimed.lease, outcome)
        except CatalogUnavailable:
            log.info("the lease on %s is left to expire", claimed.app.app_id)
        finally:
            self._passes.pop(claimed.lease, None)
            self._woken.set()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            held = list(self._passes)
            if not held:
                continue
            try:
                kept = await self._work.renew(held)
            except CatalogUnavailable as error:
                log.warning("leases cannot be renewed: %s", error)
                continue
            for lease in held:
                task = self._passes.get(lease)
                if lease.app_id not in kept and task is not None:
                    task.cancel()

    async def _drain(self) -> None:
        held = dict(self._passes)
        for task in held.values():
            task.cancel()
        await asyncio.gather(*held.values(), return_exceptions=True)
        if held:
            try:
                await self._work.give_back(list(held))
            except CatalogUnavailable:
                log.info("%d leases are left to expire", len(held))
