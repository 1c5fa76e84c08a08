"""What goes into the machine and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.local.neon.limits import Limits
from reconciler.local.neon.tenancy import GivenKey, Organization

# Neon's documentation, Limits.
NEON_REQUESTS_PER_MINUTE = 700


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
        org_id: the first organization.
        api_key: an organization's key of the first organization. Without it, and without ``keys``, every key that is
            not empty is one.
        operation_seconds: an operation takes a time drawn from this range.
        physical: True when a backing carries out commands, so that operations wait for them too.
        project_limit: how many projects an organization may have, those included that can be recovered; None for no
            limit.
        limits: how much there may be in a project.
        requests_per_minute: at which rate an account's requests are let in again; None for no limit at all, neither
            this one nor those below.
        burst: how many requests of an account may come at once, when there is a limit.
        direct_host: host of the URIs.
        pooler_host: host of the pooled URIs.
        port: port of all URIs.
        recovery_seconds: for how long a deleted project can be recovered.
        plan: the plan of the first organization.
        organizations: further organizations.
        keys: keys of any kind that are there from the start; with these, no unknown key is let in.
        route_burst: how many requests of an account to one route and method are let in within a second.
        consumption_per_minute: at which rate an account's requests for consumption are let in.
        retry_after: seconds that a 429 names in ``Retry-After``; None sends no such header.
        list_lag_seconds: how old what ``GET /projects`` shows is.
        cell: the label of a cell, such as ``c-4``: hosts and URIs are then as Neon makes them, and lead nowhere.
        mishap_rate: how likely an operation meets a fate other than to finish.
        availability_check_seconds: how often Neon checks by itself whether a project's computes can start; None for
            never.
        suspend_operations: whether scaling to zero is an operation, which locks as others do.
        quirks: whether answers have fields and values that no document names.
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
    plan: str = "scale"
    organizations: tuple[Organization, ...] = ()
    keys: tuple[GivenKey, ...] = ()
    route_burst: int = 40
    consumption_per_minute: int = 30
    retry_after: int | None = None
    list_lag_seconds: float = 0.0
    cell: str | None = None
    mishap_rate: float = 0.0
    availability_check_seconds: float | None = None
    suspend_operations: bool = False
    quirks: bool = False
