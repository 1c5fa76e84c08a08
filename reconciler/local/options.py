"""The options of the simulator: the account, its organizations and keys, its limits, and injected faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from reconciler.local.plan_limits import PlanLimits

# Neon's documentation, Limits.
NEON_REQUESTS_PER_MINUTE = 700

KeyKind = Literal["personal", "organization", "project"]


@dataclass(frozen=True)
class Organization:
    """An organization and the plan that it pays for."""

    id: str
    name: str = "Local"
    plan: str = "scale"


@dataclass(frozen=True)
class SeedKey:
    """An API key that exists from the start.

    Attributes:
        token: the bearer token that a client sends.
        kind: a personal key sees all organizations; the other kinds see only ``org_id``.
        org_id: the organization of the key; None for a personal key.
        project_id: the only project that a project key may access.
    """

    token: str = field(repr=False)
    kind: KeyKind
    org_id: str | None = None
    project_id: str | None = None


@dataclass(frozen=True)
class LocalNeonOptions:
    """Everything that depends on the account or on the deployment, not on a request.

    Attributes:
        org_id: the first organization.
        api_key: an organization key of the first organization. Without it, and without ``keys``, every non-empty key
            is valid and is such a key.
        operation_seconds: the range from which the duration of an operation is drawn.
        physical: True when an executor executes the Postgres commands; operations then wait for their commands.
        project_limit: the number of projects that an organization may have, recoverable ones included; None for no
            limit.
        limits: the limits of one project.
        requests_per_minute: the refill rate of an account's token bucket; None switches off all rate limits, those
            below included.
        burst: the size of that bucket.
        direct_host: host of the URIs.
        pooler_host: host of the pooled URIs.
        port: port of all URIs.
        recovery_seconds: how long a deleted project is recoverable.
        plan: the plan of the first organization.
        organizations: further organizations.
        keys: keys of any kind that exist from the start; with these, an unknown key is not valid.
        route_burst: the number of requests of an account to one route and method within a second.
        consumption_per_minute: the number of consumption requests of an account in a minute.
        retry_after: seconds that a 429 states in ``Retry-After``; None sends no such header.
        list_lag_seconds: the age of the state that ``GET /projects`` shows.
        cell: the label of a cell, such as ``c-4``: hosts and URIs then have Neon's form, and no server listens there.
        failure_rate: the probability that an operation has another outcome than ``finish``.
        availability_check_seconds: the interval of Neon's automatic availability checks of computes; None for never.
        suspend_operations: whether scaling to zero is an operation, which locks the project as others do.
        undocumented_fields: whether responses have fields and values that no document names.
    """

    org_id: str = "org-local-00000000"
    api_key: str | None = field(default=None, repr=False)
    operation_seconds: tuple[float, float] = (0.1, 0.4)
    physical: bool = False
    project_limit: int | None = None
    limits: PlanLimits = field(default_factory=PlanLimits)
    requests_per_minute: float | None = None
    burst: int = 40
    direct_host: str = "127.0.0.1"
    pooler_host: str = "localhost"
    port: int = 5432
    recovery_seconds: float = 7 * 86400.0
    plan: str = "scale"
    organizations: tuple[Organization, ...] = ()
    keys: tuple[SeedKey, ...] = ()
    route_burst: int = 40
    consumption_per_minute: int = 30
    retry_after: int | None = None
    list_lag_seconds: float = 0.0
    cell: str | None = None
    failure_rate: float = 0.0
    availability_check_seconds: float | None = None
    suspend_operations: bool = False
    undocumented_fields: bool = False
