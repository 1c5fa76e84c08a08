"""The writes of a reconcile, each conditional on the fencing token.

If the token has changed, a write raises ``LeaseLost`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from reconciler.catalog.database import Database, Row
from reconciler.catalog.encryption import DecryptionFailed, Sealer
from reconciler.catalog.rows import conditions_to_json
from reconciler.catalog.statements import load
from reconciler.catalog.work_queue import Lease, intent_from_row
from reconciler.core.context import CreateIntent, Credentials, StatusUpdate
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.host_allow_list import AddressNotAllowed, AddressRule, CheckedURI
from reconciler.errors import CatalogUnverified, LeaseLost, MutationsSuspended
from specs.metadata import AppMetadata

_SQL = load("status_store")
AUTOMATIC_DELETES_PER_HOUR = 10


class StatusStore:
    """The reconciler's side of ``app_metadata``, ``create_intents`` and the history.

    Args:
        database: the catalog.
        sealer: encrypts the URIs that ``record_project`` and ``record_credentials`` write.
        lease_seconds: the duration of the lease that an authorization renews.
    """

    def __init__(self, database: Database, sealer: Sealer, *, lease_seconds: float) -> None:
        self._database = database
        self._sealer = sealer
        self._lease_seconds = lease_seconds

    async def authorize_mutation(self, lease: Lease, *, automatic: bool) -> None:
        """Authorize a mutation, and renew the lease.

        Raises:
            CatalogUnverified, MutationsSuspended, LeaseLost: the mutation must not be sent.
        """
        parameters = {**_fence(lease), "lease": self._lease_seconds}
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL["authorize_mutation"], parameters)).fetchone()
            if row is not None and row["unverified"]:
                raise CatalogUnverified("the catalog's server changed; it is compared with Neon first")
            if row is None or (not row["leased"] and not row["stopped"]):
                raise LeaseLost(lease.app_id)
            if row["stopped"]:
                raise MutationsSuspended(row["reason"] or "All mutations are suspended.")
            if not automatic:
                return
            spent = await connection.execute(_SQL["spend_automatic_delete"], {"budget": AUTOMATIC_DELETES_PER_HOUR})
            if await spent.fetchone() is None:
                raise MutationsSuspended(f"Automatic delete budget exhausted ({AUTOMATIC_DELETES_PER_HOUR} per hour).")

    async def open_intent(self, lease: Lease, effect: OpenIntent) -> CreateIntent:
        """Commit an intent. Raises as ``authorize_mutation``, and LeaseLost if the app needs no project now."""
        await self.authorize_mutation(lease, automatic=False)
        parameters = {**_fence(lease), "nonce": effect.nonce, "reuse_create_seq": effect.reuse_create_seq}
        return intent_from_row(await self._fetch_one(lease, "open_intent", parameters))

    async def mark_intent_rejected(self, lease: Lease, create_seq: int) -> None:
        """Record that Neon definitely did not execute the request of an intent."""
        await self._update_intent(lease, create_seq, state="rejected", absent=False)

    async def record_absence(self, lease: Lease, create_seq: int, *, confirmed: bool) -> None:
        """Record that a complete list did not contain the intent's project; ``confirmed`` closes the intent."""
        await self._update_intent(lease, create_seq, state="absent" if confirmed else "open", absent=True)

    async def record(self, lease: Lease, update: StatusUpdate, request_id: str | None = None) -> None:
        """Write conditions, status, timestamps and events. The events contain the id of the request to Neon."""
        await self._write(lease, update, request_id, connection_uri=None, pooled_uri=None)

    async def record_credentials(
        self, lease: Lease, app: AppMetadata, new: Credentials, update: StatusUpdate, request_id: str | None = None
    ) -> None:
        """Encrypt and publish URIs with the app's data key. Raises DecryptionFailed if no key decrypts that."""
        if app.project_id is None or app.org_id is None:
            raise LeaseLost(app.app_id)
        key = self._sealer.open_data_key(app)
        aad = _aad(app, app.org_id, app.project_id, app.data_key_version)
        direct = self._sealer.seal(key, "connection_uri", new.connection_uri.get_secret_value(), **aad)
        pooled = (
            None
            if new.pooled_uri is None
            else self._sealer.seal(key, "pooled_uri", new.pooled_uri.get_secret_value(), **aad)
        )
        await self._write(lease, update, request_id, connection_uri=direct, pooled_uri=pooled)

    async def record_project(
        self, lease: Lease, app: AppMetadata, effect: RecordProject, request_id: str | None = None
    ) -> None:
        """Write the project's id, once, with a new data key and the encrypted URIs."""
        key = self._sealer.new_data_key(app.app_id, app.incarnation)
        aad = _aad(app, effect.org_id, effect.project_id, key.version)

        def sealed(column: Any, uri: CheckedURI | None) -> bytes | None:
            return None if uri is None else self._sealer.seal(key.key, column, uri.get_secret_value(), **aad)

        credentials = effect.credentials
        parameters = {
            **_fence(lease),
            **_update_parameters(effect.update, request_id),
            "create_seq": effect.create_seq,
            "incarnation": app.incarnation,
            "project_id": effect.project_id,
            "org_id": effect.org_id,
            "data_key": key.sealed,
            "wrapped_by": key.wrapped_by,
            "data_key_version": key.version,
            "connection_uri": sealed("connection_uri", credentials.connection_uri if credentials else None),
            "pooled_uri": sealed("pooled_uri", credentials.pooled_uri if credentials else None),
        }
        await self._fetch_one(lease, "record_project", parameters)

    async def dismiss_duplicate(self, lease: Lease, project_id: str, *, report: bool) -> None:
        """Remove a project from the app's duplicates."""
        await self._fetch_one(lease, "dismiss_duplicate", {**_fence(lease), "project_id": project_id, "report": report})

    def decrypt_credentials(self, app: AppMetadata, rule: AddressRule) -> Credentials | None:
        """Return the decrypted URIs; None if there are none, no key decrypts them, or the rule does not allow them."""
        try:
            direct = self._sealer.decrypt_uri(app, "connection_uri")
            pooled = self._sealer.decrypt_uri(app, "pooled_uri")
            if direct is None:
                return None
            return Credentials(CheckedURI(direct, rule), None if pooled is None else CheckedURI(pooled, rule))
        except (DecryptionFailed, AddressNotAllowed):
            return None

    async def _update_intent(self, lease: Lease, create_seq: int, *, state: str, absent: bool) -> None:
        parameters = {**_fence(lease), "create_seq": create_seq, "state": state, "absent": absent}
        await self._fetch_one(lease, "update_intent", parameters)

    async def _write(
        self,
        lease: Lease,
        update: StatusUpdate,
        request_id: str | None,
        *,
        connection_uri: bytes | None,
        pooled_uri: bytes | None,
    ) -> None:
        parameters = {
            **_fence(lease),
            **_update_parameters(update, request_id),
            "observed_generation": update.observed_generation,
            "columns": Jsonb(_timestamps(update.timestamps)),
            "connection_uri": connection_uri,
            "pooled_uri": pooled_uri,
        }
        await self._fetch_one(lease, "record", parameters)

    async def _fetch_one(self, lease: Lease, statement: str, parameters: Mapping[str, Any]) -> Row:
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL[statement], parameters)).fetchone()
        if row is None:
            raise LeaseLost(lease.app_id)
        return row


def _fence(lease: Lease) -> dict[str, Any]:
    return {"app_id": lease.app_id, "token": lease.token}


def _aad(app: AppMetadata, org_id: str, project_id: str, version: int) -> Any:
    return {
        "owner_id": app.owner_id,
        "app_id": app.app_id,
        "incarnation": app.incarnation,
        "org_id": org_id,
        "project_id": project_id,
        "version": version,
    }


def _update_parameters(update: StatusUpdate, request_id: str | None) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "status": str(update.status),
        "conditions": conditions_to_json(update.conditions),
        "events": Jsonb([{"type": e.type, "reason": e.reason, "message": e.message} for e in update.events]),
    }


def _timestamps(columns: Mapping[Any, datetime | None]) -> dict[str, str | None]:
    return {str(column): None if at is None else at.isoformat() for column, at in columns.items()}
