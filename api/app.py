"""The API as one ASGI application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from api.auth.authorizer import Authorizer
from api.dependencies import Dependencies
from api.http import docs_page
from api.http.canonical_paths import CanonicalPaths
from api.http.prefer_wait import ConvergenceWaiter
from api.metrics import HttpMetrics, MetricsEndpoint
from api.middleware import AllowedHosts, BodyLimit, RequestContext
from api.openapi import build_openapi
from api.problems import EXCEPTION_HANDLERS
from api.provisioning import AppCreator, owner_limits
from api.resources import ENDPOINTS
from api.resources.process.endpoints import METRICS
from api.router import create_routes
from api.services import Services
from api.wakeup_notifier import WakeupNotifier


def create_app(dependencies: Dependencies) -> Starlette:
    """Return the application.

    ``app.state.waiter`` delays the responses to ``Prefer: wait``; a server that stops closes it first.
    ``app.state.metrics`` serves ``/metrics``, also on METRICS_PORT.

    Raises:
        SettingsError: ``TRUSTED_PROXIES`` is not valid.
    """
    services = _create_services(dependencies)
    http_metrics = HttpMetrics(dependencies.registry)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await dependencies.database.open()
        try:
            async with dependencies.tokens.refreshing():
                yield
        finally:
            await services.waiter.close()
            await services.notifier.close()
            await services.metrics.close()

    on_this_port = dependencies.metrics.metrics_port is None
    hosts = dependencies.http.allowed_hosts
    app = Starlette(
        routes=create_routes((e for e in ENDPOINTS if e.name != METRICS or on_this_port), services),
        middleware=[
            Middleware(RequestContext, metrics=http_metrics),
            Middleware(CanonicalPaths),
            *([Middleware(AllowedHosts, allowed=hosts)] if hosts else []),
            Middleware(BodyLimit),
        ],
        exception_handlers=dict(EXCEPTION_HANDLERS),
        lifespan=lifespan,
    )
    # A redirect would repeat the Host header that the client sent.
    app.router.redirect_slashes = False
    http_metrics.register_routes(app.routes)
    app.state.waiter, app.state.metrics = services.waiter, services.metrics
    return app


def _create_services(dependencies: Dependencies) -> Services:
    notifier = WakeupNotifier(dependencies.catalog.notify)
    document = build_openapi(ENDPOINTS, dependencies.control_plane.neon_regions)
    return Services(
        apps=dependencies.catalog,
        creator=AppCreator(
            dependencies.catalog,
            dependencies.control_plane,
            limits=owner_limits(dependencies.http),
            new_app_id=dependencies.new_app_id,
            notifier=notifier,
        ),
        database=dependencies.database,
        sealer=dependencies.sealer,
        authorizer=Authorizer(dependencies.tokens, dependencies.revocations, dependencies.http),
        waiter=ConvergenceWaiter(dependencies.catalog.get_many),
        notifier=notifier,
        metrics=MetricsEndpoint(dependencies.registry, dependencies.database, dependencies.metrics),
        openapi=json.dumps(document),
        docs=docs_page.page(document),
    )
