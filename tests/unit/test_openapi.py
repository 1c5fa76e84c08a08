"""The API's description is whole, and whoever answers otherwise is caught."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from api import problems
from api.http.docs_page import HEADERS, page
from api.openapi import build_openapi
from api.resources import ENDPOINTS as OPERATIONS
from tests.described import DESCRIBED, NotDescribed, check, check_response, example

APP = example("GET", "/ee/apps/{app_id}", 200)
GOOD = {
    "x-request-id": "r",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-type": "application/json",
}


def _operations() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, operations in DESCRIBED["paths"].items()
        for method, operation in operations.items()
    ]


@pytest.mark.parametrize(("where", "operation"), _operations())
def test_every_document_has_an_example_that_is_what_its_schema_says(where: str, operation: dict[str, Any]) -> None:
    contents = [
        (status, media_type, content)
        for status, response in (*operation["responses"].items(), ("body", operation.get("requestBody", {})))
        for media_type, content in response.get("content", {}).items()
        if "$ref" in content["schema"]
    ]
    assert contents or where in ("GET /metrics", "GET /openapi.json", "GET /docs")
    for status, media_type, content in contents:
        examples = [content["example"]] if "example" in content else []
        examples += [example["value"] for example in content.get("examples", {}).values()]
        assert examples, (where, status)
        schema = content["schema"] | {"components": DESCRIBED["components"]}
        for value in examples:
            assert [error.message for error in Draft202012Validator(schema).iter_errors(value)] == [], where
            assert media_type != "application/problem+json" or str(value["status"]) == status


def test_parameters_have_examples_that_are_what_their_schemas_say() -> None:
    for _, operation in _operations():
        for parameter in (each for each in operation["parameters"] if "example" in each):
            schema = parameter["schema"] | {"components": DESCRIBED["components"]}
            assert Draft202012Validator(schema).is_valid(parameter["example"]), parameter
    for name, header in DESCRIBED["components"]["headers"].items():
        assert "example" not in header or Draft202012Validator(header["schema"]).is_valid(header["example"]), name


def test_patterns_use_only_what_every_dialect_of_expressions_has() -> None:
    """ECMAScript with and without its flag ``u``, Python, RE2, PCRE, Java, .NET: no Unicode escapes, no lookaround."""
    patterns = set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(DESCRIBED)))
    assert len(patterns) > 5
    for pattern in map(json.loads, patterns):
        re.compile(pattern)
        assert pattern.isascii()
        assert not re.search(r"\\[^x]|\(\?", pattern), pattern


def test_every_kind_of_problem_is_described_somewhere() -> None:
    kinds = {kind.type for kind in vars(problems).values() if isinstance(kind, problems.ProblemType)}
    assert kinds == set(re.findall(r"/problems/[a-z-]+", json.dumps(DESCRIBED)))


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(DESCRIBED)
    named = set(re.findall(r'"#/components/(\w+)/([\w-]+)"', text))
    there = {(kind, name) for kind in ("schemas", "headers") for name in DESCRIBED["components"][kind]}
    assert named == there


def test_the_regions_are_those_of_the_settings() -> None:
    region = build_openapi(OPERATIONS, ("here", "there"))["components"]["schemas"]["AppRequest"]["properties"]["region"]
    assert region["anyOf"][0]["enum"] == ["here", "there"]


def test_the_page_asks_nobody_for_anything_and_shows_every_call() -> None:
    text = page(DESCRIBED | {"info": DESCRIBED["info"] | {"title": "<b>Morphik</b>"}})
    assert "<b>Morphik</b>" not in text
    assert not re.search(r"<(script|img|link|iframe|object)|src=|@import|url\(|https?://(?!127)", text)
    assert "script-src" not in HEADERS["Content-Security-Policy"]
    assert HEADERS["Content-Security-Policy"].startswith("default-src 'none'")
    for operation in OPERATIONS:
        assert f'id="{operation.name}"' in text


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, GOOD, APP | {"status": "well"}),
        (200, GOOD, {name: value for name, value in APP.items() if name != "app_id"}),
        (200, GOOD, APP | {"app_id": "short"}),
        (200, GOOD | {"cache-control": "public"}, APP),
        (200, {name: value for name, value in GOOD.items() if name != "x-request-id"}, APP),
        (200, GOOD | {"content-type": "text/html"}, APP),
        (204, GOOD, APP),
        (200, GOOD | {"x-undeclared": "1"}, APP),
        (404, GOOD, {"type": "/problems/app-not-found", "title": "t", "status": 404, "detail": "d"}),
        (
            404,
            GOOD | {"content-type": "application/problem+json"},
            {"type": "/problems/name-taken", "title": "t", "status": 404, "detail": "d"},
        ),
    ],
)
def test_an_answer_that_is_not_described_is_caught(status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
    path = "/ee/apps/" + "a" * 24
    check("GET", path, 200, GOOD, json.dumps(APP).encode())
    with pytest.raises(NotDescribed):
        check("GET", path, status, headers, json.dumps(body).encode())


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/ee/app", 200), ("PUT", "/ee/apps", 404)])
def test_a_path_or_method_that_there_is_not_is_a_problem(method: str, path: str, status: int) -> None:
    request = httpx.Request(method, f"http://api.test{path}")
    with pytest.raises(NotDescribed):
        check_response(httpx.Response(status, request=request, headers=GOOD, content=b"{}"))
