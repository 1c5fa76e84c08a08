"""Examples of requests and responses for the OpenAPI document, built by the functions that build real ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.http.headers import EXAMPLE_APP_ID
from api.resources.apps.schemas import (
    App,
    AppList,
    EventList,
    app_response,
    app_summary,
    event_response,
)
from reconciler.catalog.apps import QUEUED_MESSAGE, AppEvent
from reconciler.core.conditions import AVAILABLE, UP_TO_DATE
from specs.app import AppRequest, AppSpec
from specs.metadata import AppMetadata
from specs.names import DATABASE_NAME, role_name
from specs.settings import ControlPlaneSettings
from specs.status import AppStatus, Condition, ConditionType, Reason
from specs.uri import MorphikURI

OWNER_ID = "alice"
APP_NAME = "My first app"
_CREATED = datetime(2026, 11, 24, 9, 44, 56, 891389, UTC)
_READY = _CREATED + timedelta(seconds=1.042703)
_DELETE_REQUESTED = _CREATED + timedelta(hours=2)
_DELETED = _DELETE_REQUESTED + timedelta(seconds=3)
_AVAILABLE = {"status": AVAILABLE.status, "reason": AVAILABLE.reason, "message": AVAILABLE.message}
_IN_SYNC = {"status": UP_TO_DATE.status, "reason": UP_TO_DATE.reason, "message": UP_TO_DATE.message}
_DELETED_CONDITION = {"status": "False", "reason": Reason.DELETED, "message": "The app is deleted."}
_NOTHING_LEFT = _IN_SYNC | {"message": "The app has no project at Neon, except recoverable data."}


def app_request(region: str) -> AppRequest:
    """Return the body of ``POST /ee/apps``."""
    return AppRequest(app_name=APP_NAME, region=region)


def pending_app(region: str) -> App:
    """Return an app right after its create."""
    queued = {"status": "False", "reason": Reason.QUEUED, "message": QUEUED_MESSAGE}
    return app_response(_app(region, conditions=(_condition(ConditionType.READY, queued, 0, _CREATED),)), None)


def ready_app(region: str) -> App:
    """Return a ready app with its URIs."""
    document = app_response(_ready(region), None)
    return document.model_copy(update={"morphik_uri": _uri(region, ""), "pooled_uri": _uri(region, "-pooler")})


def deleting_app(region: str) -> App:
    """Return an app right after its delete request."""
    changes = {"generation": 2, "delete_requested_at": _DELETE_REQUESTED, "updated_at": _DELETE_REQUESTED}
    return app_response(_ready(region).model_copy(update=changes).as_shown_to_owner(), None)


def deleted_app(region: str) -> App:
    """Return a deleted app whose data Neon can still recover."""
    conditions = (
        _condition(ConditionType.READY, _DELETED_CONDITION, 2, _DELETE_REQUESTED),
        _condition(ConditionType.SYNCED, _NOTHING_LEFT, 2, _READY),
    )
    deleted = _app(
        region,
        status=AppStatus.DELETED,
        generation=2,
        observed_generation=2,
        conditions=conditions,
        updated_at=_DELETED,
        delete_requested_at=_DELETE_REQUESTED,
        deleted_at=_DELETED,
        recoverable_until=_DELETED + timedelta(days=7),
    )
    return app_response(deleted, None)


def app_list(region: str) -> AppList:
    """Return a last page of apps."""
    return AppList(apps=(app_summary(_ready(region)),), next_cursor=None)


def event_list(_region: str) -> EventList:
    """Return a last page of an app's history."""
    event = AppEvent(
        event_id=1,
        at=_CREATED,
        type="Created",
        reason="Requested",
        message="App creation requested.",
        actor=OWNER_ID,
        generation=1,
        request_id="0c9f3f2a8d5e4b1f9a7c6d2e1b0f8a34",
    )
    return EventList(events=(event_response(event),), next_cursor=None)


def _app(region: str, **changes: Any) -> AppMetadata:
    pg_version = ControlPlaneSettings.model_fields["default_pg_version"].default
    row: dict[str, Any] = {"app_id": EXAMPLE_APP_ID, "owner_id": OWNER_ID, "app_name": APP_NAME}
    row |= {"created_at": _CREATED, "updated_at": _CREATED}
    spec = AppSpec(region=region, pg_version=pg_version)
    return AppMetadata.model_validate(row | {"spec": spec} | changes)


def _ready(region: str) -> AppMetadata:
    conditions = (
        _condition(ConditionType.READY, _AVAILABLE, 1, _READY),
        _condition(ConditionType.SYNCED, _IN_SYNC, 1, _READY),
    )
    return _app(region, status=AppStatus.READY, observed_generation=1, conditions=conditions, updated_at=_READY)


def _condition(kind: ConditionType, content: dict[str, Any], generation: int, since: datetime) -> Condition:
    return Condition(type=kind, last_transition_time=since, observed_generation=generation, **content)


def _uri(region: str, suffix: str) -> str:
    host = ".".join([f"ep-cool-river-a1b2c3d4{suffix}", *reversed(region.split("-", 1)), "neon.tech"])
    login = f"{role_name(EXAMPLE_APP_ID, 1, 1)}:npg_EXAMPLE"
    query = "sslmode=require&channel_binding=require"
    return MorphikURI.from_postgresql(f"postgresql://{login}@{host}/{DATABASE_NAME}?{query}").build()
