"""Revocation of tokens: the minimum ``token_version`` of each owner, and the record of every change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.catalog.database import Database
from reconciler.catalog.statements import load
from reconciler.errors import ReconcileError

# JSON numbers are exact up to here in every reader.
MAX_VERSION = 2**53 - 1
_SQL = load("revocations")


class MinimumWouldFall(ReconcileError):
    """A lower minimum would accept tokens that are revoked now.

    Attributes:
        minimum: the minimum that is in force.
    """

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum
        super().__init__(
            f"the minimum is {minimum} already, and a lower one would accept revoked tokens; add --allow-lower to do so"
        )


@dataclass(frozen=True, slots=True)
class MinimumChange:
    """The result of a revocation: the minimum before and now; 0 is none."""

    previous: int
    minimum: int


class RevocationStore:
    """The minimums. Every method raises CatalogUnavailable when the catalog does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def minimums(self, owner_ids: Sequence[str]) -> dict[str, int]:
        """The minimums of some owners; owners without one are left out."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_SQL["minimums"], {"owner_ids": [*owner_ids]})
            return {row["owner_id"]: row["minimum_version"] for row in await rows.fetchall()}

    async def revoke_below(
        self, owner_id: str, minimum: int, *, operator: str, allow_lower: bool = False
    ) -> MinimumChange:
        """Reject the owner's tokens whose ``token_version`` is below the minimum or absent.

        Args:
            owner_id: the owner; apps of that owner need not exist.
            minimum: 0 to ``MAX_VERSION``; 0 accepts all tokens again.
            operator: who changes it, for the record of changes.
            allow_lower: whether the minimum may fall.

        Raises:
            MinimumWouldFall: it would fall; nothing was changed.
        """
        named = {"owner_id": owner_id, "minimum": minimum, "operator": operator}
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["ensure"], named)
            row = await (await connection.execute(_SQL["lock"], named)).fetchone()
            previous: int = 0 if row is None else row["minimum_version"]
            if minimum < previous and not allow_lower:
                raise MinimumWouldFall(previous)
            if minimum != previous:
                await connection.execute(_SQL["change"], named)
                await connection.execute(_SQL["record"], named | {"previous": previous})
        return MinimumChange(previous, minimum)
