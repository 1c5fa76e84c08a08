"""The catalog's identity, as recorded and as its server reports it, and its quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from reconciler.catalog.database import Database, Row
from reconciler.catalog.statements import load
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from reconciler.errors import CatalogUnavailable

_SQL = load("identity")


class CatalogIdentityStore:
    """Reads and writes about which catalog this is.

    Args:
        database: the catalog.

    Every method raises CatalogUnavailable.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> CatalogIdentity:
        """Return the current identity."""
        rows = await self._rows("read_identity", {})
        if not rows:
            raise CatalogUnavailable("the catalog's identity is gone; restore it from a back-up")
        return CatalogIdentity(**rows[0])

    async def unrecorded(self, project_ids: Iterable[str]) -> set[str]:
        """Those of some projects that no row records."""
        wanted = list(project_ids)
        if not wanted:
            return set()
        return {row["project_id"] for row in await self._rows("unrecorded", {"project_ids": wanted})}

    async def record_verified(self, identity: CatalogIdentity, at: datetime | None) -> bool:
        """Keep that Neon's list of that time, None for a partial one, agrees; False where all is another by now."""
        parameters = {
            "server": identity.server,
            "started": identity.server_started_at,
            "promoted_at": identity.promoted_at,
            "at": at,
        }
        return bool(await self._rows("record_verified", parameters))

    async def quarantine(self, identity: CatalogIdentity, reason: str) -> bool:
        """Quarantine the catalog until a promotion. Return whether it was not quarantined before."""
        return bool(await self._rows("quarantine", {"reason": reason, "promoted_at": identity.promoted_at}))

    async def resume_command(self) -> str | None:
        """Return the command that resumes mutations; None if they are not suspended."""
        for row in await self._rows("stop_state", {}):
            if row["quarantined"]:
                return "morphik-apps catalog promote"
            if row["stopped"]:
                return "morphik-apps resume"
        return None

    async def _rows(self, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
        async with self._database.connection() as connection:
            return await (await connection.execute(_SQL[statement], parameters)).fetchall()
