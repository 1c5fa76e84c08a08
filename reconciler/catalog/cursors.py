"""Cursors: the start of the next page of a list.

A cursor is a plain position, good for any list of its kind and with any filter: it is no secret and grants nothing,
since every query names its owner. So every value with this form is a position, and any other value is rejected.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from reconciler.catalog.errors import InvalidCursor
from specs.names import APP_ID_PATTERN

APPS_CURSOR = rf"^[0-9]{{1,16}}-{APP_ID_PATTERN}$"
"""Microseconds since 1970 at which the last app of a page was made, and its id."""
EVENTS_CURSOR = r"^[0-9]{1,18}$"
"""The id of the last event of a page."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_APPS = re.compile(APPS_CURSOR)
_EVENTS = re.compile(EVENTS_CURSOR)


def encode_app_cursor(created_at: datetime, app_id: str) -> str:
    """Return the cursor of the page after an app."""
    return f"{(created_at - _EPOCH) // timedelta(microseconds=1)}-{app_id}"


def decode_app_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the position of a cursor; raises InvalidCursor."""
    if not _APPS.fullmatch(cursor):
        raise InvalidCursor
    microseconds, _, app_id = cursor.partition("-")
    return _EPOCH + timedelta(microseconds=int(microseconds)), app_id


def decode_event_cursor(cursor: str) -> int:
    """Return the id of an event; raises InvalidCursor."""
    if not _EVENTS.fullmatch(cursor):
        raise InvalidCursor
    return int(cursor)
