"""The routes of declared endpoints: authorization, query, headers, body, then the handler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.endpoint import AnyEndpoint, Call
from api.http.idempotency import read_idempotency_key
from api.http.query_params import read_query
from api.http.request_body import field_problem, parse_object, require_media_type
from api.services import Services


def create_routes(endpoints: Iterable[AnyEndpoint], services: Services) -> list[Route]:
    """Return one route per path. It covers all methods of the path, so that a 405 names all of them."""
    paths: dict[str, dict[str, AnyEndpoint]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [_route(path, methods, services) for path, methods in paths.items()]


def _route(path: str, methods: dict[str, AnyEndpoint], services: Services) -> Route:
    async def handle(request: Request) -> Response:
        # HEAD is GET without its body.
        endpoint = methods["GET" if request.method == "HEAD" else request.method]
        return await endpoint.handler(await _accept(endpoint, request, services))

    return Route(path, handle, methods=[*methods])


async def _accept(endpoint: AnyEndpoint, request: Request, services: Services) -> Call[Any, Any]:
    """Return the call; raises a problem."""
    if endpoint.permissions is None:
        # A probe may carry any query.
        return Call(request, services, None, endpoint.query(), None)
    caller = await services.authorizer.authorize(request, *endpoint.permissions, app_token=endpoint.app_token)
    query = read_query(request.query_params, endpoint.query)
    key = read_idempotency_key(request.headers) if "Idempotency-Key" in endpoint.headers else None
    return Call(request, services, caller, query, await _read_body(endpoint, request), key)


async def _read_body(endpoint: AnyEndpoint, request: Request) -> Any:
    if endpoint.body is None:
        return None
    require_media_type(request.headers, endpoint.media_types)
    try:
        return endpoint.body.model_validate(parse_object(await request.body()))
    except ValidationError as error:
        raise field_problem(error) from None
