"""What is measured of the requests to Neon, and of the budget that they are taken from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reconciler.core.rate_limit import BucketConfig, Priority
from reconciler.neon.protocol import OUTCOMES, CompletedRequest

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


class TokenEstimate:
    """How full the shared bucket is by now, from how full it was when this process last leased from it.

    Args:
        terms: what it holds, and what flows in.
        clock: monotonic seconds.
    """

    def __init__(self, terms: BucketConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._terms = terms
        self._clock = clock
        self._seen = terms.capacity
        self._at = clock()

    def update(self, tokens: float) -> None:
        """The bucket held so much just now."""
        self._seen, self._at = tokens, self._clock()

    def __call__(self) -> float:
        """Requests that may be sent at once."""
        return min(self._terms.capacity, self._seen + (self._clock() - self._at) * self._terms.rate)


class NeonMetrics:
    """The requests of one process to Neon.

    Args:
        registry: where the metrics are registered.
        terms: the shared budget.
    """

    def __init__(self, registry: CollectorRegistry, terms: BucketConfig) -> None:
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
        self.tokens = TokenEstimate(terms)
        left = Gauge(
            "morphik_apps_neon_rate_limit_tokens",
            "Requests that all processes together may send to Neon at once: what this process saw in the shared bucket "
            "when it last took from it, and what has flowed in since.",
            registry=registry,
        )
        left.set_function(self.tokens)
        self._waits = Histogram(
            "morphik_apps_neon_rate_limit_wait_seconds",
            "How long this process's requests waited for their turn in the shared budget, by urgency.",
            ("priority",),
            buckets=BUCKETS,
            registry=registry,
        )
        for urgency in Priority:
            self._waits.labels(urgency)
        for method, route in ROUTES:
            self._duration.labels(method, route)
            for outcome in OUTCOMES:
                self._requests.labels(method, route, outcome)

    def observe(self, exchange: CompletedRequest) -> None:
        """One request has ended."""
        request = exchange.request
        self._requests.labels(request.method, request.route, exchange.outcome).inc()
        self._duration.labels(request.method, request.route).observe(exchange.seconds)

    def rate_limit_waited(self, urgency: Priority, seconds: float) -> None:
        """A request waited for its turn."""
        self._waits.labels(urgency).observe(seconds)
