"""Deletes expired idempotency keys."""

from __future__ import annotations

import json
from typing import Final

from reconciler.runtime.jobs.job import Checkpoint, JobDependencies

MAX_PAGES: Final = 20
"""Pages of one run: 5.7 million keys a day with the default period."""


class ExpireIdempotencyKeys:
    """The job ``expire_idempotency_keys``."""

    def __init__(self, dependencies: JobDependencies) -> None:
        self._store = dependencies.store

    async def run(self, checkpoint: Checkpoint) -> None:
        """Delete the expired keys of the next pages, in order of owner and key."""
        for _ in range(MAX_PAGES):
            owner_id, key = json.loads(checkpoint.position or '["", ""]')
            following = await self._store.expire_keys((owner_id, key))
            checkpoint.complete = following is None
            checkpoint.position = json.dumps(following) if following else ""
            if following is None:
                return
