"""The metrics of the requests to Neon, and of the request limit that all processes share."""

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
    """An estimate of the tokens in the shared bucket, from the number at this process's last lease.

    Args:
        bucket: capacity and rate.
        clock: monotonic seconds.
    """

    def __init__(self, bucket: BucketConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = bucket
        self._clock = clock
        self._tokens = bucket.capacity
        self._updated_at = clock()

    def update(self, tokens: float) -> None:
        """Record the number of tokens that the bucket has now."""
        self._tokens, self._updated_at = tokens, self._clock()

    def __call__(self) -> float:
        """Return the estimated number of requests that may be sent now."""
        return min(self._bucket.capacity, self._tokens + (self._clock() - self._updated_at) * self._bucket.rate)


class NeonMetrics:
    """The requests of one process to Neon.

    Args:
        registry: the registry of the process.
        bucket: the shared request limit.
    """

    def __init__(self, registry: CollectorRegistry, bucket: BucketConfig) -> None:
        self._requests = Counter(
            "morphik_apps_neon_requests_total",
            "Requests of this process to Neon's API by method, route and outcome.",
            ("method", "route", "outcome"),
            registry=registry,
        )
        self._duration = Histogram(
            "morphik_apps_neon_request_duration_seconds",
            "Time from a request to the last byte of Neon's response, or to the timeout.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        self.tokens = TokenEstimate(bucket)
        tokens = Gauge(
            "morphik_apps_neon_rate_limit_tokens",
            "Estimated tokens in the shared bucket: the requests that all processes may send to Neon now.",
            registry=registry,
        )
        tokens.set_function(self.tokens)
        self._waits = Histogram(
            "morphik_apps_neon_rate_limit_wait_seconds",
            "Time that this process's requests waited for a token, by priority.",
            ("priority",),
            buckets=BUCKETS,
            registry=registry,
        )
        for priority in Priority:
            self._waits.labels(priority)
        for method, route in ROUTES:
            self._duration.labels(method, route)
            for outcome in OUTCOMES:
                self._requests.labels(method, route, outcome)

    def observe(self, completed: CompletedRequest) -> None:
        """Count a completed request."""
        request = completed.request
        self._requests.labels(request.method, request.route, completed.outcome).inc()
        self._duration.labels(request.method, request.route).observe(completed.seconds)

    def rate_limit_waited(self, priority: Priority, seconds: float) -> None:
        """Observe the time that a request waited for a token."""
        self._waits.labels(priority).observe(seconds)
