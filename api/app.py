"""The API as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from api.context import ApiContext
from api.metrics import HttpMetrics, MetricsEndpoint
from api.middleware import AllowedHosts, BodyLimit, RequestContext
from api.nudge import WakeupNotifier
from api.paths import CanonicalPaths
from api.problems import EXCEPTION_HANDLERS
from api.routes import Routes
from api.waiting import Waiting


def create_app(context: ApiContext) -> Starlette:
    """The application over a context.

    ``app.state.waiting.close()`` lets everybody go who waits with ``Prefer: wait``; a server calls it when it is told
    to stop, so that nobody holds it up. ``app.state.exposition`` is what ``/metrics`` answers, also where METRICS_PORT
    puts it on a port of its own.

    Raises:
        SettingsError: ``TRUSTED_PROXIES`` is wrong.
    """
    waiting = Waiting(context.catalog.get_many)
    nudge = WakeupNotifier(context.catalog.notify)
    measured, exposition = (
        HttpMetrics(context.registry),
        MetricsEndpoint(context.registry, context.database, context.metrics),
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await context.database.open()
        try:
            async with context.tokens.refreshing():
                yield
        finally:
            await waiting.close()
            await nudge.close()
            await exposition.close()

    hosts = context.http.allowed_hosts
    here = [Route("/metrics", exposition.respond)] if context.metrics.metrics_port is None else []
    app = Starlette(
        routes=[*Routes(context, waiting, nudge).table(), *here],
        middleware=[
            Middleware(RequestContext, metrics=measured),
            Middleware(CanonicalPaths),
            *([Middleware(AllowedHosts, allowed=hosts)] if hosts else []),
            Middleware(BodyLimit),
        ],
        exception_handlers=dict(EXCEPTION_HANDLERS),
        lifespan=lifespan,
    )
    # A redirect would repeat the Host header that the client sent.
    app.router.redirect_slashes = False
    measured.know(app.routes)
    app.state.waiting, app.state.exposition = waiting, exposition
    return app
