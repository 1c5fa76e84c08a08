"""Requests and responses of the API, independent of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One request to the API.

    Attributes:
        method: HTTP method, in capitals.
        path: the path below ``/api/v2``, such as ``/projects/p-1``.
        query: the query's parameters.
        body: the parsed JSON body; None for an absent one.
        key: the bearer key; None for an absent one.
        request_id: the ``X-Request-ID`` of the caller.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: object | None = None
    key: str | None = field(default="key", repr=False)
    request_id: str | None = None


@dataclass(frozen=True)
class Response:
    """One response. A ``body`` of None is an empty body, as with 204."""

    status: int
    body: object | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
