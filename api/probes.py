"""The door of a daemon without an API: whether it serves, whether it can work, and what it measures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.documents import Health
from api.metrics import MetricsEndpoint
from api.paths import CanonicalPaths
from api.problems import EXCEPTION_HANDLERS, unavailable
from reconciler.catalog.database import Database
from reconciler.catalog.identity import CatalogIdentityStore
from reconciler.catalog.migrate import schema_is_current

READY_SECONDS = 3.0


async def healthz(_request: Request) -> Response:
    """GET /healthz: this process serves."""
    return Health(status="ok").to_response()


async def ready(database: Database) -> Response:
    """GET /readyz: the catalog answers, and its schema is current; raises a 503 otherwise.

    While every change at Neon is stopped it is 200 all the same, since everything else goes on, and says so.
    """
    try:
        async with asyncio.timeout(READY_SECONDS):
            current = await schema_is_current(database)
            ended_by = await CatalogIdentityStore(database).resume_command() if current else None
    except TimeoutError:
        raise unavailable("The catalog does not answer.") from None
    if not current:
        raise unavailable("The catalog's schema is not current; run morphik-apps migrate.")
    if ended_by is not None:
        return Health(
            status="ready", stopped=f"Nothing is changed at Neon; an operator must see: {ended_by}"
        ).to_response()
    return Health(status="ready").to_response()


def probes(database: Database, exposition: MetricsEndpoint, *, with_metrics: bool) -> Starlette:
    """An application that serves nothing else.

    Args:
        database: the catalog; opened and closed by the application.
        exposition: what the process measures; closed by the application.
        with_metrics: whether ``/metrics`` is served here.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.open()
        try:
            yield
        finally:
            await exposition.close()
            await database.close()

    async def readyz(_request: Request) -> Response:
        return await ready(database)

    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *([Route("/metrics", exposition.respond)] if with_metrics else []),
        ],
        middleware=[Middleware(CanonicalPaths)],
        exception_handlers=dict(EXCEPTION_HANDLERS),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app
