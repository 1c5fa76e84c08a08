"""The routes: what each call does to the catalog, and nothing about how an app comes to be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.bodies import field_problem, limit_of, parse_object, query_values, require_json
from api.context import ApiContext
from api.documents import app_document, event_document, summary_document
from api.guard import Guard
from api.nudge import Nudge
from api.problems import FieldError, ProblemError, app_not_found, invalid_fields, unavailable
from api.provisioning import InvalidAppRequest, Provisioner
from api.waiting import Waiting, is_settled, wait_seconds
from reconciler.catalog.migrate import schema_is_current
from specs.app import AppName, AppRequest
from specs.metadata import AppMetadata
from specs.names import is_app_id
from specs.status import AppStatus

_BODY_SECONDS = 20.0
_READY_SECONDS = 3.0
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
Call = Callable[[Request], Awaitable[Response]]
_NAME: TypeAdapter[str] = TypeAdapter(AppName)


class Routes:
    """The calls, bound to what they use."""

    def __init__(self, context: ApiContext, waiting: Waiting, nudge: Nudge) -> None:
        self._context = context
        self._catalog = context.catalog
        self._waiting = waiting
        self._nudge = nudge
        self._guard = Guard(context.tokens, context.http)
        self._provisioner = Provisioner(
            context.catalog,
            context.plane,
            max_apps_per_owner=context.http.max_apps_per_owner,
            new_app_id=context.new_app_id,
            nudge=nudge,
        )

    def table(self) -> list[Route]:
        """Path, method and call."""
        return [
            _route("/ee/apps", GET=self.list_apps, POST=self.create_app),
            _route("/ee/apps/{app_id}", GET=self.get_app, DELETE=self.delete_app),
            _route("/ee/apps/{app_id}/events", GET=self.list_events),
            _route("/healthz", GET=self.healthz),
            _route("/readyz", GET=self.readyz),
        ]

    async def create_app(self, request: Request) -> JSONResponse:
        """POST /ee/apps: write the desired row, nothing else."""
        principal = await self._guard.admit(request, "write")
        query_values(request.query_params, ())
        key = _idempotency_key(request)
        wanted = await _read_app_request(request)
        try:
            created = await self._provisioner.create(
                principal.owner_id, wanted, idempotency_key=key, request_id=_request_id(request)
            )
        except InvalidAppRequest as error:
            raise invalid_fields(FieldError(error.field, error.reason)) from None
        app, headers = await self._waited(request, created.app)
        headers["Location"] = f"/ee/apps/{app.app_id}"
        return JSONResponse(
            app_document(app, self._context.sealer), status_code=201 if created.created else 200, headers=headers
        )

    async def list_apps(self, request: Request) -> JSONResponse:
        """GET /ee/apps: the caller's apps, without URIs."""
        principal = await self._guard.admit(request, "write", "read")
        values = query_values(request.query_params, ("status", "name", "limit", "cursor"))
        page = await self._catalog.list(
            principal.owner_id,
            status=_status(values.get("status")),
            name=_name(values.get("name")),
            limit=limit_of(values),
            cursor=values.get("cursor"),
        )
        return JSONResponse({"apps": [summary_document(app) for app in page.apps], "next_cursor": page.next_cursor})

    async def get_app(self, request: Request) -> JSONResponse:
        """GET /ee/apps/{app_id}: one app; its URIs for a token with ``write``."""
        principal = await self._guard.admit(request, "write", "read")
        query_values(request.query_params, ())
        app = await self._catalog.get(principal.owner_id, _app_id(request))
        if app is None:
            raise app_not_found()
        app, headers = await self._waited(request, app)
        sealer = self._context.sealer if "write" in principal.permissions else None
        return JSONResponse(app_document(app, sealer), headers=headers)

    async def delete_app(self, request: Request) -> JSONResponse:
        """DELETE /ee/apps/{app_id}: mark the row for deletion."""
        principal = await self._guard.admit(request, "write")
        query_values(request.query_params, ())
        app = await self._catalog.request_delete(principal.owner_id, _app_id(request), _request_id(request))
        if app is None:
            raise app_not_found()
        self._nudge()
        app, headers = await self._waited(request, app)
        done = app.status is AppStatus.DELETED
        return JSONResponse(app_document(app, None), status_code=200 if done else 202, headers=headers)

    async def list_events(self, request: Request) -> JSONResponse:
        """GET /ee/apps/{app_id}/events: the app's history, newest first."""
        principal = await self._guard.admit(request, "write", "read")
        values = query_values(request.query_params, ("limit", "cursor"))
        page = await self._catalog.events(
            principal.owner_id, _app_id(request), limit=limit_of(values), cursor=values.get("cursor")
        )
        if page is None:
            raise app_not_found()
        events = [event_document(event) for event in page.events]
        return JSONResponse({"events": events, "next_cursor": page.next_cursor})

    async def healthz(self, _request: Request) -> JSONResponse:
        """GET /healthz: this process serves."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> JSONResponse:
        """GET /readyz: the catalog answers, and its schema is current."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                current = await schema_is_current(self._context.database)
        except TimeoutError:
            raise unavailable("The catalog does not answer.") from None
        if not current:
            raise unavailable("The catalog's schema is not current; run morphik-apps migrate.")
        return JSONResponse({"status": "ready"})

    async def _waited(self, request: Request, app: AppMetadata) -> tuple[AppMetadata, dict[str, str]]:
        """The app after as much waiting as the client prefers, and the header that says so."""
        seconds = wait_seconds(request.headers.getlist("prefer"))
        if seconds is None:
            return app, {}
        headers = {"Preference-Applied": f"wait={seconds}"}
        if is_settled(app):
            return app, headers
        await self._waiting.until_settled(app.app_id, seconds)
        return await self._catalog.get(app.owner_id, app.app_id) or app, headers


def _route(path: str, **calls: Call) -> Route:
    """One route for all methods of a path, so that a 405 names all of them; HEAD is GET."""

    async def endpoint(request: Request) -> Response:
        return await calls["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, endpoint, methods=[*calls])


async def _read_app_request(request: Request) -> AppRequest:
    require_json(request.headers)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.body()
    except TimeoutError:
        raise ProblemError("body-too-slow", 408, "The body did not arrive", "Send it in one go.") from None
    try:
        return AppRequest.model_validate(parse_object(body))
    except ValidationError as error:
        raise field_problem(error) from None


def _request_id(request: Request) -> str:
    return cast("str", request.state.request_id)


def _app_id(request: Request) -> str:
    app_id: Any = request.path_params["app_id"]
    if not is_app_id(app_id):
        raise app_not_found()
    return cast("str", app_id)


def _idempotency_key(request: Request) -> str | None:
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise ProblemError(
            "invalid-idempotency-key",
            400,
            "The Idempotency-Key is not valid",
            "Send one, of 1 to 255 visible ASCII characters.",
        )
    return values[0]


def _status(text: str | None) -> AppStatus | None:
    try:
        return AppStatus(text) if text is not None else None
    except ValueError:
        raise invalid_fields(FieldError("status", f"must be one of {', '.join(AppStatus)}")) from None


def _name(text: str | None) -> str | None:
    try:
        return _NAME.validate_python(text) if text is not None else None
    except ValidationError:
        raise invalid_fields(FieldError("name", "must be 1 to 100 printable characters")) from None
