"""How the requests that Neon allows are shared out: one bucket for all processes, and three kinds of work.

A process leases a *slice*: a few requests that it must send within ``slice_seconds``. So what arrives at Neon within
any stretch of time was leased at most that long before it, and the bucket is smaller than Neon's own by what flows in
meanwhile: all processes together then stay within Neon's bucket (``Terms``).

What people asked for goes before repairs, and repairs before sweeps: the later kinds leave a part of the bucket
alone. None starves: a kind that waits is *owed* a share of the rate, and what is owed is kept for it.
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
    """Whom a request to Neon is for; the first goes first."""

    USER = "people"
    REPAIR = "repairs"
    RESYNC = "sweeps"


@dataclass(frozen=True, slots=True)
class _PriorityShare:
    """What a kind of work is owed of the rate while it waits, and how much of the bucket it leaves to the others."""

    rate_share: float
    reserve: float


_SHARES: Final[Mapping[Priority, _PriorityShare]] = {
    Priority.REPAIR: _PriorityShare(rate_share=0.15, reserve=0.25),
    Priority.RESYNC: _PriorityShare(rate_share=0.10, reserve=0.5),
}
_MAX_CREDIT = 2.0
# Who has not asked for so long does not wait any more.
_CREDIT_EXPIRY_SECONDS = 2.0
# Two clocks that run for weeks do not run quite alike.
_RATE_FRACTION = 0.995
# Between two slices others get a turn.
_MIN_LEASE_INTERVAL_SECONDS = 0.005
_MAX_LEASE_SECONDS = 2.0
_MAX_DELAY_SECONDS = 1.0
# Who waited for the row's lock read the clock before; what lies further back is a clock that was set.
_CLOCK_STEP_SECONDS = 5.0

MAX_CLOSED_SECONDS: Final = 60.0
"""The longest that one refusal by Neon holds back all others; then a request of theirs finds out."""


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """The shared bucket, made from what Neon allows: one bucket of the burst, refilled at the rate.

    Attributes:
        rate: requests a second that flow in.
        capacity: requests that the bucket holds.
        slice_seconds: how long a leased request may be sent.
        slice_size: most requests of one lease.
    """

    rate: float
    capacity: float
    lease_seconds: float
    lease_size: int

    @classmethod
    def from_limits(cls, *, requests_per_minute: float, burst: float) -> BucketConfig:
        """The terms for an account.

        Args:
            requests_per_minute: ``NEON_REQUESTS_PER_MINUTE``.
            burst: ``NEON_BURST_PER_SECOND``, the most requests at once.
        """
        rate = requests_per_minute / 60
        # Of Neon's bucket a quarter covers the life of a slice, an eighth the ways of unequal length to Neon.
        kept = min(_MAX_LEASE_SECONDS, burst / 4 / rate)
        delay = min(_MAX_DELAY_SECONDS, burst / 8 / rate)
        capacity = max(1.0, burst - rate * (kept + delay))
        return cls(rate * _RATE_FRACTION, capacity, kept, max(1, int(capacity / 4)))


@dataclass(frozen=True, slots=True)
class Credit:
    """What a waiting kind of work has a right to, in requests, and when it last asked."""

    requests: float
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """The shared bucket at one moment of the catalog's clock.

    Attributes:
        tokens: requests that may be leased.
        at: when that was so.
        closed_until: nothing is leased before; Neon refused a request for there being too many.
        owed: to the kinds of work that may have to wait for others.
    """

    tokens: float
    updated_at: datetime
    closed_until: datetime
    credits: Mapping[Priority, Credit]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a process may send.

    Attributes:
        given: requests by urgency.
        left: tokens that the bucket still holds.
        wait: seconds after which it is worth asking for the rest; 0 when there is no rest.
    """

    tokens: Mapping[Priority, int]
    remaining: float
    retry_after: float


def priority_of(app: AppMetadata) -> Priority:
    """Whether a pass over an app is what people wait for, or a repair of what they have."""
    if app.deleted_at is not None:
        return Priority.REPAIR
    wanted = app.delete_requested_at is not None or app.observed_generation < app.generation
    return Priority.USER if wanted or app.connected_at is None else Priority.REPAIR


def take_tokens(
    bucket: TokenBucket, wanted: Mapping[Priority, int], now: datetime, terms: BucketConfig
) -> tuple[TokenBucket, Grant]:
    """Take up to ``slice_size`` requests out of the bucket; the bucket afterwards, and what was taken."""
    tokens = min(terms.capacity, bucket.tokens + terms.rate * max(0.0, (now - bucket.updated_at).total_seconds()))
    asked = {kind: wanted.get(kind, 0) for kind in Priority}
    owed = {kind: _accrue(bucket.credits[kind], kind, asked[kind], now, terms) for kind in _SHARES}
    at = now if (bucket.updated_at - now).total_seconds() > _CLOCK_STEP_SECONDS else max(now, bucket.updated_at)
    closed = (bucket.closed_until - now).total_seconds()
    if 0 < closed <= MAX_CLOSED_SECONDS:
        return replace(bucket, tokens=tokens, updated_at=at, credits=owed), Grant(
            {}, 0.0, closed if any(asked.values()) else 0.0
        )
    given = dict.fromkeys(Priority, 0)
    room = terms.lease_size

    def take(kind: Priority, most: float) -> int:
        nonlocal tokens, room
        number = max(0, min(asked[kind] - given[kind], math.floor(most), math.floor(tokens), room))
        given[kind] += number
        tokens -= number
        room -= number
        return number

    for kind in _SHARES:
        number = take(kind, owed[kind].requests)
        owed[kind] = replace(owed[kind], requests=owed[kind].requests - number)
    kept = sum(math.floor(each.requests) for each in owed.values())

    def free(kind: Priority) -> float:
        leaves = _SHARES[kind].reserve if kind in _SHARES else 0.0
        return tokens - kept - leaves * terms.capacity

    for kind in Priority:
        if take(kind, free(kind)) and kind in owed:
            owed[kind] = replace(owed[kind], requests=0.0)
    unmet = [kind for kind in Priority if asked[kind] > given[kind]]
    wait = 0.0
    if unmet:
        more_now = any(free(kind) >= 1 for kind in unmet)
        wait = _MIN_LEASE_INTERVAL_SECONDS if more_now else _retry_after(sum(given.values()), tokens, terms)
    return replace(bucket, tokens=tokens, updated_at=at, credits=owed), Grant(given, tokens, wait)


def _retry_after(given: int, tokens: float, terms: BucketConfig) -> float:
    """Seconds after which a process asks for more: the less it came away with, the sooner, so that all get as much."""
    if not given and tokens >= 1:
        return terms.lease_seconds / 2  # what is there is kept for others
    next_token = (1.0 - tokens) / terms.rate
    return max(_MIN_LEASE_INTERVAL_SECONDS, next_token, min(terms.lease_seconds / 2, given / terms.rate))


def _accrue(owed: Credit, kind: Priority, wanted: int, now: datetime, terms: BucketConfig) -> Credit:
    """What is owed now: it grows while the kind goes on asking, and is forgotten when it stops."""
    since = max(0.0, (now - owed.requested_at).total_seconds())
    requests = 0.0 if since > _CREDIT_EXPIRY_SECONDS else owed.requests
    if not wanted:
        return Credit(requests, min(now, owed.requested_at))
    requests += _SHARES[kind].rate_share * terms.rate * min(since, _CREDIT_EXPIRY_SECONDS)
    return Credit(min(_MAX_CREDIT, requests), now)
