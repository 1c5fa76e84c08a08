"""Which connection URIs are believed. Neon's answer is the authority on addresses, within the hosts that are Neon's."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.neon.codec import InvalidConnectionURI, build_connection_string
from specs.uri import InvalidURI, MorphikURI


def believed(uri: str, host_suffixes: Iterable[str]) -> bool:
    """Whether a URI can be read and its host ends as one of the suffixes; one without a dot is a whole name."""
    try:
        host = MorphikURI.from_postgresql(uri).host.lower()
    except InvalidURI:
        return False
    return any(host.endswith(end) if end.startswith(".") else host == end for end in host_suffixes)


def same_address(one: str, other: str) -> bool:
    """Whether two URIs lead to the same database with the same login; their queries are not compared."""
    try:
        return MorphikURI.from_postgresql(one) == MorphikURI.from_postgresql(other)
    except InvalidURI:
        return False


def pooled(uri: str, pooler_host: str | None) -> str | None:
    """The same URI through Neon's pooler, or None where Neon named none."""
    if pooler_host is None:
        return None
    try:
        return build_connection_string(uri, pooler_host)
    except InvalidConnectionURI:
        return None
