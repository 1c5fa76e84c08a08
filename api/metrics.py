"""``/metrics``: the HTTP metrics of the API, and the endpoint for all metrics of a process.

No label contains tenant data. The values of every label are known, so each series exists from the start.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from api.http.canonical_paths import CanonicalPaths
from api.problems import EXCEPTION_HANDLERS, metrics_token_required
from reconciler.catalog.database import Database
from reconciler.telemetry.catalog_metrics import CatalogCollector, describe_all
from reconciler.telemetry.reconcile_metrics import ReconcileMetrics
from specs.settings import MetricsSettings

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FRESH_SECONDS: Final = 1.0
"""How long one rendering of all metrics is reused."""
STATUSES: Final = ("2xx", "3xx", "4xx", "5xx")
OTHER: Final = "other"
"""A method that the route does not have, or a path without a route."""


class _Series:
    """The series of one method and route."""

    __slots__ = ("_counted", "_duration")

    def __init__(self, counted: Counter, duration: Histogram, method: str, route: str) -> None:
        self._counted = {number: counted.labels(method, route, f"{number}xx") for number in range(2, 6)}
        self._duration = duration.labels(method, route)

    def add(self, status: int, seconds: float | None) -> None:
        self._counted[status // 100].inc()
        if seconds is not None:
            self._duration.observe(seconds)


class HttpMetrics:
    """The requests of one API process. Each series is looked up once, since every request uses one.

    Args:
        registry: where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "morphik_apps_http_requests_total",
            "Responses of this process by method, route and class of status; requests without a route are 'other'.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._duration = Histogram(
            "morphik_apps_http_request_duration_seconds",
            "Time from a request to the last byte of its response, except for requests with Prefer: wait.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._unmatched = _Series(self._requests, self._duration, OTHER, OTHER)
        self._series: dict[tuple[str, str], _Series] = {}

    def register_routes(self, routes: Iterable[BaseRoute]) -> None:
        """Create the series of these routes."""
        for route in routes:
            if isinstance(route, Route):
                for method in (*sorted(route.methods or ()), OTHER):
                    self._series[route.path, method] = _Series(self._requests, self._duration, method, route.path)

    def observe(self, scope: Scope, status: int, seconds: float | None) -> None:
        """Count a response; ``seconds`` is None for one that ``Prefer: wait`` delayed."""
        path = getattr(scope.get("route"), "path", OTHER)
        series = self._series.get((path, scope["method"])) or self._series.get((path, OTHER)) or self._unmatched
        series.add(status, seconds)


class _WithoutCreated(Collector):
    """A registry without the creation time of each series, which would double the number of lines."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class MetricsEndpoint:
    """All metrics of a process in Prometheus's text format.

    A thread renders the text at most once a second. Concurrent requests share one rendering.

    Args:
        registry: the metrics of the process.
        database: the catalog, whose metrics are included; the caller opens it.
        settings: the token that a request needs, if any.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        database: Database,
        settings: MetricsSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._all = _WithoutCreated(registry)
        self._catalog = CatalogCollector(registry, database)
        self._token = None if settings.metrics_token is None else settings.metrics_token.get_secret_value()
        self._clock = clock
        self._rendering: asyncio.Task[bytes] | None = None
        self._rendered: tuple[float, bytes] | None = None

    async def respond(self, request: Request) -> Response:
        """GET /metrics: an unavailable catalog neither fails nor blocks it.

        Raises:
            ProblemError: 401 without METRICS_TOKEN.
        """
        self._check(request.headers.getlist("authorization"))
        return Response(await self._text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def close(self) -> None:
        """Stop reading the catalog."""
        if self._rendering is not None:
            self._rendering.cancel()
            await asyncio.gather(self._rendering, return_exceptions=True)
        await self._catalog.close()

    def _check(self, authorization: list[str]) -> None:
        if self._token is None:
            return
        scheme, _, token = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token.encode()):
            return
        raise metrics_token_required()

    async def _text(self) -> bytes:
        if self._rendered is not None and self._clock() - self._rendered[0] < FRESH_SECONDS:
            return self._rendered[1]
        if self._rendering is None or self._rendering.done():
            self._rendering = asyncio.create_task(self._render(), name="metrics")
        # A client that disconnects must not cancel the rendering for others.
        return await asyncio.shield(self._rendering)

    async def _render(self) -> bytes:
        await self._catalog.refresh()
        text = await asyncio.to_thread(generate_latest, self._all)
        self._rendered = self._clock(), text
        return text


def create_metrics_app(metrics: MetricsEndpoint, database: Database) -> Starlette:
    """Return an application that serves only ``/metrics``, for METRICS_PORT.

    Args:
        metrics: the application closes it.
        database: the catalog; the application opens it, and the caller closes it.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.open()
        try:
            yield
        finally:
            await metrics.close()

    routes = [Route("/metrics", metrics.respond)]
    middleware = [Middleware(CanonicalPaths)]
    app = Starlette(
        routes=routes, middleware=middleware, exception_handlers=dict(EXCEPTION_HANDLERS), lifespan=lifespan
    )
    app.router.redirect_slashes = False
    return app


def metric_descriptions() -> dict[str, str]:
    """Return every metric that any process exports, with its description."""
    registry = CollectorRegistry()
    HttpMetrics(registry)
    ReconcileMetrics(registry)
    families = (*registry.collect(), *describe_all())
    return {f.name + ("_total" if f.type == "counter" else ""): f.documentation for f in families}
