"""The calls as data: what each takes and answers. ``openapi`` describes them, and the tests hold every answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from api import problems
from api.documents import App, AppList, EventList, Health
from api.problems import Kind
from api.queries import AppsQuery, EmptyQuery, EventsQuery
from specs.app import AppRequest

JSON = "application/json"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
HTML = "text/html; charset=utf-8"

EXAMPLE_ID = "hfxqgkvvqgxxz2cspbfsiqp3"
_MADE, _READY = "2026-11-24T09:44:56.891389Z", "2026-11-24T09:44:57.934092Z"
_CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Available",
    "message": "The database accepts connections.",
    "last_transition_time": _READY,
    "observed_generation": 1,
}
_SUMMARY: Mapping[str, Any] = {
    "app_id": EXAMPLE_ID,
    "app_name": "My first app",
    "region": "aws-us-east-1",
    "pg_version": 17,
    "compute": {"min_cu": 0.25, "max_cu": 2.0, "suspend_seconds": 300},
    "history_retention_seconds": 21600,
    "quota": {},
    "status": "ready",
    "generation": 1,
    "observed_generation": 1,
    "conditions": [_CONDITION],
    "created_at": _MADE,
    "updated_at": _READY,
    "recoverable_until": None,
}
_NO_URI = {"morphik_uri": None, "pooled_uri": None}
_LOGIN, _REGION = "app_k3v5q2mzt4dpa7ye_1:npg_…", "us-east-1.aws.neon.tech:5432"
_QUERY = "sslmode=require&channel_binding=require"
_URI = {
    "morphik_uri": f"morphik://{_LOGIN}@ep-cool-river-a1b2c3d4.{_REGION}/app?{_QUERY}",
    "pooled_uri": f"morphik://{_LOGIN}@ep-cool-river-a1b2c3d4-pooler.{_REGION}/app?{_QUERY}",
}
_WAITING = _CONDITION | {
    "status": "False",
    "reason": "Waiting",
    "message": "Waiting for a reconciler to take the app up; nothing is to be done.",
    "last_transition_time": _MADE,
    "observed_generation": 0,
}
_PENDING = {"status": "pending", "observed_generation": 0, "conditions": [_WAITING], "updated_at": _MADE}
_DELETING = _CONDITION | {
    "status": "False",
    "reason": "DeleteRequested",
    "message": "The app's deletion was asked for; its project is being deleted.",
}
_GONE = _DELETING | {"reason": "Deleted", "message": "Neon has deleted the project."}
_EVENT = {
    "event_id": "1",
    "at": _MADE,
    "type": "Created",
    "reason": "Requested",
    "message": "the app was asked for",
    "actor": "alice",
    "generation": 1,
    "request_id": "0c9f3f2a8d5e4b1f9a7c6d2e1b0f8a34",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One kind of answer that is not a problem.

    Attributes:
        means: what it says.
        model: its document; None for one that is no JSON.
        example: such a document.
        headers: the headers that it has beside those of every answer.
        media_type: of its body.
    """

    means: str
    model: type[BaseModel] | None = None
    example: Mapping[str, Any] | None = None
    headers: tuple[str, ...] = ()
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    Attributes:
        permissions: of which a token must have one, the least first; None for a call without a token.
        app_token: whether a token for one app may make the call; the call then reaches that app alone.
        query: its parameters.
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
        "With `Idempotency-Key` (1 to 255 visible ASCII characters, new for each request) the same key and body get "
        "the same app also after its name was used anew; the same key with another body is a 422. A key is kept for "
        "24 hours, and at most 1000 of an owner: a new one beyond them is a 429. "
        "A token with `app_id` creates nothing: 403.",
        {
            201: Answer("The app is asked for.", App, {**_SUMMARY, **_PENDING, **_NO_URI}, ("Location", *_WAITED)),
            200: Answer("The same request came before.", App, {**_SUMMARY, **_URI}, ("Location", *_WAITED)),
        },
        permissions=_WRITE,
        app_token=False,
        body=AppRequest,
        headers=("Prefer",),
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
        {200: Answer("A page of apps.", AppList, {"apps": [_SUMMARY], "next_cursor": None})},
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
        {200: Answer("The app.", App, {**_SUMMARY, **_URI}, _WAITED)},
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
            202: Answer(
                "Neon is deleting the database.",
                App,
                {**_SUMMARY, "status": "deleting", "generation": 2, "conditions": [_DELETING], **_NO_URI},
                _WAITED,
            ),
            200: Answer(
                "The database is gone.",
                App,
                {
                    **_SUMMARY,
                    "status": "deleted",
                    "generation": 2,
                    "observed_generation": 2,
                    "conditions": [_GONE],
                    "recoverable_until": "2026-12-01T09:50:00Z",
                    **_NO_URI,
                },
                _WAITED,
            ),
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
        {200: Answer("A page of the history.", EventList, {"events": [_EVENT], "next_cursor": None})},
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
        {200: Answer("It does.", Health, {"status": "ok"})},
    ),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        "Can it work?",
        "The catalog answers, and its schema is current. ``stopped`` says so while nothing is changed at Neon.",
        {200: Answer("It can.", Health, {"status": "ready"})},
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
        {200: Answer("The page.", media_type=HTML)},
    ),
)
