"""What goes into the machine and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.local.neon.limits import Limits


@dataclass(frozen=True)
class Request:
    """One request to the API.

    Attributes:
        method: HTTP method, in capitals.
        path: the path below ``/api/v2``, such as ``/projects/p-1``.
        query: the query's parameters.
        body: the parsed JSON body, None when there was none.
        key: the bearer key, None when there was none.
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
    """One answer. A None ``body`` is an empty one, as with 204."""

    status: int
    body: object | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalNeonOptions:
    """How the model behaves; everything that is a matter of the account or the place, and not of a request.

    Attributes:
        org_id: the one organization.
        api_key: the only key that is let in; None lets in every key that is not empty.
        operation_seconds: an operation takes a time drawn from this range.
        physical: True when a backing carries out commands, so that operations wait for them too.
        project_limit: how many projects there may be; None for no limit.
        limits: how much there may be in a project.
        requests_per_minute: at which rate requests are let in again; None for no limit.
        burst: how many requests may come at once, when there is a limit.
        direct_host: host of the URIs.
        pooler_host: host of the pooled URIs.
        port: port of all URIs.
        recovery_seconds: for how long a deleted project can be recovered.
    """

    org_id: str = "org-local-00000000"
    api_key: str | None = field(default=None, repr=False)
    operation_seconds: tuple[float, float] = (0.1, 0.4)
    physical: bool = False
    project_limit: int | None = None
    limits: Limits = field(default_factory=Limits)
    requests_per_minute: float | None = None
    burst: int = 40
    direct_host: str = "127.0.0.1"
    pooler_host: str = "localhost"
    port: int = 5432
    recovery_seconds: float = 7 * 86400.0
