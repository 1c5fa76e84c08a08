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
        """Return the nonces of the recorded creates of some apps."""
        async with self._database.connection() as connection:
            return {row["nonce"] for row in await _all(connection, "nonces", {"app_ids": app_ids})}

    async def promote(
        self, plan: RecoveryPlan, identity: CatalogIdentity, sealer: Sealer, *, org_id: str, at: datetime
    ) -> PromotionResult:
        """Write the complete promotion, or nothing.

        Args:
            plan: the changes.
            identity: the catalog's identity at the time of the plan.
            sealer: creates the data keys of the rebuilt apps.
            org_id: the organization of the projects.
            at: when the first page of the plan's project list was requested.

        Raises:
            PromotionRejected: the catalog or its server has changed since, or the login lacks the privilege.
            CatalogUnavailable: the call can be repeated safely.
        """
        async with self._writing() as connection:
            now = (await _all(connection, "lock_identity", {}))[0]
            if (now["promoted_at"], now["server"], now["started"]) != (
                identity.promoted_at,
                identity.server,
                identity.server_started_at,
            ):
                raise PromotionRejected("the catalog was promoted, or its server changed, during the comparison; retry")
            rebuilt = [await _all(connection, "rebuild", _lost(lost, sealer, org_id)) for lost in plan.rebuild]
            remembered = [await _all(connection, "remember_intent", _provenance(item)) for item in plan.intents]
            message = "The project was missing at Neon when the catalog was promoted. An operator must confirm the app."
            missing = {"app_ids": [row.app_id for row in plan.missing], "event_message": message}
            on_hold = await _all(connection, "hold_recoveries", missing)
            if plan.quarantine_reason is not None:
                await connection.execute(_SQL["skip_fencing_tokens"])
            known = {
                "server": identity.server,
                "started": identity.server_started_at,
                "at": at,
                "last_create_seq": plan.last_create_seq,
                "others": Jsonb(dict(plan.foreign_catalogs)),
            }
            await connection.execute(_SQL["promote"], known)
        return PromotionResult(_ids(*rebuilt), _ids(*remembered), _ids(on_hold))

    async def confirm_owner(self, app_id: str, owner_id: str) -> str:
        """Confirm an app's owner, or the recovery of its project. Return the hold reason.

        Raises:
            PromotionRejected: the app does not exist, is not on hold, or cannot belong to that owner.
        """
        named = {"app_id": app_id, "owner_id": owner_id}
        async with self._writing() as connection:
            rows = await _all(connection, "lock_held_app", named)
            if not rows or rows[0]["hold_reason"] is None:
                raise PromotionRejected(f"no app {app_id} is on hold")
            row = rows[0]
            if row["owner_id"] != owner_id:
                await self._transfer(connection, row, owner_id)
            message = f"An operator confirmed that the app, on hold ({row['hold_reason']}), belongs to {owner_id}."
            await connection.execute(_SQL["confirm_owner"], {**named, "event_message": message})
        return str(row["hold_reason"])

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        try:
            async with self._database.transaction() as connection:
                yield connection
        except InsufficientPrivilege:
            raise PromotionRejected("this login may not promote; use the login of migrate") from None

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
        **_provenance(lost.provenance),
        "app_name": lost.desired.app_name,
        "spec": Jsonb(lost.desired.spec.model_dump()),
        "owner_id": lost.owner_id,
        "org_id": org_id,
        "data_key": key.sealed,
        "wrapped_by": key.wrapped_by,
        "data_key_version": key.version,
        "reason": str(OWNER_UNCONFIRMED.reason),
        "message": OWNER_UNCONFIRMED.message,
        "event_message": f"The lost row was rebuilt from the annotations of the project {lost.provenance.project.id}.",
    }


def _provenance(provenance: ProjectProvenance) -> dict[str, Any]:
    return {
        "app_id": provenance.app_id,
        "incarnation": provenance.incarnation,
        "create_seq": provenance.create_seq,
        "nonce": provenance.nonce,
        "project_id": provenance.project.id,
        "created_at": provenance.project.created_at,
        "event_message": f"The create of the project {provenance.project.id} was recorded again.",
    }


def _ids(*rows: list[Row]) -> tuple[str, ...]:
    return tuple(row["app_id"] for batch in rows for row in batch)


async def _all(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
    return await (await connection.execute(_SQL[statement], parameters)).fetchall()
