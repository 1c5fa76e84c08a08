"""What an owner may do in a day, and when a limit that is reached lets more through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAX_KEYS = 1000
"""Most living idempotency keys of one owner; each lives for 24 hours."""

HOURS_KEPT = 25
"""The current hour and 24 before it: what they hold covers any 24 hours."""

MOST_HOURS_AHEAD = 24
"""A later hour was written by a clock that was wrong, and counts no more."""


@dataclass(frozen=True, slots=True)
class OwnerLimits:
    """Limits of one owner, each at least 1.

    Attributes:
        apps: most living apps.
        creates_per_day: most apps created within 24 hours, deleted ones included.
    """

    apps: int
    creates_per_day: int


def seconds_until_create(creates: Sequence[int], creates_hour: int, now: float, limit: int) -> float:
    """Seconds until ``limit`` allows another create; 0 where it does now.

    The same rule as the catalog's function ``count_creates``.

    Args:
        creates: how many apps were created in ``creates_hour`` and in each hour before it.
        creates_hour: hours since 1970. After a clock was set back it may be ahead.
        now: seconds since 1970 by the catalog's clock.
        limit: most creates within 24 hours.
    """
    age = math.floor(now / 3600) - creates_hour
    counted = list(creates[: max(0, HOURS_KEPT - max(0, age))])
    if age < -MOST_HOURS_AHEAD or sum(counted) < limit:
        return 0.0
    while counted and sum(counted) >= limit:
        counted.pop()
    # The hour taken out last no longer counts once it is older than the hours kept.
    return (creates_hour - len(counted) + HOURS_KEPT) * 3600 - now
