"""Runs periodic jobs under a lease in the catalog, which it renews while the job runs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from reconciler.catalog.control_plane_store import Job
from reconciler.errors import MutationsSuspended, NeonUnauthorized, ReconcileError
from reconciler.logging import RepeatSuppressor, log_context, log_extra
from reconciler.runtime.jobs.job import Checkpoint, JobDependencies
from reconciler.runtime.jobs.registry import JOBS

RELEASE_TIMEOUT_SECONDS: Final = 3.0
"""A catalog that does not respond must not delay the end of the process."""

log = logging.getLogger(__name__)


class _JobLeaseLost(Exception):
    """Another daemon holds the job's lease."""


class JobRunner:
    """The jobs of one daemon.

    Args:
        dependencies: what the jobs need.
        lease_seconds: the lease of a job; it is renewed three times in this.
    """

    def __init__(self, dependencies: JobDependencies, *, lease_seconds: float) -> None:
        self._handlers = {name: build(dependencies) for name, build in JOBS.items()}
        self._store = dependencies.store
        self._recorder = dependencies.recorder
        self._min_pause = dependencies.period_seconds * 0.8
        self._lease_seconds = lease_seconds
        self._issues = RepeatSuppressor(log)
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def run(self, name: str) -> None:
        """Run a job, unless another daemon runs it or ran it recently. Never raises an error of Neon or the catalog."""
        if self._stopping:  # The scheduler may have created this task before it was paused.
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._running.add(task)
        try:
            with log_context(job=name):
                await self._run(name)
        except asyncio.CancelledError:
            # The scheduler would log the runner's own stop as a failure.
            if not self._stopping:
                raise
        finally:
            self._running.discard(task)

    async def stop(self) -> None:
        """Cancel the running jobs and release their leases."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await self._store.release_jobs()
        except (ReconcileError, TimeoutError):
            log.warning(
                "The leases of the jobs were not released. They will expire.",
                extra=log_extra("job.leases_not_released"),
            )

    async def _run(self, name: str) -> None:
        try:
            job = await self._store.claim_job(name, self._min_pause)
            if job is None:
                return
            await self._run_leased(job)
        except* _JobLeaseLost:
            log.info("Another daemon took over the job %s.", name, extra=log_extra("job.lease_lost"))
        except* (NeonUnauthorized, MutationsSuspended) as group:
            self._recorder.on_error(_first(group))
        except* ReconcileError as group:
            text = f"Job {name} failed: {_first(group)}"
            self._issues.report("job.failed", logging.WARNING, text, key=name, job=name)
        else:
            self._issues.resolve("job.failed", f"Job {name} completed.", key=name)

    async def _run_leased(self, job: Job) -> None:
        checkpoint = Checkpoint(job.checkpoint)
        try:
            async with asyncio.TaskGroup() as group:
                renewal = group.create_task(self._renew_lease(job))
                await self._handlers[job.name].run(checkpoint)
                renewal.cancel()
        finally:
            await self._store.finish_job(job, checkpoint.position, complete=checkpoint.complete)

    async def _renew_lease(self, job: Job) -> None:
        """Renew until cancelled. Any error but an unavailable catalog ends the job with it."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                if not await self._store.renew_job(job):
                    raise _JobLeaseLost
            except ReconcileError as error:
                text = f"The lease of {job.name} was not renewed: {error}"
                self._issues.report("job.lease_renewal_failed", logging.WARNING, text)


def _first(group: BaseExceptionGroup[ReconcileError]) -> ReconcileError:
    """Return the first error of a group, which may be nested."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ReconcileError)  # noqa: S101 - the group's type
    return error
