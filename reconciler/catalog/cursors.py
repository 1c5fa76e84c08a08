"""Opaque cursors: where the next page of a list begins.

A cursor carries a digest of the list it belongs to, so that one from another list, owner or filter is noticed. It is
no secret and grants nothing: every query names its owner anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from reconciler.catalog.refusals import InvalidCursor

_DIGEST_BYTES = 9
_LONGEST = 400


def encode_cursor(scope: tuple[str | None, ...], position: list[str | int]) -> str:
    """A cursor for a position in the list that ``scope`` describes."""
    body = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(scope, body) + body).decode().rstrip("=")


def decode_cursor(scope: tuple[str | None, ...], cursor: str) -> list[str | int]:
    """The position that ``encode_cursor`` was given; raises InvalidCursor for everything else."""
    if len(cursor) > _LONGEST:
        raise InvalidCursor
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(scope, body):
        raise InvalidCursor
    position: list[str | int] = json.loads(body)
    return position


def _digest(scope: tuple[str | None, ...], body: bytes) -> bytes:
    return hashlib.sha256(json.dumps(scope).encode() + b"\n" + body).digest()[:_DIGEST_BYTES]
