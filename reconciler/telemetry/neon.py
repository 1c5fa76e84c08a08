"""What is measured of the requests to Neon, and what is left of the rate that Neon allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reconciler.neon.wire import OUTCOMES, NeonExchange

BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)

_PROJECT: Final = "/projects/{project_id}"
ROUTES: Final = (
    ("GET", "/auth"),
    ("GET", "/users/me/organizations"),
    ("GET", "/projects"),
    ("POST", "/projects"),
    ("GET", _PROJECT),
    ("PATCH", _PROJECT),
    ("DELETE", _PROJECT),
    ("POST", f"{_PROJECT}/recover"),
    ("GET", f"{_PROJECT}/branches"),
    ("POST", f"{_PROJECT}/branches"),
    ("PATCH", f"{_PROJECT}/branches/{{branch_id}}"),
    ("GET", f"{_PROJECT}/endpoints"),
    ("POST", f"{_PROJECT}/endpoints"),
    ("GET", f"{_PROJECT}/operations"),
    ("GET", f"{_PROJECT}/connection_uri"),
)
"""Method and route template of every request that the client can send."""


class Bucket:
    """A token bucket that is only looked at: nobody is held back by it.

    Args:
        burst: how much it holds.
        per_minute: how much flows in.
        clock: monotonic seconds.
    """

    def __init__(self, burst: float, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_second = per_minute / 60
        self._clock = clock
        self._level = burst
        self._at = clock()

    def take(self) -> None:
        """Take one token, or what there is of it."""
        self._level = max(0.0, self.left() - 1)

    def left(self) -> float:
        """How many tokens there are."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._per_second)
        self._at = now
        return self._level


class NeonMetrics:
    """The requests of one process to Neon.

    Args:
        registry: where the metrics are registered.
        requests_per_minute, burst: what Neon allows an account.
    """

    def __init__(self, registry: CollectorRegistry, *, requests_per_minute: float, burst: float) -> None:
        self._requests = Counter(
            "morphik_apps_neon_requests_total",
            "Requests of this process to Neon's API, by method, route and what came of them.",
            ("method", "route", "outcome"),
            registry=registry,
        )
        self._duration = Histogram(
            "morphik_apps_neon_request_duration_seconds",
            "How long Neon's API took to answer, to the last byte, or how long it was waited for.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._budget = Bucket(burst, requests_per_minute)
        left = Gauge(
            "morphik_apps_neon_budget_requests",
            "Requests that Neon would still take at once, in this process's view: a bucket of NEON_BURST_PER_SECOND, "
            "refilled at NEON_REQUESTS_PER_MINUTE, less the requests of this process alone.",
            registry=registry,
        )
        left.set_function(self._budget.left)
        for method, route in ROUTES:
            self._duration.labels(method, route)
            for outcome in OUTCOMES:
                self._requests.labels(method, route, outcome)

    def count(self, exchange: NeonExchange) -> None:
        """One request has ended."""
        request = exchange.request
        self._requests.labels(request.method, request.route, exchange.outcome).inc()
        self._duration.labels(request.method, request.route).observe(exchange.seconds)
        if exchange.left:
            self._budget.take()
