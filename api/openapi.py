"""The OpenAPI 3.1 document, built from the models that validate requests and the operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.documents import Problem
from api.examples.problems import problem_example
from api.examples.responses import APP_ID
from api.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from api.operations import OPERATIONS, Operation, ResponseSpec
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
    ProblemResponse,
)
from api.queries import AppsQuery
from specs.app import AppRequest
from specs.names import APP_ID_PATTERN

Document = dict[str, Any]
_SCHEMAS = "#/components/schemas/{model}"

_TAGS = {
    "apps": "Apps and their history. Each request needs a token and reaches the apps of its owner alone.",
    "process": "The process itself: probes, metrics and this document. No request needs an owner's token.",
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


def build_openapi(regions: Sequence[str]) -> Document:
    """The document of an API whose apps may be in these regions."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Morphik Apps",
            "version": version("morphik-apps"),
            "summary": "A Neon Postgres of its own for every app.",
            "description": "A client creates an app and reads it until it is `ready`; its `morphik_uri` then connects "
            "to a Postgres of its own. Errors are problems (RFC 9457) whose `detail` is the action to take.",
            "contact": {"name": "Morphik"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The server that sent this document."}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": _paths(regions[0]),
        "components": {
            "schemas": _schemas(regions),
            "headers": dict(RESPONSE_HEADERS),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`user_id` (else `entity_id`, else `sub`) owns the apps, `permissions` contains "
                    "`read` and `write`, and `exp` is required. A token with `app_id` reaches that app alone and "
                    "creates no app. An operator can require a minimum `token_version` of an owner's tokens.",
                }
            },
        },
    }


def _paths(region: str) -> Document:
    paths: Document = {}
    for operation in OPERATIONS:
        path = paths.setdefault(operation.path, {})
        path[operation.method.lower()] = _operation(operation, region)
    return paths


def _operation(operation: Operation, region: str) -> Document:
    described: Document = {
        "operationId": operation.name,
        "tags": ["apps" if operation.permissions else "process"],
        "summary": operation.summary,
        "description": " ".join([operation.description, *_token(operation)]),
        "parameters": [*_parameters(operation)],
        "responses": _responses(operation, region),
        "security": [] if operation.permissions is None else [{"token": []}],
    }
    if operation.body is not None:
        content: Document = {"schema": _reference(operation.body)}
        if operation.body_example is not None:
            content["example"] = operation.body_example(region).model_dump(mode="json")
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _token(operation: Operation) -> Iterable[str]:
    """Sentences about the permissions of the token."""
    if operation.permissions:
        yield f"The token needs {' or '.join(f'`{name}`' for name in operation.permissions)}."
        if not operation.app_token:
            yield "A token with `app_id` is a 403."


def _parameters(operation: Operation) -> Iterable[Document]:
    if "{app_id}" in operation.path:
        yield {
            "name": "app_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{APP_ID_PATTERN}$"},
            "example": APP_ID,
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
        yield {"name": name, "in": "header", **REQUEST_HEADERS[name]}


def _responses(operation: Operation, region: str) -> Document:
    responses = {str(status): _response(operation, spec, region) for status, spec in operation.responses.items()}
    kinds: dict[int, list[Kind]] = {}
    for kind in dict.fromkeys((*operation.problems, *_ANYWHERE)):
        kinds.setdefault(kind.status, []).append(kind)
    return responses | {str(status): _problem(operation, status, kinds[status]) for status in sorted(kinds)}


def _response(operation: Operation, spec: ResponseSpec, region: str) -> Document:
    content: Document = {"schema": {"type": "string"}}
    if spec.model is not None:
        content = {"schema": _reference(spec.model)}
    elif spec.media_type == "application/json":
        content = {"schema": {"type": "object"}}
    if spec.example is not None:
        content["example"] = json.loads(bytes(spec.example(region).to_response().body))
    return {
        "description": spec.description,
        "headers": _headers(operation, spec.headers),
        "content": {spec.media_type: content},
    }


def _problem(operation: Operation, status: int, kinds: Sequence[Kind]) -> Document:
    """All kinds with one status. Their types stand in the examples: a schema of them has no name in a client."""
    examples = {
        kind.slug: {
            "summary": kind.title,
            "value": json.loads(bytes(problem_example(operation, kind).response().body)),
        }
        for kind in kinds
    }
    return {
        "description": "; ".join(f"{kind.title} (`{kind.type}`)" for kind in kinds),
        "headers": _headers(operation, ("Cache-Control", *_HEADERS_OF_STATUS.get(status, ()))),
        "content": {ProblemResponse.media_type: {"schema": _reference(Problem), "examples": examples}},
    }


def _headers(operation: Operation, names: Iterable[str]) -> Document:
    private = ("Cache-Control",) if operation.path.startswith("/ee") else ()
    declared = ("X-Request-ID", "X-Content-Type-Options", *private, *names)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in declared}


def _reference(model: type[BaseModel]) -> Document:
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def _schemas(regions: Sequence[str]) -> Document:
    models_sent = {spec.model for operation in OPERATIONS for spec in operation.responses.values() if spec.model}
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (AppRequest, "validation"),
        (AppsQuery, "validation"),
        (Problem, "serialization"),
    ]
    models += [(model, "serialization") for model in sorted(models_sent, key=lambda model: model.__name__)]
    _, described = models_json_schema(models, ref_template=_SCHEMAS)
    schemas: Document = described["$defs"]
    del schemas[AppsQuery.__name__]
    for schema in schemas.values():
        # The rest of a docstring is about Python; each field has a description of its own.
        schema["description"] = schema.get("description", "").split("\n\n")[0]
        for member in schema.get("properties", {}).values():
            # The server neither assumes nor sends the Python default of an absent member.
            member.pop("default", None)
    schemas[AppRequest.__name__]["properties"]["region"]["anyOf"][0]["enum"] = [*regions]
    return schemas
