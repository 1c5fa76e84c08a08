"""Writes a promotion: rebuilt rows, recovered intents, holds, and the authoritative catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import InsufficientPrivilege
from psycopg.types.json import Jsonb

from reconciler.catalog.database import Connection, Database, Row
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.statements import load
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from reconciler.core.recovery.promotion import LostRow, ProjectProvenance, RecoveryPlan
from reconciler.core.stages.hold import OWNER_UNCONFIRMED
from reconciler.errors import ReconcileError

_SQL = load("promotion")


class PromotionRejected(ReconcileError):
    """The promotion or confirmation is not possible. The message is the reason."""


@dataclass(frozen=True, slots=True)
class PromotionResult:
    """The result of a promotion: the ids of apps."""

    rebuilt: tuple[str, ...]
    remembered: tuple[str, ...]
    on_hold: tuple[str, ...]


class PromotionStore:
    """The operator's side of the catalog. Needs the login that owns the tables.

    Args:
        database: the catalog.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nonces(self, app_ids: list[str]) -> set[str]:
        """The nonces of the creates that the catalog remembers, of some apps."""
        async with self._database.connection() as connection:
            return {row["nonce"] for row in await _all(connection, "nonces", {"app_ids": app_ids})}

    async def promote(
        self, plan: RecoveryPlan, standing: CatalogIdentity, sealer: Sealer, *, org_id: str, at: datetime
    ) -> PromotionResult:
        """Write all of it, or nothing.

        Args:
            claim: what is to be made good.
            standing: the state of the catalog that it was made from.
            sealer: makes the data keys of the rebuilt apps.
            org_id: whose projects they are.
            at: when the list was begun that it was made from.

        Raises:
            PromotionRejected: the catalog or its server is not as it was then, or the login may not.
            CatalogUnavailable: the same again is safe.
        """
        async with self._writing() as connection:
            now = (await _all(connection, "lock_identity", {}))[0]
            if (now["promoted_at"], now["server"], now["started"]) != (
                standing.promoted_at,
                standing.server,
                standing.server_started_at,
            ):
                raise PromotionRejected(
                    "somebody else claimed the catalog, or its server changed meanwhile; look again"
                )
            rebuilt = [await _all(connection, "rebuild", _lost(each, sealer, org_id)) for each in plan.rebuild]
            remembered = [await _all(connection, "remember_intent", _trace(each)) for each in plan.intents]
            told = (
                "The project was not at Neon when the catalog was claimed; it is recovered by an operator's word only."
            )
            missing = {"app_ids": [row.app_id for row in plan.missing], "told": told}
            held = await _all(connection, "hold_recoveries", missing)
            if plan.quarantine_reason is not None:
                await connection.execute(_SQL["skip_fencing_tokens"])
            known = {
                "server": standing.server,
                "started": standing.server_started_at,
                "at": at,
                "highest": plan.last_create_seq,
                "others": Jsonb(dict(plan.foreign_catalogs)),
            }
            await connection.execute(_SQL["promote"], known)
        return PromotionResult(_ids(*rebuilt), _ids(*remembered), _ids(held))

    async def confirm_owner(self, app_id: str, owner_id: str) -> str:
        """An app's owner is certain, or its project shall be recovered; what it was held for.

        Raises:
            PromotionRejected: there is no such app, it is not held, or it cannot be that owner's.
        """
        named = {"app_id": app_id, "owner_id": owner_id}
        async with self._writing() as connection:
            found = await _all(connection, "lock_held_app", named)
            if not found or found[0]["hold_reason"] is None:
                raise PromotionRejected(f"no app {app_id} waits for a person's word")
            row = found[0]
            if row["owner_id"] != owner_id:
                await self._transfer(connection, row, owner_id)
            told = f"An operator said that the app, held for its {row['hold_reason']}, is {owner_id}'s and goes on."
            await connection.execute(_SQL["confirm_owner"], {**named, "told": told})
        return str(row["hold_reason"])

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        try:
            async with self._database.transaction() as connection:
                yield connection
        except InsufficientPrivilege:
            raise PromotionRejected("this login may not claim; take the one that migrate uses") from None

    async def _transfer(self, connection: Connection, row: Row, owner_id: str) -> None:
        if row["hold_reason"] != "owner":
            raise PromotionRejected(f"the app {row['app_id']} is another owner's")
        if row["delete_requested_at"] is None:
            if await _all(connection, "name_taken", {"owner_id": owner_id, "app_name": row["app_name"]}):
                raise PromotionRejected(f"{owner_id} has another living app of the name {row['app_name']!r}")
            await connection.execute(_SQL["decrement_app_count"], {"owner_id": row["owner_id"]})
            await connection.execute(_SQL["increment_app_count"], {"owner_id": owner_id})


def _lost(lost: LostRow, sealer: Sealer, org_id: str) -> dict[str, Any]:
    key = sealer.new_data_key(lost.provenance.app_id, lost.provenance.incarnation)
    return {
        **_trace(lost.provenance),
        "app_name": lost.desired.app_name,
        "spec": Jsonb(lost.desired.spec.model_dump()),
        "owner_id": lost.owner_id,
        "org_id": org_id,
        "data_key": key.sealed,
        "wrapped_by": key.wrapped_by,
        "data_key_version": key.version,
        "reason": str(OWNER_UNCONFIRMED.reason),
        "message": OWNER_UNCONFIRMED.message,
        "told": f"The row was lost and was rebuilt from what the project {lost.provenance.project.id} says.",
    }


def _trace(trace: ProjectProvenance) -> dict[str, Any]:
    return {
        "app_id": trace.app_id,
        "incarnation": trace.incarnation,
        "create_seq": trace.create_seq,
        "nonce": trace.nonce,
        "project_id": trace.project.id,
        "created_at": trace.project.created_at,
        "told": f"The create that made the project {trace.project.id} is known again.",
    }


def _ids(*rows: list[Row]) -> tuple[str, ...]:
    return tuple(row["app_id"] for some in rows for row in some)


async def _all(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
    return await (await connection.execute(_SQL[statement], parameters)).fetchall()
