"""The API's description: OpenAPI 3.1, made from the models that validate and the table of operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.documents import Problem
from api.operations import EXAMPLE_ID, OPERATIONS, Answer, Operation
from api.problems import (
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    EXPECTATION_FAILED,
    HEAD_TOO_LARGE,
    HEAD_TOO_SLOW,
    INTERNAL_ERROR,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    UNAVAILABLE,
    UNKNOWN_HOST,
    Kind,
)
from api.queries import AppsQuery
from specs.app import AppRequest
from specs.names import APP_ID_PATTERN

Document = dict[str, Any]
_SCHEMAS = "#/components/schemas/{model}"
_PROBLEM_JSON = "application/problem+json"

_REQUEST_HEADERS: Mapping[str, Document] = {
    "Prefer": {
        "description": "`wait=N` (RFC 7240): hold the answer until the app has settled, at most N seconds and at most "
        "60. Every other preference is ignored.",
        "schema": {"type": "string"},
        "example": "wait=0",
    },
    "X-Request-ID": {
        "description": "Letters, digits, `.`, `_` and `-`, at most 128; any other is replaced. The answer and the "
        "app's history carry it.",
        "schema": {"type": "string"},
    },
}
_RESPONSE_HEADERS: Mapping[str, Document] = {
    "X-Request-ID": {
        "description": "Names the request in the app's history and in our logs.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "required": True,
    },
    "Cache-Control": {
        "description": "Nobody may keep the answer.",
        "schema": {"type": "string", "const": "no-store"},
        "required": True,
    },
    "Location": {
        "description": "The app's own address.",
        "schema": {"type": "string", "pattern": f"^/ee/apps/{APP_ID_PATTERN}$"},
        "required": True,
    },
    "Preference-Applied": {
        "description": "That the preference was heard, and the seconds that counted.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {
        "description": "What the token lacks (RFC 6750).",
        "schema": {"type": "string", "pattern": "^Bearer "},
        "required": True,
    },
    "Allow": {"description": "The methods that there are.", "schema": {"type": "string"}, "required": True},
}
_ANYWHERE = (
    METHOD_NOT_ALLOWED,
    MALFORMED_REQUEST,
    UNKNOWN_HOST,
    HEAD_TOO_SLOW,
    BODY_TOO_SLOW,
    BODY_TOO_LARGE,
    EXPECTATION_FAILED,
    HEAD_TOO_LARGE,
    INTERNAL_ERROR,
    UNAVAILABLE,
)
_HEADERS_OF_STATUS = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def describe(regions: Sequence[str]) -> Document:
    """The description of an API whose apps may be in these regions."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Morphik Apps",
            "version": version("morphik-apps"),
            "summary": "A Neon Postgres of its own for every app.",
            "description": "A client asks for an app and reads it until it is `ready`; its `morphik_uri` then connects "
            "to a Postgres of its own. Errors are problems (RFC 9457) whose `detail` says what to do.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(regions),
            "headers": dict(_RESPONSE_HEADERS),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`user_id` (else `entity_id`, else `sub`) owns the apps, `permissions` holds `read` "
                    "and `write`, `exp` is required. A token with `app_id` reaches that app alone and creates nothing. "
                    "An operator can require a least `token_version` of an owner's tokens.",
                }
            },
        },
    }


def _paths() -> Document:
    paths: Document = {}
    for operation in OPERATIONS:
        path = paths.setdefault(operation.path, {})
        path[operation.method.lower()] = _operation(operation)
    return paths


def _operation(operation: Operation) -> Document:
    described: Document = {
        "operationId": operation.name,
        "tags": ["apps" if operation.permissions else "process"],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*_parameters(operation)],
        "responses": _responses(operation),
        "security": [] if operation.permissions is None else [{"token": []}],
    }
    if operation.permissions:
        described["description"] += f" The token needs {' or '.join(f'`{name}`' for name in operation.permissions)}."
    if operation.body is not None:
        example = {"app_name": "My first app", "region": "aws-us-east-1"}
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.body), "example": example}},
        }
    return described


def _parameters(operation: Operation) -> Iterable[Document]:
    if "{app_id}" in operation.path:
        yield {
            "name": "app_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{APP_ID_PATTERN}$"},
            "example": EXAMPLE_ID,
        }
    for name, schema in operation.query.model_json_schema(ref_template=_SCHEMAS).get("properties", {}).items():
        described = {key: value for key, value in schema.items() if key not in ("title", "description", "default")}
        # A parameter that is absent is not null.
        kinds = [kind for kind in described.pop("anyOf", []) if kind.get("type") != "null"]
        for kind in kinds:
            described |= kind
        if schema.get("default") is not None:
            described["default"] = schema["default"]
        yield {"name": name, "in": "query", "description": schema.get("description", ""), "schema": described}
    for name in (*operation.headers, "X-Request-ID"):
        yield {"name": name, "in": "header", **_REQUEST_HEADERS[name]}


def _responses(operation: Operation) -> Document:
    answers = {str(status): _answer(operation, answer) for status, answer in operation.answers.items()}
    kinds: dict[int, list[Kind]] = {}
    for kind in dict.fromkeys((*operation.problems, *_ANYWHERE)):
        kinds.setdefault(kind.status, []).append(kind)
    told = {str(status): _problem(operation, status, kinds[status]) for status in sorted(kinds)}
    return answers | told


def _answer(operation: Operation, answer: Answer) -> Document:
    content: Document = {"schema": {"type": "string"}}
    if answer.model is not None:
        content = {"schema": _reference(answer.model)}
    elif answer.media_type == "application/json":
        content = {"schema": {"type": "object"}}
    if answer.example is not None:
        content["example"] = dict(answer.example)
    return {
        "description": answer.means,
        "headers": _headers(operation, answer.headers),
        "content": {answer.media_type: content},
    }


def _problem(operation: Operation, status: int, kinds: Sequence[Kind]) -> Document:
    example = {"title": kinds[0].title, "type": kinds[0].type, "status": status, "detail": "What to do about it."}
    schema = {
        "allOf": [
            _reference(Problem),
            {"properties": {"type": {"enum": [kind.type for kind in kinds]}, "status": {"const": status}}},
        ]
    }
    return {
        "description": "; ".join(f"{kind.title} (`{kind.type}`)" for kind in kinds),
        "headers": _headers(operation, _HEADERS_OF_STATUS.get(status, ())),
        "content": {_PROBLEM_JSON: {"schema": schema, "example": example}},
    }


def _headers(operation: Operation, names: Iterable[str]) -> Document:
    always = ("X-Request-ID", "Cache-Control") if operation.path.startswith("/ee") else ("X-Request-ID",)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*always, *names)}


def _reference(model: type[BaseModel]) -> Document:
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def _schemas(regions: Sequence[str]) -> Document:
    answers = {answer.model for operation in OPERATIONS for answer in operation.answers.values() if answer.model}
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (AppRequest, "validation"),
        (AppsQuery, "validation"),
        (Problem, "serialization"),
    ]
    models += [(model, "serialization") for model in sorted(answers, key=lambda model: model.__name__)]
    _, described = models_json_schema(models, ref_template=_SCHEMAS)
    schemas: Document = described["$defs"]
    del schemas[AppsQuery.__name__]
    schemas[AppRequest.__name__]["properties"]["region"]["anyOf"][0]["enum"] = [*regions]
    return schemas
