"""Canonical paths: each resource has one spelling, so that a proxy's rules on paths see what the routes see.

A percent-encoded letter, an encoded slash or a dot segment reaches here as it was sent, and would be decoded into the
path of a route after a proxy has compared something else (RFC 3986 6.2.2).
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import NOT_FOUND

# A segment's characters (RFC 3986 3.3) without ``;``, at which some servers cut a segment off.
_SEGMENT_CHARACTER = rb"[A-Za-z0-9._~!$&'()*+,=:@-]"
_PATH = re.compile(rb"(?:/(?:" + _SEGMENT_CHARACTER + rb"|%[0-9A-Fa-f]{2})++)++")
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")
# What is encoded without need, what separates segments for some reader, and what a second decoding would change.
_NEVER_ENCODED = re.compile(rb"[/\\%]|" + _SEGMENT_CHARACTER)


def is_canonical(path: bytes) -> bool:
    """Whether a raw path, as it was sent and without its query, is the only spelling of what it names."""
    if path == b"/":
        return True
    if not _PATH.fullmatch(path) or b"/./" in (closed := path + b"/") or b"/../" in closed:
        return False
    if b"%" not in path:
        return True
    if any(_NEVER_ENCODED.fullmatch(unquote_to_bytes(found[0])) for found in _ENCODED.finditer(path)):
        return False
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class CanonicalPaths:
    """Answers 404 to every other spelling of a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not is_canonical(scope["raw_path"]):
            problem = NOT_FOUND("Send the path in its canonical form (RFC 3986): nothing encoded without need.")
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)
