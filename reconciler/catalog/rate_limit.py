"""The request budget that every process over one catalog shares."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.catalog.database import Database, Row
from reconciler.catalog.statements import load
from reconciler.core.rate_limit import BucketConfig, Credit, Grant, Priority, TokenBucket, take_tokens
from reconciler.errors import CatalogUnavailable

_SQL = load("rate_limit")


class RateLimitStore:
    """Leases tokens of the request limit.

    Args:
        database: the catalog.
        terms: what the bucket holds, and what flows in.
    """

    def __init__(self, database: Database, terms: BucketConfig) -> None:
        self._database = database
        self._config = terms

    async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
        """Lease tokens that are valid for ``lease_seconds`` from the call. Raises CatalogUnavailable."""
        async with self._database.transaction() as connection:
            row = await (await connection.execute(_SQL["lock_bucket"])).fetchone()
            if row is None:
                raise CatalogUnavailable("the request budget's row is gone; run morphik-apps migrate")
            bucket, grant = take_tokens(_bucket(row), wanted, row["now"], self._config)
            await connection.execute(_SQL["save_bucket"], _columns(bucket))
        return grant

    async def close(self, seconds: float) -> None:
        """Lease no tokens for some seconds, after a 429. Raises CatalogUnavailable."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["close"], {"seconds": seconds})


def _bucket(row: Row) -> TokenBucket:
    credit_by_priority = {
        Priority.REPAIR: Credit(row["repair_credit"], row["repair_requested_at"]),
        Priority.RESYNC: Credit(row["resync_credit"], row["resync_requested_at"]),
    }
    return TokenBucket(row["tokens"], row["refilled_at"], row["closed_until"], credit_by_priority)


def _columns(bucket: TokenBucket) -> dict[str, object]:
    repair, resync = bucket.credits[Priority.REPAIR], bucket.credits[Priority.RESYNC]
    return {
        "tokens": bucket.tokens,
        "at": bucket.updated_at,
        "repair_credit": repair.requests,
        "repair_requested_at": repair.requested_at,
        "resync_credit": resync.requests,
        "resync_requested_at": resync.requested_at,
    }
