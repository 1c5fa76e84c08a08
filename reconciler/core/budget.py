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


class Urgency(StrEnum):
    """Whom a request to Neon is for; the first goes first."""

    PEOPLE = "people"
    REPAIRS = "repairs"
    SWEEPS = "sweeps"


@dataclass(frozen=True, slots=True)
class _Share:
    """What a kind of work is owed of the rate while it waits, and how much of the bucket it leaves to the others."""

    of_rate: float
    leaves: float


_SHARES: Final[Mapping[Urgency, _Share]] = {
    Urgency.REPAIRS: _Share(of_rate=0.15, leaves=0.25),
    Urgency.SWEEPS: _Share(of_rate=0.10, leaves=0.5),
}
_MOST_OWED = 2.0
# Who has not asked for so long does not wait any more.
_PATIENCE_SECONDS = 2.0
# Two clocks that run for weeks do not run quite alike.
_OF_RATE = 0.995
# Between two slices others get a turn.
_NEXT_SLICE_SECONDS = 0.005
_LONGEST_SLICE_SECONDS = 2.0
_LONGEST_DELAY_SECONDS = 1.0
# Who waited for the row's lock read the clock before; what lies further back is a clock that was set.
_CLOCK_STEP_SECONDS = 5.0

MOST_CLOSED_SECONDS: Final = 60.0
"""The longest that one refusal by Neon holds back all others; then a request of theirs finds out."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The shared bucket, made from what Neon allows: one bucket of the burst, refilled at the rate.

    Attributes:
        rate: requests a second that flow in.
        capacity: requests that the bucket holds.
        slice_seconds: how long a leased request may be sent.
        slice_size: most requests of one lease.
    """

    rate: float
    capacity: float
    slice_seconds: float
    slice_size: int

    @classmethod
    def of(cls, *, requests_per_minute: float, burst: float) -> Terms:
        """The terms for an account.

        Args:
            requests_per_minute: ``NEON_REQUESTS_PER_MINUTE``.
            burst: ``NEON_BURST_PER_SECOND``, the most requests at once.
        """
        rate = requests_per_minute / 60
        # Of Neon's bucket a quarter covers the life of a slice, an eighth the ways of unequal length to Neon.
        kept = min(_LONGEST_SLICE_SECONDS, burst / 4 / rate)
        delay = min(_LONGEST_DELAY_SECONDS, burst / 8 / rate)
        capacity = max(1.0, burst - rate * (kept + delay))
        return cls(rate * _OF_RATE, capacity, kept, max(1, int(capacity / 4)))


@dataclass(frozen=True, slots=True)
class Owed:
    """What a waiting kind of work has a right to, in requests, and when it last asked."""

    requests: float
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """The shared bucket at one moment of the catalog's clock.

    Attributes:
        tokens: requests that may be leased.
        at: when that was so.
        closed_until: nothing is leased before; Neon refused a request for there being too many.
        owed: to the kinds of work that may have to wait for others.
    """

    tokens: float
    at: datetime
    closed_until: datetime
    owed: Mapping[Urgency, Owed]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a process may send.

    Attributes:
        given: requests by urgency.
        left: tokens that the bucket still holds.
        wait: seconds after which it is worth asking for the rest; 0 when there is no rest.
    """

    given: Mapping[Urgency, int]
    left: float
    wait: float


def urgency_of(app: AppMetadata) -> Urgency:
    """Whether a pass over an app is what people wait for, or a repair of what they have."""
    if app.deleted_at is not None:
        return Urgency.REPAIRS
    wanted = app.delete_requested_at is not None or app.observed_generation < app.generation
    return Urgency.PEOPLE if wanted or app.connected_at is None else Urgency.REPAIRS


def lease(bucket: Bucket, wanted: Mapping[Urgency, int], now: datetime, terms: Terms) -> tuple[Bucket, Grant]:
    """Take up to ``slice_size`` requests out of the bucket; the bucket afterwards, and what was taken."""
    tokens = min(terms.capacity, bucket.tokens + terms.rate * max(0.0, (now - bucket.at).total_seconds()))
    asked = {kind: wanted.get(kind, 0) for kind in Urgency}
    owed = {kind: _accrued(bucket.owed[kind], kind, asked[kind], now, terms) for kind in _SHARES}
    at = now if (bucket.at - now).total_seconds() > _CLOCK_STEP_SECONDS else max(now, bucket.at)
    closed = (bucket.closed_until - now).total_seconds()
    if 0 < closed <= MOST_CLOSED_SECONDS:
        return replace(bucket, tokens=tokens, at=at, owed=owed), Grant({}, 0.0, closed if any(asked.values()) else 0.0)
    given = dict.fromkeys(Urgency, 0)
    room = terms.slice_size

    def take(kind: Urgency, most: float) -> int:
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

    def free(kind: Urgency) -> float:
        leaves = _SHARES[kind].leaves if kind in _SHARES else 0.0
        return tokens - kept - leaves * terms.capacity

    for kind in Urgency:
        if take(kind, free(kind)) and kind in owed:
            owed[kind] = replace(owed[kind], requests=0.0)
    unmet = [kind for kind in Urgency if asked[kind] > given[kind]]
    wait = 0.0
    if unmet:
        more_now = any(free(kind) >= 1 for kind in unmet)
        wait = _NEXT_SLICE_SECONDS if more_now else _pause(sum(given.values()), tokens, terms)
    return replace(bucket, tokens=tokens, at=at, owed=owed), Grant(given, tokens, wait)


def _pause(given: int, tokens: float, terms: Terms) -> float:
    """Seconds after which a process asks for more: the less it came away with, the sooner, so that all get as much."""
    if not given and tokens >= 1:
        return terms.slice_seconds / 2  # what is there is kept for others
    next_token = (1.0 - tokens) / terms.rate
    return max(_NEXT_SLICE_SECONDS, next_token, min(terms.slice_seconds / 2, given / terms.rate))


def _accrued(owed: Owed, kind: Urgency, wanted: int, now: datetime, terms: Terms) -> Owed:
    """What is owed now: it grows while the kind goes on asking, and is forgotten when it stops."""
    since = max(0.0, (now - owed.asked_at).total_seconds())
    requests = 0.0 if since > _PATIENCE_SECONDS else owed.requests
    if not wanted:
        return Owed(requests, min(now, owed.asked_at))
    requests += _SHARES[kind].of_rate * terms.rate * min(since, _PATIENCE_SECONDS)
    return Owed(min(_MOST_OWED, requests), now)
