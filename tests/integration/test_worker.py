"""The worker over a real catalog: what becomes of its passes' places."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from reconciler.catalog.work_queue import WorkItem, WorkQueue
from reconciler.core.context import Result
from reconciler.runtime.worker import Worker
from reconciler.telemetry.reconcile_metrics import RECONCILE_OUTCOMES
from reconciler.telemetry.recorder import Recorder
from tests.catalogs import create, execute, opened, with_catalog


class _Hanging:
    """A driver whose first pass does not end by itself."""

    def __init__(self) -> None:
        self.begun, self.again = asyncio.Event(), asyncio.Event()

    async def run(self, _claimed: WorkItem) -> Result:
        if self.begun.is_set():
            self.again.set()
            return Result(None)
        self.begun.set()
        return await asyncio.Future()


def test_a_pass_whose_lease_is_lost_leaves_its_place_to_others(catalog_url: str) -> None:
    """It is broken off, and a worker with one place goes on with the next; both are counted."""

    async def run() -> dict[str, float]:
        driver, witness = _Hanging(), Recorder()
        async with opened(catalog_url) as database, asyncio.timeout(60):
            work = WorkQueue(database, owner="d", lease_seconds=1)
            worker = Worker(work, cast("Any", driver), lease_seconds=1, concurrency=1, recorder=witness)
            working = asyncio.create_task(worker.run())
            await driver.begun.wait()
            taken = "lease_token = nextval('lease_tokens'), lease_expires_at = NULL, due_at = now()"
            await asyncio.to_thread(execute, catalog_url, f"UPDATE app_work SET {taken}")
            await driver.again.wait()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        counted = {each: witness.metrics.reconciles.labels(each)._value.get() for each in RECONCILE_OUTCOMES}
        return {each: number for each, number in counted.items() if number}

    with_catalog(catalog_url, create)
    passes = asyncio.run(run())
    assert passes["cancelled"] >= 1
    assert set(passes) <= {"cancelled", "converged"}
