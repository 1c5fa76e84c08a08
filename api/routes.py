"""The routes: what each call does to the catalog, and nothing about how an app comes to be."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from api import docs
from api.auth.tokens import Principal
from api.bodies import field_problem, parse_object, require_json
from api.context import ApiContext
from api.documents import AppList, EventList, app_document, app_summary, event_document
from api.guard import Guard
from api.headers import IDEMPOTENCY_KEY_PATTERN
from api.nudge import WakeupNotifier
from api.openapi import build_openapi
from api.operations import OPERATIONS
from api.probes import healthz, ready
from api.problems import FieldError, app_not_found, invalid_fields, invalid_idempotency_key
from api.provisioning import AppCreator, InvalidAppRequest, owner_limits
from api.queries import AppsQuery, EmptyQuery, EventsQuery, read_query
from api.waiting import Waiting, is_settled, wait_seconds
from specs.app import AppRequest
from specs.metadata import AppMetadata
from specs.names import is_app_id
from specs.status import AppStatus

_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)
Call = Callable[[Request], Awaitable[Response]]
AuthorizedCall = Callable[[Request, Principal], Awaitable[Response]]


class Routes:
    """The calls, bound to what they use."""

    def __init__(self, context: ApiContext, waiting: Waiting, nudge: WakeupNotifier) -> None:
        self._context = context
        self._catalog = context.catalog
        self._waiting = waiting
        self._nudge = nudge
        self._guard = Guard(context.tokens, context.revocations, context.http)
        self._provisioner = AppCreator(
            context.catalog,
            context.plane,
            limits=owner_limits(context.http),
            new_app_id=context.new_app_id,
            nudge=nudge,
        )
        described = build_openapi(context.plane.neon_regions)
        self._openapi, self._docs = json.dumps(described), docs.page(described)

    def table(self) -> list[Route]:
        """One route for each path of ``OPERATIONS``, ``/metrics`` aside, which can be on a port of its own."""
        calls: dict[str, Call] = {
            "openapi": self.openapi,
            "docs": self.docs,
            "healthz": healthz,
            "readyz": self.readyz,
        }
        authorized: dict[str, AuthorizedCall] = {
            "createApp": self.create_app,
            "listApps": self.list_apps,
            "getApp": self.get_app,
            "deleteApp": self.delete_app,
            "listEvents": self.list_events,
        }
        paths: dict[str, dict[str, Call]] = {}
        for operation in OPERATIONS:
            if operation.name == "metrics":
                continue
            if operation.permissions is None:
                call = calls[operation.name]
            else:
                call = self._authorized(
                    authorized[operation.name], operation.permissions, app_token=operation.app_token
                )
            paths.setdefault(operation.path, {})[operation.method] = call
        return [_route(path, **methods) for path, methods in paths.items()]

    def _authorized(self, call: AuthorizedCall, permissions: tuple[str, ...], *, app_token: bool) -> Call:
        """The call, for callers whose token allows it."""

        async def checked(request: Request) -> Response:
            return await call(request, await self._guard.admit(request, *permissions, app_token=app_token))

        return checked

    async def create_app(self, request: Request, principal: Principal) -> Response:
        """POST /ee/apps: write the desired row, nothing else."""
        read_query(request.query_params, EmptyQuery)
        key = _idempotency_key(request)
        wanted = await _read_app_request(request)
        try:
            created = await self._provisioner.create(
                principal.owner_id, wanted, idempotency_key=key, request_id=_request_id(request)
            )
        except InvalidAppRequest as error:
            raise invalid_fields(FieldError(error.field, error.reason)) from None
        app, headers = await self._waited(request, principal, created.app)
        headers["Location"] = f"/ee/apps/{app.app_id}"
        return app_document(app, self._context.sealer).to_response(201 if created.created else 200, headers)

    async def list_apps(self, request: Request, principal: Principal) -> Response:
        """GET /ee/apps: the apps that the token reaches, without URIs."""
        asked = read_query(request.query_params, AppsQuery)
        page = await self._catalog.list(
            principal.owner_id,
            status=asked.status,
            name=asked.name,
            limit=asked.limit,
            cursor=asked.cursor,
            only_app=principal.app_id,
        )
        return AppList(apps=tuple(map(app_summary, page.apps)), next_cursor=page.next_cursor).to_response()

    async def get_app(self, request: Request, principal: Principal) -> Response:
        """GET /ee/apps/{app_id}: one app; its URIs for a token with ``write``."""
        read_query(request.query_params, EmptyQuery)
        app = await self._catalog.get(principal.owner_id, _app_id(request, principal))
        if app is None:
            raise app_not_found()
        app, headers = await self._waited(request, principal, app)
        sealer = self._context.sealer if "write" in principal.permissions else None
        return app_document(app, sealer).to_response(headers=headers)

    async def delete_app(self, request: Request, principal: Principal) -> Response:
        """DELETE /ee/apps/{app_id}: mark the row for deletion."""
        read_query(request.query_params, EmptyQuery)
        app_id = _app_id(request, principal)
        app = await self._catalog.request_delete(principal.owner_id, app_id, _request_id(request))
        if app is None:
            raise app_not_found()
        self._nudge()
        app, headers = await self._waited(request, principal, app)
        done = app.status is AppStatus.DELETED
        return app_document(app, None).to_response(200 if done else 202, headers)

    async def list_events(self, request: Request, principal: Principal) -> Response:
        """GET /ee/apps/{app_id}/events: the app's history, newest first."""
        asked = read_query(request.query_params, EventsQuery)
        app_id = _app_id(request, principal)
        page = await self._catalog.events(principal.owner_id, app_id, limit=asked.limit, cursor=asked.cursor)
        if page is None:
            raise app_not_found()
        return EventList(events=tuple(map(event_document, page.events)), next_cursor=page.next_cursor).to_response()

    async def openapi(self, _request: Request) -> Response:
        """GET /openapi.json: what this API is."""
        return Response(self._openapi, media_type="application/json")

    async def docs(self, _request: Request) -> Response:
        """GET /docs: the same for people."""
        return HTMLResponse(self._docs, headers=docs.HEADERS)

    async def readyz(self, _request: Request) -> Response:
        """GET /readyz: the catalog answers, and its schema is current."""
        return await ready(self._context.database)

    async def _waited(
        self, request: Request, principal: Principal, app: AppMetadata
    ) -> tuple[AppMetadata, dict[str, str]]:
        """The app after as much waiting as the client prefers, and the header that says so."""
        seconds = wait_seconds(request.headers.getlist("prefer"))
        if seconds is None:
            return app, {}
        headers = {"Preference-Applied": f"wait={seconds}"}
        if is_settled(app):
            return app, headers
        await self._waiting.until_settled(app.app_id, seconds)
        # The answer may hold URIs, and a revocation counts within a minute.
        await self._guard.check_again(principal)
        return await self._catalog.get(app.owner_id, app.app_id) or app, headers


def _route(path: str, **calls: Call) -> Route:
    """One route for all methods of a path, so that a 405 names all of them; HEAD is GET."""

    async def endpoint(request: Request) -> Response:
        return await calls["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, endpoint, methods=[*calls])


async def _read_app_request(request: Request) -> AppRequest:
    require_json(request.headers)
    body = await request.body()
    try:
        return AppRequest.model_validate(parse_object(body))
    except ValidationError as error:
        raise field_problem(error) from None


def _request_id(request: Request) -> str:
    return cast("str", request.state.request_id)


def _app_id(request: Request, principal: Principal) -> str:
    """The app in the path, where the token reaches it; else the same 404 as for an unknown one."""
    app_id: Any = request.path_params["app_id"]
    if not is_app_id(app_id) or principal.app_id not in (None, app_id):
        raise app_not_found()
    return cast("str", app_id)


def _idempotency_key(request: Request) -> str | None:
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise invalid_idempotency_key()
    return values[0]
