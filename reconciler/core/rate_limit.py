"""The distribution of Neon's request limit: one token bucket for all processes, and three priorities.

A process leases a few tokens and must use them within ``lease_seconds``. Requests that reach Neon in any interval were
leased at most that long before it, so the bucket is smaller than Neon's own by the tokens that flow in during a lease.
Then all processes together stay within Neon's bucket (``BucketConfig``).

User requests precede repairs, and repairs precede resyncs: lower priorities cannot take a reserved part of the bucket.
None starves: a waiting priority earns *credit*, a share of the rate that no other priority can take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from specs.metadata import AppMetadata


class Priority(StrEnum):
    """The purpose of a request to Neon, the most urgent first."""

    USER = "user"
    REPAIR = "repair"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True)
class _PriorityShare:
    """The share of the rate that a priority earns while it waits, and the share of the bucket that it cannot take."""

    rate_share: float
    reserve: float


_SHARES: Final[Mapping[Priority, _PriorityShare]] = {
    Priority.REPAIR: _PriorityShare(rate_share=0.15, reserve=0.25),
    Priority.RESYNC: _PriorityShare(rate_share=0.10, reserve=0.5),
}
_MAX_CREDIT = 2.0
# A priority without a request for this time no longer waits.
_CREDIT_EXPIRY_SECONDS = 2.0
# Two clocks drift apart within weeks.
_RATE_FRACTION = 0.995
# Other processes can lease between two leases of one process.
_MIN_LEASE_INTERVAL_SECONDS = 0.005
_MAX_LEASE_SECONDS = 2.0
_MAX_DELAY_SECONDS = 1.0
# A process reads the clock before it waits for the row's lock; a larger difference means that the clock was set.
_CLOCK_STEP_SECONDS = 5.0

MAX_CLOSED_SECONDS: Final = 60.0
"""The maximum pause of all processes after one 429 from Neon; then a request probes the limit again."""


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """The shared bucket, derived from Neon's limits: a bucket of the burst, refilled at the rate.

    Attributes:
        rate: tokens that flow in per second.
        capacity: maximum number of tokens.
        lease_seconds: how long a leased token is valid.
        lease_size: maximum number of tokens of one lease.
    """

    rate: float
    capacity: float
    lease_seconds: float
    lease_size: int

    @classmethod
    def from_limits(cls, *, requests_per_minute: float, burst: float) -> BucketConfig:
        """Return the configuration for an account.

        Args:
            requests_per_minute: ``NEON_REQUESTS_PER_MINUTE``.
            burst: ``NEON_BURST_PER_SECOND``, the maximum number of simultaneous requests.
        """
        rate = requests_per_minute / 60
        # A quarter of Neon's bucket covers the duration of a lease, an eighth the varying network delay to Neon.
        lease_seconds = min(_MAX_LEASE_SECONDS, burst / 4 / rate)
        delay = min(_MAX_DELAY_SECONDS, burst / 8 / rate)
        capacity = max(1.0, burst - rate * (lease_seconds + delay))
        return cls(rate * _RATE_FRACTION, capacity, lease_seconds, max(1, int(capacity / 4)))


@dataclass(frozen=True, slots=True)
class Credit:
    """The tokens that a waiting priority has earned, and the time of its last request."""

    requests: float
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """The shared bucket at one moment of the catalog's clock.

    Attributes:
        tokens: tokens that may be leased.
        updated_at: the time of this state.
        closed_until: no token is leased before; Neon returned 429.
        credits: of the priorities that may have to wait for others.
    """

    tokens: float
    updated_at: datetime
    closed_until: datetime
    credits: Mapping[Priority, Credit]


@dataclass(frozen=True, slots=True)
class Grant:
    """The result of one lease.

    Attributes:
        tokens: leased tokens by priority.
        remaining: tokens left in the bucket.
        retry_after: seconds until a request for the rest is worthwhile; 0 if the request is satisfied.
    """

    tokens: Mapping[Priority, int]
    remaining: float
    retry_after: float


def priority_of(app: AppMetadata) -> Priority:
    """Return USER if a user waits for the app's reconcile, else REPAIR."""
    if app.deleted_at is not None:
        return Priority.REPAIR
    requested = app.delete_requested_at is not None or app.observed_generation < app.generation
    return Priority.USER if requested or app.connected_at is None else Priority.REPAIR


