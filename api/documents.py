"""The documents that clients read. The models build the responses, and their schemas the OpenAPI document."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from reconciler.catalog.apps import AppEvent
from reconciler.catalog.cursors import APPS_CURSOR, EVENTS_CURSOR
from reconciler.catalog.encryption import DecryptionFailed, Sealer, UriColumn
from reconciler.logging import RepeatSuppressor
from specs import status
from specs.metadata import AppMetadata
from specs.names import APP_ID_PATTERN
from specs.status import AppStatus
from specs.uri import InvalidURI, MorphikURI

_troubles = RepeatSuppressor(logging.getLogger(__name__))


class Document(BaseModel):
    """Base of every document."""

    model_config = ConfigDict(frozen=True)

    def to_response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """The response that holds it."""
        return Response(self.model_dump_json(), status, headers, "application/json")


class Condition(Document):
    """One aspect of an app's status."""

    type: str = Field(description="`Ready` or `Synced`; a later version may add types.")
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = Field(description="The state, then the action if one is required.")
    last_transition_time: datetime
    observed_generation: int


class Compute(Document):
    """The size of an app's compute."""

    min_cu: float = Field(description="Minimum size, in Neon's compute units.")
    max_cu: float = Field(description="Maximum size, in Neon's compute units.")
    suspend_seconds: int = Field(
        description="Idle seconds before the compute is suspended; 0 is Neon's default, -1 is never."
    )


class AppSummary(Document):
    """An app without its URIs, as in lists."""

    app_id: str = Field(pattern=f"^{APP_ID_PATTERN}$", description="The app's id; it never changes.")
    app_name: str = Field(description="Unique among the owner's apps that are not deleted; in Unicode's form NFC.")
    region: str = Field(description="Neon's id of the region.")
    pg_version: int = Field(description="Major version of Postgres.")
    compute: Compute
    history_retention_seconds: int = Field(description="Seconds for which Neon keeps history to restore from.")
    quota: dict[str, int] = Field(description="Limits by Neon's names; an absent limit is unlimited.")
    status: AppStatus = Field(description="The conditions in one word.")
    generation: int = Field(description="The number of changes of the desired state.")
    observed_generation: int = Field(
        description="The generation that the status reports; a lower number than `generation` is outdated."
    )
    conditions: tuple[Condition, ...] = Field(description="The conditions, as in the Kubernetes API conventions.")
    created_at: datetime
    updated_at: datetime = Field(description="When the desired state or the status last changed.")
    recoverable_until: datetime | None = Field(description="Until when Neon can recover the data of a deleted app.")


class App(AppSummary):
    """An app with its URIs."""

    morphik_uri: str | None = Field(
        description="Full access to the data: `morphik://role:password@host:port/database`, percent-encoded, with the "
        "query that Neon returned. With `postgresql://` in place of `morphik://` any client connects. Null until the "
        "reconciler has connected to the database, after a delete request, and for a token without `write`."
    )
    pooled_uri: str | None = Field(description="The same through Neon's pooler; also null where there is no pooler.")


class AppList(Document):
    """A page of apps, newest first."""

    apps: tuple[AppSummary, ...]
    next_cursor: str | None = Field(pattern=APPS_CURSOR, description="`cursor` of the next page; null on the last.")


class Event(Document):
    """One event of an app's history."""

    event_id: str = Field(pattern=EVENTS_CURSOR)
    at: datetime
    type: str = Field(description="A condition's type, or the kind of the event.")
    reason: str
    message: str
    actor: str = Field(description="An owner's id, or the name of a component of the control plane.")
    generation: int
    request_id: str | None = Field(
        description="`X-Request-ID` of the request that caused the event: a client's, or the reconciler's to Neon."
    )


class EventList(Document):
    """A page of an app's history, newest first."""

    events: tuple[Event, ...]
    next_cursor: str | None = Field(pattern=EVENTS_CURSOR, description="`cursor` of the next page; null on the last.")


class Health(Document):
    """The state of the process, for a probe."""

    status: str
    stopped: str | None = Field(default=None, description="Why mutations are suspended; absent while they are not.")

    def to_response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """The response that holds it."""
        return Response(self.model_dump_json(exclude_none=True), status, headers, "application/json")


class FieldProblem(Document):
    """An error in one field of a request."""

    field: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457). Some types have further members: `app_id`, `fields` and `limit`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(pattern="^/problems/[a-z0-9-]+$", description="The problem's type; it never changes.")
    title: str = Field(description="The error, the same for each problem of the type.")
    status: int = Field(ge=400, le=599, description="The status of the response.")
    detail: str = Field(description="The action that the client can take.")
    errors: tuple[FieldProblem, ...] = Field(default=(), description="The fields that are not valid.")


def app_summary(app: AppMetadata) -> AppSummary:
    """An app for a list."""
    return AppSummary(**_members(app))


def app_document(app: AppMetadata, sealer: Sealer | None) -> App:
    """An app; its URIs only with a ``sealer``, and only while the app serves them."""
    shown = sealer if app.can_expose_uri else None
    return App(
        **_members(app),
        morphik_uri=_uri_or_none(app, shown, "connection_uri"),
        pooled_uri=_uri_or_none(app, shown, "pooled_uri"),
    )


def event_document(event: AppEvent) -> Event:
    """One line of an app's history."""
    return Event(
        event_id=str(event.event_id),
        at=event.at,
        type=event.type,
        reason=event.reason,
        message=event.message,
        actor=event.actor,
        generation=event.generation,
        request_id=event.request_id,
    )


def morphik_uri(app: AppMetadata, sealer: Sealer, column: UriColumn) -> str | None:
    """A URI of an app for its owner; None where the row has none.

    Raises:
        DecryptionFailed: it does not open.
        InvalidURI: what was sealed is no ``postgresql://`` URI of one host, or its query holds another parameter than
            ``sslmode`` and ``channel_binding``.
    """
    text = sealer.decrypt_uri(app, column)
    return MorphikURI.from_postgresql(text.get_secret_value()).build() if text is not None else None


def _members(app: AppMetadata) -> dict[str, Any]:
    return {
        "app_id": app.app_id,
        "app_name": app.app_name,
        "region": app.spec.region,
        "pg_version": app.spec.pg_version,
        "compute": Compute(min_cu=app.spec.min_cu, max_cu=app.spec.max_cu, suspend_seconds=app.spec.suspend_seconds),
        "history_retention_seconds": app.spec.history_retention_seconds,
        "quota": app.spec.quota,
        "status": app.status,
        "generation": app.generation,
        "observed_generation": app.observed_generation,
        "conditions": tuple(map(_condition, app.conditions)),
        "created_at": app.created_at,
        "updated_at": app.updated_at,
        "recoverable_until": app.recoverable_until,
    }


def _condition(condition: status.Condition) -> Condition:
    """The part of a condition that owners may read."""
    return Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        last_transition_time=condition.last_transition_time,
        observed_generation=condition.observed_generation,
    )


def _uri_or_none(app: AppMetadata, sealer: Sealer | None, column: UriColumn) -> str | None:
    if sealer is None:
        return None
    try:
        return morphik_uri(app, sealer, column)
    except (DecryptionFailed, InvalidURI) as error:
        # The rest of the document is still true, and its reader cannot help; the operator can.
        _troubles.report(
            "credentials.decrypt_failed",
            logging.ERROR,
            f"A URI cannot be decrypted: {error}",
            app_id=app.app_id,
            column=column,
        )
        return None
