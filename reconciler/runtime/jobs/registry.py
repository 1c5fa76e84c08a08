"""All periodic jobs. A new job is a line here and a row of ``periodic_jobs`` in a migration.

A job's name is its row, its id in the scheduler, and the label ``job`` of the metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from reconciler.runtime.jobs.deep_resync import DeepResync
from reconciler.runtime.jobs.job import JobDependencies, JobHandler
from reconciler.runtime.jobs.resync import Resync
from reconciler.runtime.jobs.retention import ExpireIdempotencyKeys

JOBS: Final[Mapping[str, Callable[[JobDependencies], JobHandler]]] = {
    "resync": Resync,
    "deep_resync": DeepResync,
    "expire_idempotency_keys": ExpireIdempotencyKeys,
}
