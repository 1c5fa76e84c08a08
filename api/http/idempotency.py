"""The header ``Idempotency-Key``."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from api.http.headers import IDEMPOTENCY_KEY_PATTERN
from api.problems import invalid_idempotency_key

_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)


def read_idempotency_key(headers: Headers) -> str | None:
    """Return the key, or None without one; raises a 400 for an invalid key or several keys."""
    values = headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise invalid_idempotency_key()
    return values[0]
