"""The judge itself: what is valid passes, and what is not is caught."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.document import Document
from tests.conformance.schemas import Json, UnknownKeyword, translated
from tests.conformance.small import DOCUMENT

SMALL = Document(DOCUMENT)
THING = {"id": "a", "made_at": "2026-01-01T00:00:00Z"}
ERROR = {"code": "", "message": "no"}
ORG = ("org", "a")


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/things", [ORG], None),
        ("GET", "/things", [ORG, ("limit", "400"), ("deep", "true"), ("ids", "a"), ("ids", "b")], None),
        ("DELETE", "/things/abc", [], None),
        ("POST", "/things", [], {"thing": {}}),
        ("POST", "/things", [], {"thing": {"name": "a", "until": None, "anything": {"x": [1]}}, "labels": {"a": "b"}}),
    ],
)
def test_a_valid_request_passes(method: str, path: str, query: list[tuple[str, str]], body: object) -> None:
    assert SMALL.request(method, path, query, body).problems == ()


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "says"),
    [
        ("GET", "/nothing", [], None, "no GET /nothing"),
        ("PUT", "/things", [], None, "no PUT /things"),
        ("GET", "/things", [], None, "org is required"),
        ("GET", "/things", [ORG, ORG], None, "more than once"),
        ("GET", "/things", [ORG, ("limit", "401")], None, "limit"),
        ("GET", "/things", [ORG, ("limit", "few")], None, "limit"),
        ("GET", "/things", [ORG, ("deep", "yes")], None, "deep"),
        ("GET", "/things", [ORG, ("depth", "1")], None, "no parameter depth"),
        ("DELETE", "/things/A1", [], None, "thing_id"),
        ("DELETE", "/things/a%2Fb", [], None, "thing_id"),
        ("DELETE", "/things/abc", [], {}, "no body"),
        ("POST", "/things", [], None, "a body is required"),
        ("POST", "/things", [], {}, "thing"),
        ("POST", "/things", [], {"thing": {"name": ""}}, "thing/name"),
        ("POST", "/things", [], {"thing": {"until": "soon"}}, "thing/until"),
        ("POST", "/things", [], {"thing": {"unknown": 1}}, "unknown"),
        ("POST", "/things", [], {"thing": {}, "unknown": 1}, "unknown"),
        ("POST", "/things", [], {"thing": {}, "labels": {"a": 1}}, "labels/a"),
        ("POST", "/things", [], {"thing": {}, "labels": {"a": "", "b": "", "c": ""}}, "labels"),
    ],
)
def test_a_wrong_request_is_caught(
    method: str, path: str, query: list[tuple[str, str]], body: object, says: str
) -> None:
    assert says in "; ".join(SMALL.request(method, path, query, body).problems)


def test_a_body_of_another_type_is_caught() -> None:
    assert SMALL.request("POST", "/things", [], {"thing": {}}, media="text/plain").problems != ()


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/things/abc", 200, THING),
        ("GET", "/things/abc", 200, THING | {"ended_at": None, "level": None, "other": "low", "beyond": 1}),
        ("GET", "/things/abc", 404, ERROR | {"request_id": "r"}),
        ("GET", "/things/count", 200, {"count": 1}),
        ("DELETE", "/things/abc", 204, None),
        ("GET", "/nothing", 404, ERROR),
        ("PUT", "/things", 405, ERROR),
    ],
)
def test_a_valid_answer_passes(method: str, path: str, status: int, body: object) -> None:
    assert SMALL.answer(method, path, status, body).problems == ()


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/things/abc", 200, None),
        ("GET", "/things/abc", 200, {"id": "a"}),
        ("GET", "/things/abc", 200, THING | {"id": None}),
        ("GET", "/things/abc", 200, THING | {"made_at": "yesterday"}),
        ("GET", "/things/abc", 200, THING | {"ended_at": 0}),
        ("GET", "/things/abc", 200, THING | {"level": "middle"}),
        ("GET", "/things/abc", 200, THING | {"other": "l"}),
        ("GET", "/things/abc", 200, THING | {"bytes": -1}),
        ("GET", "/things/abc", 200, THING | {"bytes": 2**63}),
        ("GET", "/things/abc", 200, THING | {"bytes": 1.5}),
        ("GET", "/things/abc", 201, THING),
        ("GET", "/things/abc", 404, THING),
        ("GET", "/things/abc", 404, "not found"),
        ("GET", "/things/count", 200, THING),
        ("DELETE", "/things/abc", 204, {}),
        ("GET", "/nothing", 200, {}),
        ("GET", "/nothing", 404, None),
    ],
)
def test_a_wrong_answer_is_caught(method: str, path: str, status: int, body: object) -> None:
    assert SMALL.answer(method, path, status, body).problems != ()


def test_a_document_in_yaml_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "document.yaml"
    file.write_text(re.sub(r"'(\d{3})':", r"\1:", yaml.safe_dump(DOCUMENT)))
    assert 200 in yaml.safe_load(file.read_text())["paths"]["/auth"]["get"]["responses"]
    read = Document.load(file)
    assert read.answer("GET", "/things/abc", 200, THING).problems == ()
    assert read.answer("GET", "/things/abc", 200, {}).problems != ()
    assert read.answer("DELETE", "/things/abc", 204, None).problems == ()


def test_a_keyword_that_cannot_be_checked_is_refused() -> None:
    with pytest.raises(UnknownKeyword, match="if"):
        translated({"type": "object", "if": {}}, "urn:x", closed=False)


# Neon's own document, with the bodies that are really exchanged.

CREATE: Json = {
    "project": {
        "name": "an-app",
        "org_id": "org-1",
        "region_id": "aws-us-east-2",
        "pg_version": 17,
        "store_passwords": True,
        "history_retention_seconds": 3600,
        "settings": {"quota": {"active_time_seconds": 0}, "allowed_ips": {"ips": [], "protected_branches_only": False}},
        "default_endpoint_settings": {"autoscaling_limit_min_cu": 0.25, "suspend_timeout_seconds": 0},
        "branch": {"name": "main", "role_name": "r", "database_name": "d", "annotations": {"a": "b"}},
    }
}
STAMPS: Json = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00.5Z"}
BRANCHES: Json = {
    "branches": [
        {
            "id": "br-1",
            "project_id": "p-1",
            "name": "main",
            "current_state": "ready",
            "state_changed_at": "2026-01-01T00:00:00Z",
            "creation_source": "console",
            "default": True,
            "protected": False,
            "cpu_used_sec": 0,
            "compute_time_seconds": 0,
            "active_time_seconds": 0,
            "written_data_bytes": 0,
            "data_transfer_bytes": 0,
            **STAMPS,
        }
    ],
    "annotations": {"br-1": {"object": {"type": "console/branch", "id": "br-1"}, "value": {"a": "b"}, **STAMPS}},
    "pagination": {"next": "br-1", "sort_by": "name", "sort_order": "asc"},
}


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if path:
        yield path, value
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield from _places(each, (*path, key))


def _changed(body: Json, path: tuple[str | int, ...], value: object) -> Json:
    made = copy.deepcopy(body)
    parent: Any = made
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return made


def _of_another_type(value: object) -> object:
    return 0 if isinstance(value, dict | list | str) else "0"


def test_every_field_of_a_request_has_its_type(document: Document) -> None:
    assert document.request("POST", "/projects", [], CREATE).problems == ()
    places = list(_places(CREATE))
    assert len(places) > 20
    for path, value in places:
        wrong = _changed(CREATE, path, _of_another_type(value))
        assert document.request("POST", "/projects", [], wrong).problems != (), path


def test_no_object_of_a_request_takes_a_field_that_neon_does_not_know(document: Document) -> None:
    objects = [path for path, value in _places(CREATE) if isinstance(value, dict) and path[-1] != "annotations"]
    assert len(objects) > 4
    for path in [(), *objects]:
        wrong = _changed(CREATE, (*path, "surplus"), "s")
        assert document.request("POST", "/projects", [], wrong).problems != (), path


def test_every_field_of_an_answer_has_its_type(document: Document) -> None:
    assert document.answer("GET", "/projects/p-1/branches", 200, BRANCHES).problems == ()
    places = list(_places(BRANCHES))
    assert len(places) > 20
    for path, value in places:
        wrong = _changed(BRANCHES, path, _of_another_type(value))
        assert document.answer("GET", "/projects/p-1/branches", 200, wrong).problems != (), path
