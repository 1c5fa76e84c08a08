"""The query parameters of the app endpoints."""

from __future__ import annotations

from pydantic import Field

from api.http.query_params import EmptyQuery, Limit
from reconciler.catalog.cursors import APPS_CURSOR, EVENTS_CURSOR
from specs.app import AppName
from specs.status import AppStatus


class AppsQuery(EmptyQuery):
    """Which of the owner's apps a list contains."""

    status: AppStatus | None = Field(
        None, description="Only apps of this status. Deleted apps are listed only with `deleted`."
    )
    name: AppName | None = Field(None, description="Only the apps of this name.")
    limit: Limit = 50
    cursor: str | None = Field(None, pattern=APPS_CURSOR, description="`next_cursor` of the previous page.")


class EventsQuery(EmptyQuery):
    """Which part of an app's history a page contains."""

    limit: Limit = 50
    cursor: str | None = Field(None, pattern=EVENTS_CURSOR, description="`next_cursor` of the previous page.")
