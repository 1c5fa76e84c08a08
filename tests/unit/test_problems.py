"""Every error has one problem, and no problem tells more than it should."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException

from api.problems import FieldError, forbidden, invalid_fields, to_problem
from reconciler.catalog.errors import (
    CreateLimitReached,
    IdempotencyKeyReused,
    InvalidCursor,
    KeyLimitReached,
    LimitReached,
    NameTaken,
    RequestRejected,
)
from reconciler.errors import CatalogUnavailable


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (NameTaken("a" * 24, ("region",)), 409, "name-taken"),
        (LimitReached(3), 429, "app-limit-reached"),
        (CreateLimitReached(3, 0.5), 429, "create-limit-reached"),
        (KeyLimitReached(3, 0.5), 429, "idempotency-key-limit-reached"),
        (IdempotencyKeyReused(), 422, "invalid-request"),
        (InvalidCursor(), 422, "invalid-request"),
        (CatalogUnavailable("postgresql://u:hidden@h"), 503, "unavailable"),
        (HTTPException(404), 404, "not-found"),
        (HTTPException(405, headers={"Allow": "GET"}), 405, "method-not-allowed"),
        (forbidden("write"), 403, "forbidden"),
        (RuntimeError("postgresql://u:hidden@h"), 500, "internal-error"),
    ],
)
def test_each_error_is_a_problem(error: Exception, status: int, slug: str) -> None:
    response = to_problem(error).response()
    document = json.loads(bytes(response.body))
    assert response.media_type == "application/problem+json"
    assert response.status_code == document["status"] == status
    assert document["type"] == f"/problems/{slug}"
    assert document["title"]
    assert document["detail"]
    assert "hidden" not in str(document)


def test_every_refusal_of_the_catalog_has_a_problem_of_its_own() -> None:
    known = {NameTaken, LimitReached, CreateLimitReached, KeyLimitReached, IdempotencyKeyReused, InvalidCursor}
    assert set(RequestRejected.__subclasses__()) == known


def test_a_name_that_is_taken_says_by_what_and_how_it_differs() -> None:
    document = json.loads(bytes(to_problem(NameTaken("a" * 24, ("pg_version", "region"))).response().body))
    assert document["app_id"] == "a" * 24
    assert document["fields"] == ["pg_version", "region"]
    assert "a" * 24 in document["detail"]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(CatalogUnavailable("x"), "2"), (CreateLimitReached(3, 90.2), "91"), (KeyLimitReached(3, 0.0), "1")],
)
def test_what_ought_to_be_sent_again_later_says_when(error: Exception, seconds: str) -> None:
    assert to_problem(error).response().headers["Retry-After"] == seconds


def test_a_422_names_its_fields() -> None:
    problem = invalid_fields(FieldError("region", "no"), FieldError("app_name", "no"))
    assert json.loads(bytes(problem.response().body))["errors"] == [
        {"field": "region", "detail": "no"},
        {"field": "app_name", "detail": "no"},
    ]


def test_headers_of_the_framework_stay() -> None:
    assert to_problem(HTTPException(405, headers={"Allow": "GET"})).response().headers["Allow"] == "GET"
