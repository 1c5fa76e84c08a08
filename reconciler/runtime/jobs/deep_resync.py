"""Finds drift that Neon's project list does not show: a dry run of a reconcile, over a part of the fleet at a time."""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import datetime
from typing import Final

from reconciler.errors import ReconcileError
from reconciler.logging import RepeatSuppressor
from reconciler.runtime.jobs.job import Checkpoint, JobDependencies
from specs.metadata import AppMetadata

DEEP_RESYNC_PERIODS: Final = 12
"""Runs in which the job comes through the fleet."""

PAUSE_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class DeepResync:
    """The job ``deep_resync``."""

    def __init__(self, dependencies: JobDependencies) -> None:
        self._store = dependencies.store
        self._reconciler = dependencies.reconciler
        self._recorder = dependencies.recorder
        self._period = dependencies.period_seconds
        self._issues = RepeatSuppressor(log)

    async def run(self, checkpoint: Checkpoint) -> None:
        """Check the next apps, and wake those on which a reconcile would act."""
        number = math.ceil(await self._store.count_connected() / DEEP_RESYNC_PERIODS)
        apps = await self._store.deep_resync_rows(checkpoint.position, number)
        # The number of apps up to the end of the fleet; the apps after it begin the next cycle.
        end = len(apps) if len(apps) < number or number == 0 else None
        if end is not None:
            apps += await self._store.deep_resync_rows("", number - end)
        checkpoint.complete = end == 0
        now = await self._store.clock()
        for checked, app in enumerate(apps, start=1):
            if await self._has_drift(app, now):
                self._recorder.metrics.findings.labels("drifted").inc()
                await self._store.wake([app.app_id])
            checkpoint.position = app.app_id
            checkpoint.complete = end is not None and checked >= end
            await asyncio.sleep(min(PAUSE_SECONDS, 0.6 * self._period / max(1, number)))

    async def _has_drift(self, app: AppMetadata, now: datetime) -> bool:
        try:
            return await self._reconciler.has_drift(app, now)
        except ReconcileError as error:
            self._recorder.on_error(error)
            text = f"An app was not checked for drift: {error}"
            self._issues.report("deep_resync.check_failed", logging.INFO, text, app_id=app.app_id)
            return False
