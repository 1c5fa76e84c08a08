"""The operations as data: routes, permissions, parameters, bodies and responses.

The router and the OpenAPI document derive from them, and the tests compare every response with the document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from api import docs, problems
from api.documents import App, AppList, EventList, Health
from api.examples import responses as examples
from api.examples.responses import Example
from api.problems import Kind
from api.queries import AppsQuery, EmptyQuery, EventsQuery
from reconciler.catalog.limits import MAX_KEYS
from specs.app import AppRequest

JSON = "application/json"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """One response that is not a problem.

    Attributes:
        description: its meaning.
        model: of its body; None for a body without a schema.
        example: builds such a body.
        headers: in addition to those of every response.
        media_type: of its body.
    """

    description: str
    model: type[BaseModel] | None = None
    example: Example | None = None
    headers: tuple[str, ...] = ()
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        responses: by status; problems are not among them.
        permissions: a token must have one of them, the least first; None where no token is needed.
        app_token: whether a token for one app is allowed; the request then reaches that app alone.
        query: the model of its query parameters.
        body: the model of its body; None for a request without one.
        body_example: builds such a body.
        headers: that it reads, in addition to ``X-Request-ID``.
        problems: in addition to those of every operation.
    """

    name: str
    method: str
    path: str
    summary: str
    description: str
    responses: Mapping[int, ResponseSpec]
    permissions: tuple[str, ...] | None = None
    app_token: bool = True
    query: type[EmptyQuery] = EmptyQuery
    body: type[BaseModel] | None = None
    body_example: Callable[[str], BaseModel] | None = None
    headers: tuple[str, ...] = ()
    problems: tuple[Kind, ...] = field(default=())


_CALLER = (problems.UNAUTHORIZED, problems.FORBIDDEN, problems.INVALID_REQUEST, problems.TOO_MANY_REQUESTS)
_OF_AN_APP = (*_CALLER, problems.APP_NOT_FOUND, problems.NOT_FOUND)
_READ, _WRITE = ("read", "write"), ("write",)
_WAITED = ("Preference-Applied",)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "createApp",
        "POST",
        "/ee/apps",
        "Create an app",
        "Records the desired state; a reconciler then creates the database. A repeated request returns the same app: "
        "the fields of the request are compared with the app of that name, and absent fields are not compared. With "
        "`Prefer: wait=N` the response is delayed until the app is ready. With `Idempotency-Key` a repeated request "
        f"returns the same app even after its name was reused. An owner has at most {MAX_KEYS} keys; one more is a "
        "429.",
        {
            201: ResponseSpec(
                "The app is created; its database is pending.", App, examples.pending_app, ("Location", *_WAITED)
            ),
            200: ResponseSpec("The app of an earlier request.", App, examples.ready_app, ("Location", *_WAITED)),
        },
        permissions=_WRITE,
        app_token=False,
        body=AppRequest,
        body_example=examples.app_request,
        headers=("Idempotency-Key", "Prefer"),
        problems=(
            *_CALLER,
            problems.MALFORMED_BODY,
            problems.INVALID_IDEMPOTENCY_KEY,
            problems.NAME_TAKEN,
            problems.APP_LIMIT_REACHED,
            problems.CREATE_LIMIT_REACHED,
            problems.KEY_LIMIT_REACHED,
        ),
    ),
    Operation(
        "listApps",
        "GET",
        "/ee/apps",
        "List apps",
        "The owner's apps without their URIs, newest first. A token with `app_id` lists that app alone.",
        {200: ResponseSpec("A page of apps.", AppList, examples.app_list)},
        permissions=_READ,
        query=AppsQuery,
        problems=_CALLER,
    ),
    Operation(
        "getApp",
        "GET",
        "/ee/apps/{app_id}",
        "Read an app",
        "A token with `write` gets the app's URIs after the reconciler has connected to the database.",
        {200: ResponseSpec("The app.", App, examples.ready_app, _WAITED)},
        permissions=_READ,
        headers=("Prefer",),
        problems=_OF_AN_APP,
    ),
    Operation(
        "deleteApp",
        "DELETE",
        "/ee/apps/{app_id}",
        "Delete an app",
        "Requests the deletion. From then on the app has no URI, and its name is free. A deleted app can be read until "
        "its tombstone expires.",
        {
            202: ResponseSpec("Neon is deleting the database.", App, examples.deleting_app, _WAITED),
            200: ResponseSpec("The database is deleted.", App, examples.deleted_app, _WAITED),
        },
        permissions=_WRITE,
        headers=("Prefer",),
        problems=_OF_AN_APP,
    ),
    Operation(
        "listEvents",
        "GET",
        "/ee/apps/{app_id}/events",
        "Read an app's history",
        "Requests and the reconciler's actions, newest first.",
        {200: ResponseSpec("A page of the history.", EventList, examples.event_list)},
        permissions=_READ,
        query=EventsQuery,
        problems=_OF_AN_APP,
    ),
    Operation(
        "healthz",
        "GET",
        "/healthz",
        "Check liveness",
        "Reports that the process serves, independent of the catalog.",
        {200: ResponseSpec("The process serves.", Health, examples.alive)},
    ),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        "Check readiness",
        "Reports that the catalog is available and its schema is current. `stopped` is present while mutations are "
        "suspended.",
        {200: ResponseSpec("The process can serve the API.", Health, examples.operational)},
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "Read the metrics",
        "Metrics of this process and of the catalog for Prometheus, at most one second old. With `METRICS_TOKEN` the "
        "request needs `Authorization: Bearer` with that token. With `METRICS_PORT` the metrics are on that port.",
        {200: ResponseSpec("Prometheus's text format.", media_type=TEXT)},
        problems=(problems.UNAUTHORIZED, problems.NOT_FOUND),
    ),
    Operation(
        "openapi",
        "GET",
        "/openapi.json",
        "Read the OpenAPI document",
        "OpenAPI 3.1, generated from the models that validate requests.",
        {200: ResponseSpec("The OpenAPI document.")},
    ),
    Operation(
        "docs",
        "GET",
        "/docs",
        "Read the reference",
        "The OpenAPI document as one page that loads nothing from other hosts.",
        {200: ResponseSpec("The page.", headers=tuple(docs.HEADERS), media_type=HTML)},
    ),
)