def take_tokens(
    bucket: TokenBucket, demand: Mapping[Priority, int], now: datetime, config: BucketConfig
) -> tuple[TokenBucket, Grant]:
    """Take up to ``lease_size`` tokens from the bucket. Return the new bucket and the grant."""
    tokens = min(config.capacity, bucket.tokens + config.rate * max(0.0, (now - bucket.updated_at).total_seconds()))
    requested = {priority: demand.get(priority, 0) for priority in Priority}
    earned = {
        priority: _accrue(bucket.credits[priority], priority, requested[priority], now, config) for priority in _SHARES
    }
    at = now if (bucket.updated_at - now).total_seconds() > _CLOCK_STEP_SECONDS else max(now, bucket.updated_at)
    closed = (bucket.closed_until - now).total_seconds()
    if 0 < closed <= MAX_CLOSED_SECONDS:
        return replace(bucket, tokens=tokens, updated_at=at, credits=earned), Grant(
            {}, 0.0, closed if any(requested.values()) else 0.0
        )
    granted = dict.fromkeys(Priority, 0)
    lease_left = config.lease_size

    def take(priority: Priority, limit: float) -> int:
        nonlocal tokens, lease_left
        number = max(0, min(requested[priority] - granted[priority], math.floor(limit), math.floor(tokens), lease_left))
        granted[priority] += number
        tokens -= number
        lease_left -= number
        return number

    for priority in _SHARES:
        number = take(priority, earned[priority].requests)
        earned[priority] = replace(earned[priority], requests=earned[priority].requests - number)
    credited = sum(math.floor(credit.requests) for credit in earned.values())

    def free(priority: Priority) -> float:
        reserve = _SHARES[priority].reserve if priority in _SHARES else 0.0
        return tokens - credited - reserve * config.capacity

    for priority in Priority:
        if take(priority, free(priority)) and priority in earned:
            earned[priority] = replace(earned[priority], requests=0.0)
    unmet = [priority for priority in Priority if requested[priority] > granted[priority]]
    wait = 0.0
    if unmet:
        more_now = any(free(priority) >= 1 for priority in unmet)
        wait = _MIN_LEASE_INTERVAL_SECONDS if more_now else _retry_after(sum(granted.values()), tokens, config)
    return replace(bucket, tokens=tokens, updated_at=at, credits=earned), Grant(granted, tokens, wait)


def _retry_after(granted: int, tokens: float, config: BucketConfig) -> float:
    """Return the seconds until a process retries: the fewer tokens it got, the sooner, so that all get as many."""
    if not granted and tokens >= 1:
        return config.lease_seconds / 2  # the remaining tokens are reserved for other priorities
    next_token = (1.0 - tokens) / config.rate
    return max(_MIN_LEASE_INTERVAL_SECONDS, next_token, min(config.lease_seconds / 2, granted / config.rate))


def _accrue(credit: Credit, priority: Priority, requested: int, now: datetime, config: BucketConfig) -> Credit:
    """Return the credit now: it grows while the priority has requests, and expires when they stop."""
    since = max(0.0, (now - credit.requested_at).total_seconds())
    requests = 0.0 if since > _CREDIT_EXPIRY_SECONDS else credit.requests
    if not requested:
        return Credit(requests, min(now, credit.requested_at))
    requests += _SHARES[priority].rate_share * config.rate * min(since, _CREDIT_EXPIRY_SECONDS)
    return Credit(min(_MAX_CREDIT, requests), now)
