"""The headers of requests and responses, as the OpenAPI document declares them, and their patterns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specs.names import APP_ID_PATTERN

Document = dict[str, Any]

REQUEST_ID_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"
IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7E]{1,255}$"
EXAMPLE_APP_ID = "hfxqgkvvqgxxz2cspbfsiqp3"
_REQUEST_ID = "0c9f3f2a8d5e4b1f9a7c6d2e1b0f8a34"

REQUEST_HEADERS: Mapping[str, Document] = {
    "Idempotency-Key": {
        "description": "1 to 255 visible ASCII characters, new for each request. A request with the same key and body "
        "gets the same app, also after its name was reused. The same key with another body is a 422. A key is kept "
        "for 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": IDEMPOTENCY_KEY_PATTERN},
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    },
    "Prefer": {
        "description": "`wait=N` (RFC 7240): delay the response until the app has converged, for at most N seconds and "
        "at most 60. Every other preference is ignored.",
        "schema": {"type": "string"},
        "example": "wait=30",
    },
    "X-Request-ID": {
        "description": "Letters, digits, `.`, `_` and `-`, at most 128; any other value is replaced. The response and "
        "the app's history carry it.",
        "schema": {"type": "string"},
        "example": _REQUEST_ID,
    },
}
"""The parameter object of each request header, without ``name`` and ``in``."""

RESPONSE_HEADERS: Mapping[str, Document] = {
    "X-Request-ID": {
        "description": "Identifies the request in the app's history and in the logs.",
        "schema": {"type": "string", "pattern": REQUEST_ID_PATTERN},
        "required": True,
        "example": _REQUEST_ID,
    },
    "X-Content-Type-Options": {
        "description": "Clients must not guess the media type.",
        "schema": {"type": "string", "const": "nosniff"},
        "required": True,
    },
    "Cache-Control": {
        "description": "No cache may store the response.",
        "schema": {"type": "string", "const": "no-store"},
        "required": True,
    },
    "Location": {
        "description": "The app's own path.",
        "schema": {"type": "string", "pattern": f"^/ee/apps/{APP_ID_PATTERN}$"},
        "required": True,
        "example": f"/ee/apps/{EXAMPLE_APP_ID}",
    },
    "Preference-Applied": {
        "description": "The seconds of `Prefer: wait=N` that were applied; absent without that preference.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
        "example": "wait=30",
    },
    "Retry-After": {
        "description": "Seconds after which to retry.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
        "example": "2",
    },
    "WWW-Authenticate": {
        "description": "The reason and the missing permission (RFC 6750).",
        "schema": {"type": "string", "pattern": "^Bearer "},
        "required": True,
    },
    "Allow": {
        "description": "The methods of this path.",
        "schema": {"type": "string"},
        "required": True,
    },
    "Content-Security-Policy": {
        "description": "The page loads nothing.",
        "schema": {"type": "string"},
        "required": True,
    },
    "Referrer-Policy": {
        "description": "Links from the page send no referrer.",
        "schema": {"type": "string"},
        "required": True,
    },
}
"""The header object of each response header. Headers of the connection, such as ``Date``, belong to HTTP."""
