"""Canonical paths: each resource has one spelling, so that a proxy's rules and the routes match the same path.

A percent-encoded letter, an encoded slash or a dot segment arrives as the client sent it. The server would decode it
into the path of a route, after a proxy has compared another text (RFC 3986 6.2.2).
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import NOT_FOUND

# A segment's characters (RFC 3986 3.3) without ``;``, at which some servers truncate a segment.
_SEGMENT_CHARACTER = rb"[A-Za-z0-9._~!$&'()*+,=:@-]"
_PATH = re.compile(rb"(?:/(?:" + _SEGMENT_CHARACTER + rb"|%[0-9A-Fa-f]{2})++)++")
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")
# Unreserved characters, separators of some parsers, and characters that a second decoding would change.
_NEVER_ENCODED = re.compile(rb"[/\\%]|" + _SEGMENT_CHARACTER)


def is_canonical(path: bytes) -> bool:
    """Whether a raw path, without its query, is the only spelling of its resource."""
    if path == b"/":
        return True
    if not _PATH.fullmatch(path) or b"/./" in (closed := path + b"/") or b"/../" in closed:
        return False
    if b"%" not in path:
        return True
    if any(_NEVER_ENCODED.fullmatch(unquote_to_bytes(match[0])) for match in _ENCODED.finditer(path)):
        return False
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class CanonicalPaths:
    """Returns 404 for every other spelling of a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not is_canonical(scope["raw_path"]):
            problem = NOT_FOUND("Send the path in its canonical form (RFC 3986): nothing encoded without need.")
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)
