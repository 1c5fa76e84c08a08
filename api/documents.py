"""The documents that clients read."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from reconciler.catalog.apps import AppEvent
from reconciler.catalog.seal import SealBroken, Sealer, UriColumn
from specs.metadata import AppMetadata
from specs.uri import InvalidURI, MorphikURI

_log = logging.getLogger(__name__)


def rfc3339(at: datetime | None) -> str | None:
    """A time in UTC, ``2026-01-31T12:00:00.123456Z``."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at is not None else None


def summary_document(app: AppMetadata) -> dict[str, Any]:
    """An app without its URIs, as lists show it."""
    return {
        "app_id": app.app_id,
        "app_name": app.app_name,
        "region": app.region,
        "pg_version": app.pg_version,
        "compute": {"min_cu": app.min_cu, "max_cu": app.max_cu, "suspend_seconds": app.suspend_seconds},
        "history_retention_seconds": app.history_retention_seconds,
        "quota": app.quota,
        "status": app.status.value,
        "generation": app.generation,
        "observed_generation": app.observed_generation,
        "conditions": [
            {
                "type": condition.type.value,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "last_transition_time": rfc3339(condition.last_transition_time),
                "observed_generation": condition.observed_generation,
            }
            for condition in app.conditions
        ],
        "created_at": rfc3339(app.created_at),
        "updated_at": rfc3339(app.updated_at),
        "recoverable_until": rfc3339(app.recoverable_until),
    }


def app_document(app: AppMetadata, sealer: Sealer | None) -> dict[str, Any]:
    """An app; its URIs only with a ``sealer``, and only while the app serves them."""
    shown = sealer if app.serves_uri else None
    return summary_document(app) | {
        "morphik_uri": _uri_or_none(app, shown, "connection_uri"),
        "pooled_uri": _uri_or_none(app, shown, "pooled_uri"),
    }


def event_document(event: AppEvent) -> dict[str, Any]:
    """One line of an app's history."""
    return {
        "event_id": str(event.event_id),
        "at": rfc3339(event.at),
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "actor": event.actor,
        "generation": event.generation,
        "request_id": event.request_id,
    }


def morphik_uri(app: AppMetadata, sealer: Sealer, column: UriColumn) -> str | None:
    """A URI of an app for its owner; None where the row has none.

    Raises:
        SealBroken: it does not open.
        InvalidURI: what was sealed is no ``postgresql://`` URI.
    """
    text = sealer.unseal_uri(app, column)
    return MorphikURI.from_postgresql(text.get_secret_value()).build() if text is not None else None


def _uri_or_none(app: AppMetadata, sealer: Sealer | None, column: UriColumn) -> str | None:
    if sealer is None:
        return None
    try:
        return morphik_uri(app, sealer, column)
    except (SealBroken, InvalidURI) as error:
        # The rest of the document is still true, and its reader cannot help; the operator can.
        _log.error("the %s of app %s cannot be shown: %s", column, app.app_id, error)
        return None
