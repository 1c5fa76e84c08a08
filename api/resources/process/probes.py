"""Probes, and the application that serves them for a daemon without an API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.http.canonical_paths import CanonicalPaths
from api.metrics import MetricsEndpoint
from api.problems import EXCEPTION_HANDLERS, unavailable
from api.resources.process.schemas import Health
from reconciler.catalog.database import Database
from reconciler.catalog.identity import CatalogIdentityStore
from reconciler.catalog.migrate import schema_is_current

READINESS_TIMEOUT_SECONDS: Final = 3.0


async def healthz(_request: Request) -> Response:
    """GET /healthz: the process serves."""
    return Health(status="ok").to_response()


async def check_readiness(database: Database) -> Response:
    """GET /readyz: the catalog is available and its schema current; raises a 503 otherwise.

    Suspended mutations do not make the process unready, since everything else works; the response names the remedy.
    """
    try:
        async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
            current = await schema_is_current(database)
            command = await CatalogIdentityStore(database).resume_command() if current else None
    except TimeoutError:
        raise unavailable("The catalog does not respond.") from None
    if not current:
        raise unavailable("The catalog's schema is not current; run morphik-apps migrate.")
    if command is not None:
        stopped = f"Mutations at Neon are suspended. Operator action required: {command}"
        return Health(status="ready", stopped=stopped).to_response()
    return Health(status="ready").to_response()


def create_probe_app(database: Database, metrics: MetricsEndpoint, *, with_metrics: bool) -> Starlette:
    """Return an application that serves only the probes.

    Args:
        database: the catalog; the application opens and closes it.
        metrics: the metrics of the process; the application closes them.
        with_metrics: whether ``/metrics`` is served too.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.open()
        try:
            yield
        finally:
            await metrics.close()
            await database.close()

    async def readyz(_request: Request) -> Response:
        return await check_readiness(database)

    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *([Route("/metrics", metrics.respond)] if with_metrics else []),
        ],
        middleware=[Middleware(CanonicalPaths)],
        exception_handlers=dict(EXCEPTION_HANDLERS),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app
