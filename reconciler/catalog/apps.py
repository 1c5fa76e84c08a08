"""The API's side of the catalog: writes of desired state, and reads. All times are the catalog's clock."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.errors import UniqueViolation
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from reconciler.catalog.batcher import Batcher
from reconciler.catalog.cursors import decode_app_cursor, decode_event_cursor, encode_app_cursor
from reconciler.catalog.database import Connection, Database
from reconciler.catalog.errors import (
    CreateLimitReached,
    IdempotencyKeyReused,
    KeyLimitReached,
    LimitReached,
    NameTaken,
)
from reconciler.catalog.limits import MAX_KEYS, OwnerLimits, seconds_until_create
from reconciler.catalog.rows import app_from_row, app_from_values
from reconciler.catalog.statements import load
from reconciler.errors import CatalogUnavailable
from reconciler.logging import log_extra
from specs.app import DesiredApp
from specs.metadata import AppMetadata
from specs.status import AppStatus, Condition, ConditionType, Reason

_log = logging.getLogger(__name__)
_SQL = load("apps")
_MAX_ATTEMPTS = 5
_MAX_BATCH_SIZE = 50
QUEUED_MESSAGE = "Queued for reconciliation. No action required."


class _Conflict(Exception):
    """A request with the same key committed after this one had looked."""


@dataclass(frozen=True, slots=True)
class CreateResult:
    """The app of a create, and whether this request made it."""

    app: AppMetadata
    created: bool


@dataclass(frozen=True, slots=True)
class _CreateRequest:
    """The search of a create before it writes: an app by idempotency key or by name."""

    owner_id: str
    desired: DesiredApp
    provided: Collection[str]
    key: str | None
    fingerprint: bytes | None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of statements."""
        return {"owner_id": self.owner_id, "app_name": self.desired.app_name, "key": self.key}

    def mismatches(self, app: AppMetadata) -> tuple[str, ...]:
        """Return the provided fields in which an app differs, sorted. Absent fields are not compared."""
        provided = {name: app.app_name if name == "app_name" else getattr(app.spec, name) for name in self.provided}
        return tuple(sorted(name for name, value in provided.items() if value != getattr(self.desired, name)))


