"""The OpenAPI 3.1 document, built from the declared endpoints and their models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.endpoint import AnyEndpoint, ResponseSpec
from api.http.headers import EXAMPLE_APP_ID, REQUEST_HEADERS, RESPONSE_HEADERS
from api.http.response_model import Problem
from api.problem_examples import problem_example
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
    ProblemResponse,
    ProblemType,
)
from specs.app import AppRequest
from specs.names import APP_ID_PATTERN

Document = dict[str, Any]
_SCHEMAS = "#/components/schemas/{model}"

_TAGS = {
    "apps": "Apps and their history. Each request needs a token and reaches the apps of its owner alone.",
    "process": "The process itself: probes, metrics and this document. No request needs an owner's token.",
}
_EVERYWHERE = (
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


def build_openapi(endpoints: Sequence[AnyEndpoint], regions: Sequence[str]) -> Document:
    """Return the document of these endpoints; ``regions`` are those of new apps, the default first."""
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
        "paths": _paths(endpoints, regions[0]),
        "components": {
            "schemas": _schemas(endpoints, regions),
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


def _paths(endpoints: Sequence[AnyEndpoint], region: str) -> Document:
    paths: Document = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _endpoint(endpoint, region)
    return paths


def _endpoint(endpoint: AnyEndpoint, region: str) -> Document:
    described: Document = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": " ".join([endpoint.description, *_token(endpoint)]),
        "parameters": [*_parameters(endpoint)],
        "responses": _responses(endpoint, region),
        "security": [] if endpoint.permissions is None else [{"token": []}],
    }
    if endpoint.body is not None:
        content: Document = {"schema": _reference(endpoint.body)}
        if endpoint.body_example is not None:
            content["example"] = endpoint.body_example(region).model_dump(mode="json")
        described["requestBody"] = {"required": True, "content": dict.fromkeys(endpoint.media_types, content)}
    return described


def _token(endpoint: AnyEndpoint) -> Iterable[str]:
    """Yield sentences about the permissions of the token."""
    if endpoint.permissions:
        yield f"The token needs {' or '.join(f'`{name}`' for name in endpoint.permissions)}."
        if not endpoint.app_token:
            yield "A token with `app_id` is a 403."


def _parameters(endpoint: AnyEndpoint) -> Iterable[Document]:
    if "{app_id}" in endpoint.path:
        yield {
            "name": "app_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{APP_ID_PATTERN}$"},
            "example": EXAMPLE_APP_ID,
        }
    for name, schema in endpoint.query.model_json_schema(ref_template=_SCHEMAS).get("properties", {}).items():
        described = {key: value for key, value in schema.items() if key not in ("title", "description", "default")}
        for option in described.pop("anyOf", []):
            if option.get("type") != "null":  # a query parameter cannot be null
                described |= option
        if schema.get("default") is not None:
            described["default"] = schema["default"]
        yield {"name": name, "in": "query", "description": schema.get("description", ""), "schema": described}
    for name in (*endpoint.headers, "X-Request-ID"):
        yield {"name": name, "in": "header", **REQUEST_HEADERS[name]}


def _responses(endpoint: AnyEndpoint, region: str) -> Document:
    responses = {str(status): _response(endpoint, spec, region) for status, spec in endpoint.responses.items()}
    types: dict[int, list[ProblemType]] = {}
    for problem in dict.fromkeys((*endpoint.problems, *_EVERYWHERE)):
        types.setdefault(problem.status, []).append(problem)
    return responses | {str(status): _problem(endpoint, status, types[status]) for status in sorted(types)}


def _response(endpoint: AnyEndpoint, spec: ResponseSpec, region: str) -> Document:
    content: Document = {"schema": {"type": "string"}}
    if spec.model is not None:
        content = {"schema": _reference(spec.model)}
    elif spec.media_type == "application/json":
        content = {"schema": {"type": "object"}}
    if spec.example is not None:
        content["example"] = json.loads(bytes(spec.example(region).to_response().body))
    return {
        "description": spec.description,
        "headers": _headers(endpoint, spec.headers),
        "content": {spec.media_type: content},
    }


def _problem(endpoint: AnyEndpoint, status: int, types: Sequence[ProblemType]) -> Document:
    """Return the response of one status. The problem types are examples: an enum of them has no name in a client."""
    examples = {
        problem.slug: {
            "summary": problem.title,
            "value": json.loads(bytes(problem_example(endpoint, problem).response().body)),
        }
        for problem in types
    }
    return {
        "description": "; ".join(f"{problem.title} (`{problem.type}`)" for problem in types),
        "headers": _headers(endpoint, ("Cache-Control", *_HEADERS_OF_STATUS.get(status, ()))),
        "content": {ProblemResponse.media_type: {"schema": _reference(Problem), "examples": examples}},
    }


def _headers(endpoint: AnyEndpoint, names: Iterable[str]) -> Document:
    private = ("Cache-Control",) if endpoint.path.startswith("/ee") else ()
    declared = ("X-Request-ID", "X-Content-Type-Options", *private, *names)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in declared}


def _reference(model: type[BaseModel]) -> Document:
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def _schemas(endpoints: Sequence[AnyEndpoint], regions: Sequence[str]) -> Document:
    bodies = {endpoint.body for endpoint in endpoints if endpoint.body}
    queries = {endpoint.query for endpoint in endpoints}
    responses = {spec.model for endpoint in endpoints for spec in endpoint.responses.values() if spec.model}
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        *((model, "validation") for model in _by_name(bodies | queries)),
        *((model, "serialization") for model in _by_name(responses | {Problem})),
    ]
    _, described = models_json_schema(models, ref_template=_SCHEMAS)
    schemas: Document = described["$defs"]
    for query in queries:
        # The parameters repeat its fields; only the schemas that it refers to are needed.
        del schemas[query.__name__]
    for schema in schemas.values():
        # The rest of a docstring is about Python.
        schema["description"] = schema.get("description", "").split("\n\n")[0]
        for member in schema.get("properties", {}).values():
            # The server neither assumes nor sends the Python default of an absent member.
            member.pop("default", None)
    schemas[AppRequest.__name__]["properties"]["region"]["anyOf"][0]["enum"] = [*regions]
    return schemas


def _by_name(models: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: model.__name__)
