"""The request budget that every process over one catalog shares."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.catalog.database import Database, Row
from reconciler.catalog.statements import load
from reconciler.core.budget import Bucket, Grant, Owed, Terms, Urgency, lease
from reconciler.errors import CatalogUnavailable

_SQL = load("budget")


class BudgetCatalog:
    """Leases slices of the budget.

    Args:
        database: the catalog.
        terms: what the bucket holds, and what flows in.
    """

    def __init__(self, database: Database, terms: Terms) -> None:
        self._database = database
        self._terms = terms

    async def lease(self, wanted: Mapping[Urgency, int]) -> Grant:
        """Requests that may be sent within ``slice_seconds`` from the moment of the call. Raises CatalogUnavailable."""
        async with self._database.transaction() as connection:
            row = await (await connection.execute(_SQL["look"])).fetchone()
            if row is None:
                raise CatalogUnavailable("the request budget's row is gone; run morphik-apps migrate")
            bucket, grant = lease(_bucket(row), wanted, row["now"], self._terms)
            await connection.execute(_SQL["keep"], _columns(bucket))
        return grant

    async def close(self, seconds: float) -> None:
        """Lease nothing for a while: Neon refused a request for there being too many. Raises CatalogUnavailable."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["close"], {"seconds": seconds})


def _bucket(row: Row) -> Bucket:
    owed = {
        Urgency.REPAIRS: Owed(row["repairs_owed"], row["repairs_asked_at"]),
        Urgency.SWEEPS: Owed(row["sweeps_owed"], row["sweeps_asked_at"]),
    }
    return Bucket(row["tokens"], row["refilled_at"], row["closed_until"], owed)


def _columns(bucket: Bucket) -> dict[str, object]:
    repairs, sweeps = bucket.owed[Urgency.REPAIRS], bucket.owed[Urgency.SWEEPS]
    return {
        "tokens": bucket.tokens,
        "at": bucket.at,
        "repairs_owed": repairs.requests,
        "repairs_asked_at": repairs.asked_at,
        "sweeps_owed": sweeps.requests,
        "sweeps_asked_at": sweeps.asked_at,
    }
