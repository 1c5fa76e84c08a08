"""Rate limits: a token bucket for each account, a window for each route, and a token bucket for consumption.

Neon documents 700 requests a minute and bursts of 40 a second for each route, for each account, and about 30 a minute
for consumption (Neon's documentation, API key concepts and Limits). The strict reading: one bucket of 40, refilled at
700 a minute, for all requests of an account, and at most 40 in any second to one route and method.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from reconciler.local.options import LocalNeonOptions
from reconciler.local.routes.routing import CONSUMPTION, ORGANIZATION_KEYS

_WINDOW_SECONDS = 1.0
_KEYS_PER_SECOND = 10


@dataclass
class _Bucket:
    size: float
    per_second: float
    level: float
    filled_at: float

    def fill(self, now: float) -> bool:
        """Refill, and return whether there is a token."""
        self.level = min(self.size, self.level + max(0.0, now - self.filled_at) * self.per_second)
        self.filled_at = now
        return self.level >= 1


class RateLimiter:
    """Allows as many requests as the options permit.

    Attributes:
        accepted_count: number of allowed requests.
        rejected_count: number of rejected requests.
    """

    def __init__(self, options: LocalNeonOptions) -> None:
        self._options = options
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._windows: dict[tuple[str, str, str], deque[float]] = {}
        self.accepted_count = 0
        self.rejected_count = 0

    def allow(self, account_id: str, method: str, template: str, now: float) -> bool:
        """Return whether a request is allowed. A rejected request takes no tokens."""
        if self._options.requests_per_minute is None:
            self.accepted_count += 1
            return True
        rate, costly = self._options.requests_per_minute, self._options.consumption_per_minute
        buckets = [self._bucket(account_id, "all", self._options.burst, rate, now)]
        if template.startswith(CONSUMPTION):
            buckets.append(self._bucket(account_id, CONSUMPTION, costly, costly, now))
        window = self._windows.setdefault((account_id, method, template), deque())
        while window and window[0] <= now - _WINDOW_SECONDS:
            window.popleft()
        maximum = _KEYS_PER_SECOND if (method, template) == ("POST", ORGANIZATION_KEYS) else self._options.route_burst
        if not all(bucket.fill(now) for bucket in buckets) or len(window) >= maximum:
            self.rejected_count += 1
            return False
        for bucket in buckets:
            bucket.level -= 1
        window.append(now)
        self.accepted_count += 1
        return True

    def _bucket(self, account_id: str, name: str, size: float, per_minute: float, now: float) -> _Bucket:
        full = _Bucket(size, per_minute / 60, size, now)
        return self._buckets.setdefault((account_id, name), full)
