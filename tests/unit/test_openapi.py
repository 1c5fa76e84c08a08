"""The API's description is whole, and whoever answers otherwise is caught."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from api import problems
from api.docs import HEADERS, page
from api.openapi import describe
from api.operations import OPERATIONS
from tests.described import DESCRIBED, NotDescribed, check, check_response

APP = dict(next(o for o in OPERATIONS if o.name == "getApp").answers[200].example or {})
GOOD = {"x-request-id": "r", "cache-control": "no-store", "content-type": "application/json"}


def _operations() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, operations in DESCRIBED["paths"].items()
        for method, operation in operations.items()
    ]


@pytest.mark.parametrize(("where", "operation"), _operations())
def test_every_example_is_what_its_schema_says(where: str, operation: dict[str, Any]) -> None:
    contents = [content for response in operation["responses"].values() for content in response["content"].values()]
    contents += operation.get("requestBody", {}).get("content", {}).values()
    for content in contents:
        if "example" in content:
            schema = content["schema"] | {"components": DESCRIBED["components"]}
            assert [error.message for error in Draft202012Validator(schema).iter_errors(content["example"])] == [], (
                where
            )


def test_every_kind_of_problem_is_described_somewhere() -> None:
    kinds = {kind.type for kind in vars(problems).values() if isinstance(kind, problems.Kind)}
    assert kinds == set(re.findall(r"/problems/[a-z-]+", json.dumps(DESCRIBED)))


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(DESCRIBED)
    named = set(re.findall(r'"#/components/(\w+)/([\w-]+)"', text))
    there = {(kind, name) for kind in ("schemas", "headers") for name in DESCRIBED["components"][kind]}
    assert named == there


def test_the_regions_are_those_of_the_settings() -> None:
    region = describe(("here", "there"))["components"]["schemas"]["AppRequest"]["properties"]["region"]
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
