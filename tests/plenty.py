"""A request budget without a limit, for tests that are about something else."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.core.rate_limit import BucketConfig, Grant, Priority
from reconciler.runtime.rate_limiter import RateLimiter

TERMS = BucketConfig.from_limits(requests_per_minute=700, burst=40)


class Plenty:
    """Gives whatever is asked for.

    Attributes:
        closed: for how many seconds each time nothing was to be leased.
    """

    def __init__(self) -> None:
        self.closed: list[float] = []

    async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
        """All that is wanted."""
        return Grant(dict(wanted), 1, 0)

    async def close(self, seconds: float) -> None:
        """Remember it."""
        self.closed.append(seconds)


def plenty() -> RateLimiter:
    """A budget that holds nobody back."""
    return RateLimiter(Plenty(), TERMS)
