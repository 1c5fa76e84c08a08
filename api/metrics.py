"""``/metrics``: what the API measures of its requests, and everything that is measured as one document.

No label holds anything of a tenant, and every label's values are known, so each series is there from the start.
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

from api.paths import CanonicalPaths
from api.problems import EXCEPTION_HANDLERS, metrics_token_required
from reconciler.catalog.database import Database
from reconciler.telemetry.catalog_metrics import CatalogCollector, describe_all
from reconciler.telemetry.reconcile_metrics import ReconcileMetrics
from specs.settings import MetricsSettings

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FRESH_SECONDS: Final = 1.0
"""For how long one rendering of all metrics is answered."""
STATUSES: Final = ("2xx", "3xx", "4xx", "5xx")
OTHER: Final = "other"
"""A method that a route does not have, or a path that no route has."""


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
    """The requests of one API process. Every series is looked up once, since this is on the way of every request.

    Args:
        registry: where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "morphik_apps_http_requests_total",
            "Answers of this process by method, route and class of status; what no route has is 'other'.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._duration = Histogram(
            "morphik_apps_http_request_duration_seconds",
            "How long this process took to answer, to the last byte; without answers that a client asked to be held "
            "with Prefer: wait.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._unmatched = _Series(self._requests, self._duration, OTHER, OTHER)
        self._series: dict[tuple[str, str], _Series] = {}

    def know(self, routes: Iterable[BaseRoute]) -> None:
        """Make the series of these routes."""
        for route in routes:
            if isinstance(route, Route):
                for method in (*sorted(route.methods or ()), OTHER):
                    self._series[route.path, method] = _Series(self._requests, self._duration, method, route.path)

    def served(self, scope: Scope, status: int, seconds: float | None) -> None:
        """A request was answered; ``seconds`` is None for one that was held."""
        path = getattr(scope.get("route"), "path", OTHER)
        series = self._series.get((path, scope["method"])) or self._series.get((path, OTHER)) or self._unmatched
        series.add(status, seconds)


class _WithoutCreated(Collector):
    """A registry without the time at which each series was made, which doubles the lines and which nobody reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class MetricsEndpoint:
    """Everything that a process measures, as Prometheus reads it.

    The text is rendered in a thread, once a second at most, however many ask: all of them get the same one.

    Args:
        registry: what the process measures of itself.
        database: the catalog, whose figures go along; opened by somebody else.
        settings: the token that is asked for, if any.
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
        self._health = CatalogCollector(registry, database)
        self._token = None if settings.metrics_token is None else settings.metrics_token.get_secret_value()
        self._clock = clock
        self._rendering: asyncio.Task[bytes] | None = None
        self._rendered: tuple[float, bytes] | None = None

    async def respond(self, request: Request) -> Response:
        """GET /metrics: never fails or hangs for the catalog's sake.

        Raises:
            ProblemError: 401 without the token that METRICS_TOKEN asks for.
        """
        self._check(request.headers.getlist("authorization"))
        return Response(await self._text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def close(self) -> None:
        """Stop asking the catalog."""
        if self._rendering is not None:
            self._rendering.cancel()
            await asyncio.gather(self._rendering, return_exceptions=True)
        await self._health.close()

    def _check(self, authorization: list[str]) -> None:
        if self._token is None:
            return
        scheme, _, given = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode()):
            return
        raise metrics_token_required()

    async def _text(self) -> bytes:
        if self._rendered is not None and self._clock() - self._rendered[0] < FRESH_SECONDS:
            return self._rendered[1]
        if self._rendering is None or self._rendering.done():
            self._rendering = asyncio.create_task(self._render(), name="metrics")
        # A client that hangs up must not end what others wait for.
        return await asyncio.shield(self._rendering)

    async def _render(self) -> bytes:
        await self._health.refresh()
        text = await asyncio.to_thread(generate_latest, self._all)
        self._rendered = self._clock(), text
        return text


def only_metrics(exposition: MetricsEndpoint, database: Database) -> Starlette:
    """An application that serves ``/metrics`` and nothing else, for METRICS_PORT.

    Args:
        exposition: closed by the application.
        database: the catalog; opened by the application, closed by whoever made it.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.open()
        try:
            yield
        finally:
            await exposition.close()

    routes = [Route("/metrics", exposition.respond)]
    middleware = [Middleware(CanonicalPaths)]
    app = Starlette(
        routes=routes, middleware=middleware, exception_handlers=dict(EXCEPTION_HANDLERS), lifespan=lifespan
    )
    app.router.redirect_slashes = False
    return app


def documented() -> dict[str, str]:
    """Every metric that any process shows, and what it says."""
    registry = CollectorRegistry()
    HttpMetrics(registry)
    ReconcileMetrics(registry)
    families = (*registry.collect(), *describe_all())
    return {f.name + ("_total" if f.type == "counter" else ""): f.documentation for f in families}
