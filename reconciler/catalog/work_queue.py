"""The work queue: claims, renews and releases leases on apps. A claim returns all inputs of a reconcile.

A lease alone is not safe: a suspended process can resume after its lease has expired. So every claim gets a fencing
token that is larger than all earlier ones, and every later write is conditional on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.catalog.database import Database, Row
from reconciler.catalog.rows import app_from_row
from reconciler.catalog.statements import load
from reconciler.core.context import CreateIntent, Result
from specs.metadata import AppMetadata

_SQL = load("work_queue")
AGING_SECONDS = 30.0
TENANT_SPACING_SECONDS = 1.0
"""The delay of each further due app of one tenant behind the one before."""
CLAIM_WINDOW = 1000
"""The number of due apps among which a claim selects tenants in round-robin order."""
BACKGROUND_LANE = 1


@dataclass(frozen=True, slots=True)
class Lease:
    """The exclusive right to work on one app.

    Attributes:
        token: the fencing token.
        wake_count: the number of wake-ups at the claim; a larger number at the release makes the app due again.
    """

    app_id: str
    token: int
    wake_count: int


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One app under a lease, as it was at the claim (``at``, the catalog's clock)."""

    lease: Lease
    app: AppMetadata
    at: datetime
    attempts: int
    intents: tuple[CreateIntent, ...]
    confirmed_missing: bool
    duplicate_ids: tuple[str, ...]


class WorkQueue:
    """The table of due apps and their leases.

    Args:
        database: the catalog.
        owner: identifies this process in ``lease_holder``.
        lease_seconds: the duration of a lease.
    """

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        self._database = database
        self._owner = owner
        self._lease_seconds = lease_seconds

    async def claim(self, limit: int) -> list[WorkItem]:
        """Lease up to ``limit`` due apps. Raises CatalogUnavailable."""
        parameters = {
            "limit": limit,
            "owner": self._owner,
            "lease": self._lease_seconds,
            "spacing": TENANT_SPACING_SECONDS,
            "window": CLAIM_WINDOW,
        }
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL["claim"], parameters)).fetchall()
            work = {row["app_id"]: row for row in rows}
            if not work:
                return []
            apps = await connection.execute(_SQL["claimed"], {"app_ids": [*work]})
            return [_work_item(work[row["app_id"]], row) for row in await apps.fetchall()]

    async def next_due(self) -> float | None:
        """Return the seconds until the next app is due, negative if it is late; None if none is scheduled."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL["next_due"])).fetchone()
            return None if row is None else row["seconds"]

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        """Renew the leases that are still held, and return the ids of their apps."""
        parameters = {**_keys(leases), "lease": self._lease_seconds}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL["renew"], parameters)).fetchall()
            return {row["app_id"] for row in rows}

    async def release(self, lease: Lease, outcome: Result) -> bool:
        """End a lease and set the next due time. Return False if the lease was lost; nothing was written."""
        parameters = {
            "app_id": lease.app_id,
            "token": lease.token,
            "wake_count": lease.wake_count,
            "after": outcome.requeue_after,
            "failed": outcome.backoff,
            "lane": BACKGROUND_LANE if outcome.low_priority else 0,
            "aging_seconds": AGING_SECONDS,
        }
        async with self._database.connection() as connection:
            return await (await connection.execute(_SQL["release"], parameters)).fetchone() is not None

    async def release_all(self) -> None:
        """Release every lease of this process; the apps are due now."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["release_all"], {"owner": self._owner})


def _keys(leases: Sequence[Lease]) -> dict[str, Any]:
    return {"app_ids": [lease.app_id for lease in leases], "tokens": [lease.token for lease in leases]}


def _work_item(work: Row, row: Row) -> WorkItem:
    return WorkItem(
        lease=Lease(row["app_id"], work["lease_token"], work["wake_count"]),
        app=app_from_row(row),
        at=row["promoted_at"],
        attempts=work["attempts"],
        intents=tuple(intent_from_row(intent) for intent in row["intents"]),
        confirmed_missing=work["confirmed_missing"],
        duplicate_ids=tuple(work["duplicate_ids"]),
    )


def intent_from_row(row: Row) -> CreateIntent:
    """Return an intent from a row or from its JSON form, whose times are strings."""

    def time(value: datetime | str | None) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value

    sent_at = time(row["sent_at"])
    if sent_at is None:
        raise TypeError("an intent without sent_at")
    return CreateIntent(
        create_seq=row["create_seq"],
        incarnation=row["incarnation"],
        nonce=row["nonce"],
        state=row["state"],
        sent_at=sent_at,
        first_absent_at=time(row["first_absent_at"]),
    )