@dataclass(frozen=True, slots=True)
class Page:
    """A part of an owner's list; ``next_cursor`` is None at its end."""

    apps: tuple[AppMetadata, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class AppEvent:
    """One event of an app's history. ``actor`` is an owner's id or the name of a component of the control plane."""

    event_id: int
    at: datetime
    type: str
    reason: str
    message: str
    actor: str
    generation: int
    request_id: str | None


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of an app's history; ``next_cursor`` is None at its end."""

    events: tuple[AppEvent, ...]
    next_cursor: str | None


class AppStore:
    """The apps, as the API sees them. Every method raises CatalogUnavailable when the catalog does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._create_batcher: Batcher[dict[str, Any], datetime | None] = Batcher(
            self._create_each, max_batch_size=_MAX_BATCH_SIZE
        )
        self._get_batcher: Batcher[tuple[str, str], AppMetadata | None] = Batcher(
            self._get_batch, max_batch_size=_MAX_BATCH_SIZE
        )

    async def create(
        self,
        owner_id: str,
        desired: DesiredApp,
        *,
        provided: Collection[str],
        app_id: str,
        idempotency_key: str | None,
        fingerprint: bytes | None,
        limits: OwnerLimits,
        request_id: str | None,
    ) -> CreateResult:
        """Write the desired row, or find the app that the same request made before.

        Args:
            owner_id: whose app it is.
            desired: the name and the desired state, with defaults.
            provided: the fields of ``desired`` that the client gave; only these are compared with an app of that name.
            app_id: the id for a new app; unused when one is found.
            idempotency_key: the client's key, remembered with ``fingerprint``, a digest of the request.
            fingerprint: required with a key.
            limits: the owner's.
            request_id: for the history.

        Raises:
            IdempotencyKeyReused: the key stands for another request.
            NameTaken: a living app of that name is not the same.
            LimitReached, CreateLimitReached, KeyLimitReached: the owner has reached a limit; nothing is counted.
            CatalogUnavailable: it may or may not have been written; the same request again is safe.
        """
        wanted = {
            "app_name": desired.app_name,
            "spec": desired.spec.model_dump(),
            "owner_id": owner_id,
            "key": idempotency_key,
            "app_id": app_id,
            "queued_message": QUEUED_MESSAGE,
            "request_id": request_id,
            "fingerprint": None if fingerprint is None else fingerprint.hex(),
            "max_apps": limits.apps,
            "max_creates": limits.creates_per_day,
            "max_keys": MAX_KEYS,
        }
        sought = _CreateRequest(owner_id, desired, provided, idempotency_key, fingerprint)
        for _ in range(_MAX_ATTEMPTS):
            try:
                known = await self._find_by_idempotency_key(sought)
                if known is not None:
                    return CreateResult(known, created=False)
                made_at = await self._create_batcher(wanted)
                if made_at is not None:
                    return CreateResult(_new_app(desired, wanted, made_at), created=True)
                existing = await self._find_living(sought)
                if existing is not None:
                    return CreateResult(existing, created=False)
                await self._check_limits(sought, limits)
            except (UniqueViolation, _Conflict):
                # A create of the same name or key committed after this one had looked.
                continue
        raise CatalogUnavailable("too many concurrent creates with the same name or Idempotency-Key")

    async def find(
        self,
        owner_id: str,
        desired: DesiredApp,
        *,
        provided: Collection[str],
        idempotency_key: str | None,
        fingerprint: bytes | None,
    ) -> AppMetadata | None:
        """The app that ``create`` would find; None where it would write one. Raises as ``create`` does."""
        sought = _CreateRequest(owner_id, desired, provided, idempotency_key, fingerprint)
        for _ in range(_MAX_ATTEMPTS):
            try:
                return await self._find_by_idempotency_key(sought) or await self._find_living(sought)
            except (UniqueViolation, _Conflict):
                continue
        raise CatalogUnavailable("too many concurrent creates with the same name or Idempotency-Key")

    async def _find_by_idempotency_key(self, sought: _CreateRequest) -> AppMetadata | None:
        if sought.key is None:
            return None
        async with self._database.connection() as connection:
            row = await _fetch_one(connection, "find_key", sought.parameters)
        if row is None:
            return None
        if row["fingerprint"] != sought.fingerprint:
            raise IdempotencyKeyReused
        return _app(row)

    async def _find_living(self, sought: _CreateRequest) -> AppMetadata | None:
        """The living app of the name, for which the key stands from now on; None when there is none."""
        async with self._database.connection() as connection:
            row = await _fetch_one(connection, "find_living", sought.parameters)
            if row is None:
                return None
            app = _app(row)
            mismatches = sought.mismatches(app)
            if mismatches:
                raise NameTaken(app.app_id, mismatches)
            if sought.key is None:
                return app
            values = sought.parameters | {"app_id": app.app_id, "fingerprint": sought.fingerprint, "max_keys": MAX_KEYS}
            if await _fetch_one(connection, "remember_key", values) is not None:
                return app
            counts = await _fetch_one(connection, "owner_counts", sought.parameters)
        if counts is not None and counts["key_count"] >= MAX_KEYS:
            await self._count_keys(sought)
        raise _Conflict

    async def _check_limits(self, sought: _CreateRequest, limits: OwnerLimits) -> None:
        """Raise the error of the reached limit; a concurrent change may have made room."""
        async with self._database.connection() as connection:
            counts = await _fetch_one(connection, "owner_counts", sought.parameters)
        if counts is None:
            return
        if counts["app_count"] >= limits.apps:
            raise LimitReached(limits.apps)
        seconds = seconds_until_create(counts["creates"], counts["creates_hour"], counts["now"], limits.creates_per_day)
        if seconds > 0:
            raise CreateLimitReached(limits.creates_per_day, seconds)
        if sought.key is not None and counts["key_count"] >= MAX_KEYS:
            await self._count_keys(sought)

    async def _count_keys(self, sought: _CreateRequest) -> None:
        """Make the count of the owner's living keys exact; raises KeyLimitReached where the limit is reached."""
        async with self._database.transaction() as connection:
            # A statement of its own: the count must see what was committed while this waited for the lock.
            await connection.execute(_SQL["lock_owner"], sought.parameters)
            counted = await _fetch_existing(connection, "count_keys", sought.parameters)
        if counted["key_count"] >= MAX_KEYS:
            raise KeyLimitReached(MAX_KEYS, counted["seconds"])

    async def _create_each(self, wanted: Sequence[dict[str, Any]]) -> Sequence[datetime | Exception | None]:
        """Return when each app was created. If a batch fails, each item is executed alone."""
        try:
            return await self._create_batch(wanted)
        except psycopg.Error as error:
            if len(wanted) == 1:
                return [error]
        results: list[datetime | Exception | None] = []
        for request in wanted:
            results += await self._create_each([request])
        return results

    async def _create_batch(self, wanted: Sequence[dict[str, Any]]) -> Sequence[datetime | None]:
        numbered = Jsonb([request | {"number": number} for number, request in enumerate(wanted)])
        made: list[datetime | None] = [None] * len(wanted)
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL["create"], {"requests": numbered}, binary=True)
            for row in await cursor.fetchall():
                made[row["number"]] = row["created_at"]
        return made

    async def get(self, owner_id: str, app_id: str) -> AppMetadata | None:
        """One app of an owner; None when there is none, it is another owner's, or its tombstone is over."""
        return await self._get_batcher((owner_id, app_id))

    async def _get_batch(self, requests: Sequence[tuple[str, str]]) -> Sequence[AppMetadata | None]:
        pairs = [*dict.fromkeys(requests)]
        values = {"owner_ids": [owner_id for owner_id, _ in pairs], "app_ids": [app_id for _, app_id in pairs]}
        async with self._database.connection() as connection:
            cursor = await connection.cursor(row_factory=tuple_row).execute(_SQL["get"], values, binary=True)
            apps = [app_from_values(row).as_shown_to_owner() for row in await cursor.fetchall()]
        by_key = {(app.owner_id, app.app_id): app for app in apps}
        return [by_key.get(request) for request in requests]

    async def list(
        self,
        owner_id: str,
        *,
        status: AppStatus | None,
        name: str | None,
        limit: int,
        cursor: str | None,
        only_app: str | None = None,
    ) -> Page:
        """An owner's apps, newest first; deleted ones only with ``status`` deleted; ``only_app`` keeps one of them.

        Raises:
            InvalidCursor: the cursor came from elsewhere.
        """
        at, after = decode_app_cursor(cursor) if cursor is not None else (None, None)
        values = {"owner_id": owner_id, "status": status and status.value, "name": name, "limit": limit + 1}
        values["only_app"] = only_app
        async with self._database.connection() as connection:
            rows = await connection.execute(_SQL["list"], values | {"created_at": at, "app_id": after})
            apps = tuple(_app(row) for row in await rows.fetchall())
        if len(apps) <= limit:
            return Page(apps, None)
        last = apps[limit - 1]
        return Page(apps[:limit], encode_app_cursor(last.created_at, last.app_id))

    async def request_delete(self, owner_id: str, app_id: str, request_id: str | None) -> AppMetadata | None:
        """Mark an app for deletion; None when ``get`` would say None. An app marked before comes back unchanged."""
        named = {"owner_id": owner_id, "app_id": app_id}
        async with self._database.transaction() as connection:
            if await _fetch_one(connection, "lock_work", named) is None:
                return None
            row = await _fetch_one(connection, "lock_for_delete", named)
            if row is None:
                return None
            app = _app(row)
            if app.delete_requested_at is not None:
                return app
            values = named | {"now": row["now"], "request_id": request_id}
            await connection.execute(_SQL["decrement_app_count"], named)
            marked = _app(await _fetch_existing(connection, "request_delete", values))
            await connection.execute(_SQL["record_delete_requested"], values | {"generation": marked.generation})
            await connection.execute(_SQL["wake"], {"app_id": app_id})
        return marked

    async def events(self, owner_id: str, app_id: str, *, limit: int, cursor: str | None) -> EventPage | None:
        """An app's history, newest first; None when ``get`` would say None. Raises InvalidCursor."""
        before = decode_event_cursor(cursor) if cursor is not None else None
        if await self.get(owner_id, app_id) is None:
            return None
        async with self._database.connection() as connection:
            values = {"app_id": app_id, "before": before, "limit": limit + 1}
            rows = await connection.execute(_SQL["events"], values)
            events = tuple(AppEvent(**row) for row in await rows.fetchall())
        if len(events) <= limit:
            return EventPage(events, None)
        return EventPage(events[:limit], str(events[limit - 1].event_id))

    async def get_many(self, app_ids: Iterable[str]) -> dict[str, AppMetadata]:
        """Return many apps of any owner by one statement; ids without a row are omitted."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_SQL["get_many"], {"app_ids": [*app_ids]})
            return {row["app_id"]: _app(row) for row in await rows.fetchall()}

    async def notify(self) -> None:
        """Tell the workers that something is due. A hint after the commit: a lost one costs a poll, no more."""
        try:
            async with self._database.connection() as connection:
                await connection.execute(_SQL["notify"])
        except CatalogUnavailable as error:
            _log.debug("Wake-up notification was not sent: %s", error, extra=log_extra("wakeup.notify_failed"))


def _new_app(desired: DesiredApp, wanted: dict[str, Any], made_at: datetime) -> AppMetadata:
    """The row as ``create_apps`` wrote it: what it was provided, and the columns' defaults."""
    waiting = Condition(
        type=ConditionType.READY,
        status="False",
        reason=Reason.QUEUED,
        message=QUEUED_MESSAGE,
        last_transition_time=made_at,
        observed_generation=0,
    )
    return AppMetadata(
        app_id=wanted["app_id"],
        owner_id=wanted["owner_id"],
        created_at=made_at,
        updated_at=made_at,
        conditions=(waiting,),
        app_name=desired.app_name,
        spec=desired.spec,
    )


def _app(row: dict[str, Any]) -> AppMetadata:
    return app_from_row(row).as_shown_to_owner()


async def _fetch_one(connection: Connection, name: str, values: dict[str, Any]) -> dict[str, Any] | None:
    # Binary, since taking the text of forty columns apart is most of what a read costs here.
    return await (await connection.execute(_SQL[name], values, binary=True)).fetchone()


async def _fetch_existing(connection: Connection, name: str, values: dict[str, Any]) -> dict[str, Any]:
    row = await _fetch_one(connection, name, values)
    if row is None:
        raise RuntimeError(f"{name} returned no row")
    return row
