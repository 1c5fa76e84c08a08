"""The response bodies of the app endpoints."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.app_uri import morphik_uri
from api.http.response_model import ResponseModel
from reconciler.catalog.apps import AppEvent
from reconciler.catalog.cursors import APPS_CURSOR, EVENTS_CURSOR
from reconciler.catalog.encryption import DecryptionFailed, Sealer, UriColumn
from reconciler.logging import RepeatSuppressor
from specs import status
from specs.metadata import AppMetadata
from specs.names import APP_ID_PATTERN
from specs.status import AppStatus
from specs.uri import InvalidURI

_issues = RepeatSuppressor(logging.getLogger(__name__))


class Condition(ResponseModel):
    """One aspect of an app's status."""

    type: str = Field(description="`Ready` or `Synced`; a later version may add types.")
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = Field(description="The state, then the action if one is required.")
    last_transition_time: datetime
    observed_generation: int


class Compute(ResponseModel):
    """The size of an app's compute."""

    min_cu: float = Field(description="Minimum size, in Neon's compute units.")
    max_cu: float = Field(description="Maximum size, in Neon's compute units.")
    suspend_seconds: int = Field(
        description="Idle seconds before the compute is suspended; 0 is Neon's default, -1 is never."
    )


class AppSummary(ResponseModel):
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


class AppList(ResponseModel):
    """A page of apps, newest first."""

    apps: tuple[AppSummary, ...]
    next_cursor: str | None = Field(pattern=APPS_CURSOR, description="`cursor` of the next page; null on the last.")


class Event(ResponseModel):
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


class EventList(ResponseModel):
    """A page of an app's history, newest first."""

    events: tuple[Event, ...]
    next_cursor: str | None = Field(pattern=EVENTS_CURSOR, description="`cursor` of the next page; null on the last.")


def app_summary(app: AppMetadata) -> AppSummary:
    """Return an app as in a list."""
    return AppSummary(**_fields(app))


def app_response(app: AppMetadata, sealer: Sealer | None) -> App:
    """Return an app, with its URIs if there is a ``sealer`` and the owner may see them."""
    sealer = sealer if app.can_expose_uri else None
    return App(
        **_fields(app),
        morphik_uri=_uri_or_none(app, sealer, "connection_uri"),
        pooled_uri=_uri_or_none(app, sealer, "pooled_uri"),
    )


def event_response(event: AppEvent) -> Event:
    """Return one event of an app's history."""
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


def _fields(app: AppMetadata) -> dict[str, Any]:
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
    """Return the part of a condition that owners may read."""
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
        # The rest of the response is valid, and only an operator can repair the URI.
        _issues.report(
            "credentials.decrypt_failed",
            logging.ERROR,
            f"A URI cannot be decrypted: {error}",
            app_id=app.app_id,
            column=column,
        )
        return None
