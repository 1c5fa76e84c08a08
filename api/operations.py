"""The calls as data: what each takes and answers. ``openapi`` describes them, and the tests hold every answer to it."""

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
class Answer:
    """One kind of answer that is not a problem.

    Attributes:
        means: what it says.
        model: its document; None for one without a schema.
        example: builds such a document.
        headers: the headers that it has beside those of every answer.
        media_type: of its body.
    """

    means: str
    model: type[BaseModel] | None = None
    example: Example | None = None
    headers: tuple[str, ...] = ()
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    Attributes:
        permissions: of which a token must have one, the least first; None for a call without a token.
        app_token: whether a token for one app may make the call; the call then reaches that app alone.
        query: its parameters.
        body: the model of its body; None for a call without one.
        body_example: builds such a body.
        headers: what it understands beside ``X-Request-ID``.
        answers: by status.
        problems: what can go wrong, beside what can at every call.
    """

    name: str
    method: str
    path: str
    summary: str
    description: str
    answers: Mapping[int, Answer]
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
        "Ask for an app",
        "Writes what is wanted, and nothing else; a reconciler makes the database. The same request again is answered "
        "with the same app: the fields that a request gives are compared with the app of that name, and a field that "
        "it leaves out is not. With `Prefer: wait=N` one call is enough: it comes back when the app is ready. "
        "With `Idempotency-Key` the same request gets the same app also after its name was reused. An owner has at "
        f"most {MAX_KEYS} keys: a new one beyond them is a 429.",
        {
            201: Answer("The app is asked for.", App, examples.pending_app, ("Location", *_WAITED)),
            200: Answer("The same request came before.", App, examples.ready_app, ("Location", *_WAITED)),
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
        "The caller's apps, newest first, without their URIs; for a token with `app_id` that app alone.",
        {200: Answer("A page of apps.", AppList, examples.app_list)},
        permissions=_READ,
        query=AppsQuery,
        problems=_CALLER,
    ),
    Operation(
        "getApp",
        "GET",
        "/ee/apps/{app_id}",
        "Read an app",
        "One app; its URIs for a token with `write`, once the database has been connected to.",
        {200: Answer("The app.", App, examples.ready_app, _WAITED)},
        permissions=_READ,
        headers=("Prefer",),
        problems=_OF_AN_APP,
    ),
    Operation(
        "deleteApp",
        "DELETE",
        "/ee/apps/{app_id}",
        "Delete an app",
        "Marks the app for deletion. From then on no URI is served, and its name is free. The app itself can be read "
        "as `deleted` until its tombstone ends.",
        {
            202: Answer("Neon is deleting the database.", App, examples.deleting_app, _WAITED),
            200: Answer("The database is gone.", App, examples.deleted_app, _WAITED),
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
        "What was asked for and what was done, newest first.",
        {200: Answer("A page of the history.", EventList, examples.event_list)},
        permissions=_READ,
        query=EventsQuery,
        problems=_OF_AN_APP,
    ),
    Operation(
        "healthz",
        "GET",
        "/healthz",
        "Is the process alive?",
        "The process serves, whatever the catalog does.",
        {200: Answer("It does.", Health, examples.alive)},
    ),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        "Can it work?",
        "The catalog answers, and its schema is current. ``stopped`` says so while nothing is changed at Neon.",
        {200: Answer("It can.", Health, examples.operational)},
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "What it measures",
        "Figures of this process and of the catalog, for Prometheus, at most a second old. Where ``METRICS_TOKEN`` is "
        "set, that token is required: ``Authorization: Bearer``. Where ``METRICS_PORT`` is set, they are on that port.",
        {200: Answer("Prometheus's text format.", media_type=TEXT)},
        problems=(problems.UNAUTHORIZED, problems.NOT_FOUND),
    ),
    Operation(
        "openapi",
        "GET",
        "/openapi.json",
        "This description",
        "OpenAPI 3.1, made from the models that validate.",
        {200: Answer("The description.")},
    ),
    Operation(
        "docs",
        "GET",
        "/docs",
        "This description, for people",
        "One page that asks no other host for anything.",
        {200: Answer("The page.", headers=tuple(docs.HEADERS), media_type=HTML)},
    ),
)
