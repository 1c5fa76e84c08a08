"""The endpoints of the process itself. None needs an owner's token."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import HTMLResponse, Response

from api import problems
from api.endpoint import JSON, AnyEndpoint, Call, Endpoint, ResponseSpec
from api.http import docs_page
from api.http.query_params import EmptyQuery
from api.resources.process import probes
from api.resources.process.schemas import Health, alive, operational

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
METRICS: Final = "metrics"
"""The name of the endpoint that METRICS_PORT moves to a port of its own."""


async def healthz(call: Call[Any, Any]) -> Response:
    """Report that the process serves."""
    return await probes.healthz(call.request)


async def readyz(call: Call[Any, Any]) -> Response:
    """Report that the catalog is available and its schema current."""
    return await probes.check_readiness(call.services.database)


async def metrics(call: Call[Any, Any]) -> Response:
    """Return the metrics as text."""
    return await call.services.metrics.respond(call.request)


async def openapi(call: Call[Any, Any]) -> Response:
    """Return the OpenAPI document."""
    return Response(call.services.openapi, media_type=JSON)


async def docs(call: Call[Any, Any]) -> Response:
    """Return the reference page."""
    return HTMLResponse(call.services.docs, headers=docs_page.HEADERS)


def _get(path: str, handler: Any, summary: str, description: str, response: ResponseSpec, **more: Any) -> AnyEndpoint:
    return Endpoint(
        name=handler.__name__,
        tag="process",
        method="GET",
        path=path,
        summary=summary,
        description=description,
        responses={200: response},
        handler=handler,
        query=EmptyQuery,
        **more,
    )


ENDPOINTS: Final[tuple[AnyEndpoint, ...]] = (
    _get(
        "/healthz",
        healthz,
        "Check liveness",
        "Reports that the process serves, independent of the catalog.",
        ResponseSpec("The process serves.", Health, alive),
    ),
    _get(
        "/readyz",
        readyz,
        "Check readiness",
        "Reports that the catalog is available and its schema is current. `stopped` is present while mutations are "
        "suspended.",
        ResponseSpec("The process can serve the API.", Health, operational),
    ),
    _get(
        "/metrics",
        metrics,
        "Read the metrics",
        "Metrics of this process and of the catalog for Prometheus, at most one second old. With `METRICS_TOKEN` the "
        "request needs `Authorization: Bearer` with that token. With `METRICS_PORT` the metrics are on that port.",
        ResponseSpec("Prometheus's text format.", media_type=TEXT),
        problems=(problems.UNAUTHORIZED, problems.NOT_FOUND),
    ),
    _get(
        "/openapi.json",
        openapi,
        "Read the OpenAPI document",
        "OpenAPI 3.1, generated from the models that validate requests.",
        ResponseSpec("The OpenAPI document."),
    ),
    _get(
        "/docs",
        docs,
        "Read the reference",
        "The OpenAPI document as one page that loads nothing from other hosts.",
        ResponseSpec("The page.", headers=tuple(docs_page.HEADERS), media_type=HTML),
    ),
)
