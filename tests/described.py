"""Holds every answer that a test sees to the API's own description."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from api.openapi import build_openapi
from api.resources import ENDPOINTS
from specs.settings import NEON_REGIONS

Document = dict[str, Any]
DESCRIBED: Document = build_openapi(ENDPOINTS, NEON_REGIONS)
NOWHERE = {404, 400, 413, 500, 503}
"""What is answered at a path that does not exist."""
CONNECTION_HEADERS = {"connection", "content-length", "content-type", "date", "server", "transfer-encoding"}
"""The headers of HTTP itself, which a description leaves out."""


_OF_ONE_REQUEST = {
    "at",
    "created_at",
    "updated_at",
    "last_transition_time",
    "recoverable_until",
    "request_id",
    "event_id",
}


class NotDescribed(AssertionError):
    """An answer that the description does not know."""


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Compare one answer with the description; raises NotDescribed."""
    where = f"{method} {path} -> {status}"
    operations = _operations(path)
    operation = operations.get("get" if method == "HEAD" else method.lower())
    if operation is None:
        _check_problem(where, status, headers, body, method, {405} if operations else NOWHERE)
        return
    response = operation["responses"].get(str(status))
    if response is None:
        raise NotDescribed(f"{where}: this status is not described")
    for name in response["headers"]:
        _check_header(where, name, headers.get(name.lower(), headers.get(name)))
    undeclared = (
        {name.lower() for name in headers} - {name.lower() for name in response["headers"]} - CONNECTION_HEADERS
    )
    if undeclared:
        raise NotDescribed(f"{where}: the headers {sorted(undeclared)} are not described")
    [(media_type, content)] = response["content"].items()
    if headers.get("content-type", "").split(";")[0] != media_type.split(";")[0]:
        raise NotDescribed(f"{where}: {headers.get('content-type')} instead of {media_type}")
    if media_type.split(";")[0].endswith("json") and method != "HEAD":
        value = _check_body(where, content["schema"], body)
        types = {example["value"]["type"] for example in content.get("examples", {}).values()}
        if types and (value["type"] not in types or value["status"] != status):
            raise NotDescribed(f"{where}: {value['type']} with the status {value['status']} is not described")


def example(method: str, path: str, status: int | None = None) -> Document:
    """The example of an operation's response, without ``status`` of its request's body."""
    operation = DESCRIBED["paths"][path][method.lower()]
    content = (operation["requestBody"] if status is None else operation["responses"][str(status)])["content"]
    found: Document = content["application/json"]["example"]
    return found


def without_times(value: Any) -> Any:
    """A document without the values that differ from one app and request to the next."""
    match value:
        case dict():
            return {name: without_times(each) for name, each in value.items() if name not in _OF_ONE_REQUEST}
        case list():
            return [without_times(each) for each in value]
    return value


async def acheck_response(response: httpx.Response) -> None:
    """An event hook for httpx's asynchronous client."""
    await response.aread()
    _check_response(response)


def check_response(response: httpx.Response) -> None:
    """An event hook for httpx's client."""
    response.read()
    _check_response(response)


def _check_response(response: httpx.Response) -> None:
    request = response.request
    path = request.url.raw_path.partition(b"?")[0].decode()
    check(request.method, path, response.status_code, response.headers, response.content)


def _operations(path: str) -> Document:
    for template, operations in DESCRIBED["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: Document = operations
            return found
    return {}


def _check_problem(
    where: str, status: int, headers: Mapping[str, str], body: bytes, method: str, statuses: set[int]
) -> None:
    if status not in statuses:
        raise NotDescribed(f"{where}: a path or method that there is not is answered with {statuses}")
    if headers.get("content-type") != "application/problem+json" or (status == 405 and not headers.get("allow")):
        raise NotDescribed(f"{where}: not a problem, or a 405 without Allow")
    for name in ("X-Request-ID", "X-Content-Type-Options", "Cache-Control"):
        _check_header(where, name, headers.get(name.lower()))
    if method != "HEAD":
        _check_body(where, {"$ref": "#/components/schemas/Problem"}, body)


def _check_header(where: str, name: str, value: str | None) -> None:
    described = DESCRIBED["components"]["headers"][name]
    if value is None:
        if described.get("required"):
            raise NotDescribed(f"{where}: the header {name} is missing")
        return
    error = next(_validator(json.dumps(described["schema"])).iter_errors(value), None)
    if error is not None:
        raise NotDescribed(f"{where}: {name}: {error.message}")


def _check_body(where: str, schema: Document, body: bytes) -> Any:
    try:
        value = json.loads(body)
    except ValueError:
        raise NotDescribed(f"{where}: the body is no JSON") from None
    error = next(_validator(json.dumps(schema)).iter_errors(value), None)
    if error is not None:
        raise NotDescribed(f"{where}: {error.json_path}: {error.message}")
    return value


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema) | {"components": DESCRIBED["components"]})
