"""The limits of an owner, and when a reached limit allows the next create."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAX_KEYS = 1000
"""The maximum number of living idempotency keys of one owner; each lives for 24 hours."""

COUNTED_HOURS = 25
"""The current hour and 24 before it: their counts cover any 24 hours."""

MAX_HOURS_AHEAD = 24
"""A later hour was written with a wrong clock, and does not count."""


@dataclass(frozen=True, slots=True)
class OwnerLimits:
    """Limits of one owner, each at least 1.

    Attributes:
        apps: the maximum number of living apps.
        creates_per_day: the maximum number of apps created within 24 hours, including deleted ones.
    """

    apps: int
    creates_per_day: int


def seconds_until_create(creates: Sequence[int], creates_hour: int, now: float, limit: int) -> float:
    """Return the seconds until ``limit`` allows another create; 0 if it does now.

    The same rule as the catalog's function ``count_creates``.

    Args:
        creates: the number of apps created in ``creates_hour`` and in each hour before it.
        creates_hour: hours since 1970. After a clock was set back it may be ahead.
        now: seconds since 1970 by the catalog's clock.
        limit: the maximum number of creates within 24 hours.
    """
    age = math.floor(now / 3600) - creates_hour
    counted = list(creates[: max(0, COUNTED_HOURS - max(0, age))])
    if age < -MAX_HOURS_AHEAD or sum(counted) < limit:
        return 0.0
    while counted and sum(counted) >= limit:
        counted.pop()
    # The hour that was removed last does not count when it is older than the counted hours.
    return (creates_hour - len(counted) + COUNTED_HOURS) * 3600 - now
