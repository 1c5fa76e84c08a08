"""Every request that is sent, and every success that may come back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.neon import codec
from specs import neon

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URI = "postgresql://app_1f_1:hidden-1@ep-a-1.c-4.us-east-2.aws.neon.tech/app?sslmode=require"
PROJECT: dict[str, Any] = {
    "id": "gentle-river-1",
    "name": "shop-x",
    "slug": "gentle-river-1",
    "region_id": "aws-us-east-2",
    "pg_version": 17,
    "created_at": "2025-01-15T10:30:00Z",
    "settings": {"quota": None, "hipaa": False},
}
BRANCH = {"id": "br-1", "name": "main", "default": True, "current_state": "hibernating", "parent_id": None}
CREATED: dict[str, Any] = {
    "project": PROJECT,
    "connection_uris": [{"connection_uri": URI, "connection_parameters": {"pooler_host": "ep-a-1-pooler.x"}}],
    "roles": [{"name": "app_1f_1", "password": "hidden-1", "authentication_method": "password"}],
    "databases": [{"id": 1, "name": "app", "owner_name": "app_1f_1"}],
    "operations": [{"id": "1", "action": "epc_sync", "status": "running", "failures_count": None}],
    "branch": BRANCH,
    "endpoints": [{"id": "ep-1", "branch_id": "br-1", "type": "read_write", "hosts": {}, "host": "ep-a-1.x"}],
}
SPEC = neon.ProjectCreate(
    name="shop-x",
    org_id="org-1",
    region_id="aws-us-east-2",
    pg_version=17,
    branch=neon.DefaultBranchSpec(name="main", role_name="app_1f_1", database_name="app", annotations={"nonce": "n"}),
    default_endpoint_settings=neon.ComputeSettings(autoscaling_limit_max_cu=2),
    settings=neon.ProjectSettings(quota=neon.Quota(written_data_bytes=5)),
)
GET = codec.get_project("gentle-river-1")
BAD_IDS: list[Any] = ["../../../auth", "x" * 300, "x" * 61, "", "a\x00b", "a\n", "\ud800", "É", None, 5, ["a-1"]]


# Requests


def test_one_create_names_everything_and_the_whole_quota() -> None:
    request = codec.create_project(SPEC).request
    assert (request.method, request.route, request.path, request.mutates) == (
        "POST",
        "/projects",
        "/projects",
        True,
    )
    assert request.body == {
        "project": {
            "name": "shop-x",
            "org_id": "org-1",
            "region_id": "aws-us-east-2",
            "pg_version": 17,
            "branch": {
                "name": "main",
                "role_name": "app_1f_1",
                "database_name": "app",
                "annotations": {"nonce": "n"},
            },
            "store_passwords": True,
            "default_endpoint_settings": {"autoscaling_limit_max_cu": 2},
            "settings": {
                "quota": {
                    "active_time_seconds": 0,
                    "compute_time_seconds": 0,
                    "written_data_bytes": 5,
                    "data_transfer_bytes": 0,
                    "logical_size_bytes": 0,
                }
            },
        }
    }


def test_an_update_sends_only_what_is_set_but_the_quota_whole() -> None:
    update = neon.ProjectUpdate(settings=neon.ProjectSettings())
    body = codec.update_project("p-1", update).request.body
    assert body == {"project": {"settings": {"quota": neon.Quota().model_dump()}}}
    assert codec.update_project("p-1", neon.ProjectUpdate(name="n")).request.body == {"project": {"name": "n"}}


@pytest.mark.parametrize(
    ("spec", "body"),
    [
        (neon.BranchCreate(), {"branch": {}}),
        (
            neon.BranchCreate(name="b", parent_timestamp=NOW, expires_at=NOW, protected=False),
            {
                "branch": {
                    "name": "b",
                    "parent_timestamp": "2026-03-01T12:00:00Z",
                    "expires_at": "2026-03-01T12:00:00Z",
                    "protected": False,
                }
            },
        ),
        (
            neon.BranchCreate(with_compute=True, annotations={"a": "b"}),
            {"branch": {}, "endpoints": [{"type": "read_write"}], "annotation_value": {"a": "b"}},
        ),
    ],
)
def test_a_branch_is_asked_for(spec: neon.BranchCreate, body: dict[str, Any]) -> None:
    assert codec.create_branch("p-1", spec).request.body == body


@pytest.mark.parametrize(
    ("call", "method", "path", "params"),
    [
        (codec.list_projects(), "GET", "/projects", {"limit": "400"}),
        (
            codec.list_projects(org_id="o-1", search="x y", cursor="c", limit=5, recoverable=True),
            "GET",
            "/projects",
            {"org_id": "o-1", "search": "x y", "cursor": "c", "limit": "5", "recoverable": "true"},
        ),
        (GET, "GET", "/projects/gentle-river-1", {}),
        (codec.delete_project("p-1"), "DELETE", "/projects/p-1", {}),
        (codec.recover_project("p-1"), "POST", "/projects/p-1/recover", {}),
        (codec.list_branches("p-1", "c"), "GET", "/projects/p-1/branches", {"cursor": "c", "limit": "1000"}),
        (codec.update_branch("p-1", "br-1", protected=True), "PATCH", "/projects/p-1/branches/br-1", {}),
        (codec.list_endpoints("p-1"), "GET", "/projects/p-1/endpoints", {}),
        (
            codec.create_endpoint("p-1", neon.EndpointCreate(branch_id="br-1")),
            "POST",
            "/projects/p-1/endpoints",
            {},
        ),
        (codec.list_operations("p-1", 3), "GET", "/projects/p-1/operations", {"limit": "3"}),
        (
            codec.get_connection_uri("p-1", "d", "r", branch_id="br-1", endpoint_id="ep-1", pooled=True),
            "GET",
            "/projects/p-1/connection_uri",
            {"database_name": "d", "role_name": "r", "branch_id": "br-1", "endpoint_id": "ep-1", "pooled": "true"},
        ),
        (codec.list_organizations(), "GET", "/users/me/organizations", {}),
        (codec.get_auth(), "GET", "/auth", {}),
    ],
)
def test_a_call_has_one_route(call: codec.NeonCall[object], method: str, path: str, params: dict[str, str]) -> None:
    request = call.request
    assert (request.method, request.path, dict(request.params)) == (method, path, params)
    assert request.mutates is (method != "GET")
    assert "p-1" not in request.route


@pytest.mark.parametrize("bad", ["..", "a/b", "A", "a%2fb", "a?b", *filter(lambda bad: isinstance(bad, str), BAD_IDS)])
def test_an_id_that_could_change_the_route_is_refused(bad: str) -> None:
    with pytest.raises(codec.InvalidNeonId):
        codec.delete_project(bad)
    with pytest.raises(codec.InvalidNeonId):
        codec.update_branch("p-1", bad, protected=False)


# Answers that succeed


def test_a_created_project_is_read_with_unknown_fields_values_and_nulls() -> None:
    made = codec.decode(codec.create_project(SPEC), 201, {}, json.dumps(CREATED).encode())
    assert (made.project.id, made.branch.current_state) == ("gentle-river-1", "hibernating")
    assert made.connection_uris[0].connection_uri.get_secret_value() == URI
    assert made.connection_uris[0].connection_parameters.pooler_host == "ep-a-1-pooler.x"
    assert (made.operations[0].failures_count, made.operations[0].is_terminal) == (0, False)
    assert "hidden-1" not in repr(made)


def test_a_created_project_is_known_even_when_little_is_said_of_it() -> None:
    said = {"project": PROJECT, "branch": BRANCH, "connection_uris": None}
    made = codec.decode(codec.create_project(SPEC), 200, {}, json.dumps(said).encode())
    assert (made.project.id, made.connection_uris) == ("gentle-river-1", ())


def test_branches_come_with_their_annotations() -> None:
    body = {
        "branches": [BRANCH],
        "annotations": {
            "br-1": {"object": {"type": "console/branch", "id": "br-1"}, "value": {"nonce": "n", "odd": 3}},
            "br-2": {"value": None},
            "br-3": None,
        },
        "pagination": {"next": "n1", "sort_by": "updated_at"},
    }
    read = codec.decode(codec.list_branches("p-1"), 200, {}, json.dumps(body).encode())
    assert (read.annotations, read.next) == ({"br-1": {"nonce": "n"}, "br-2": {}}, "n1")
    last = codec.decode(codec.list_branches("p-1"), 200, {}, b'{"branches":[],"annotations":null}')
    assert (last.annotations, last.next) == ({}, None)


@pytest.mark.parametrize(
    ("extra", "unavailable", "cursor"),
    [
        ({}, (), None),
        ({"unavailable_project_ids": None, "pagination": None}, (), None),
        ({"unavailable_project_ids": ["a-1"], "pagination": {"cursor": "a-1"}}, ("a-1",), "a-1"),
        ({"pagination": {"cursor": ""}}, (), None),
    ],
)
def test_a_page_of_projects_says_what_it_lacks(
    extra: dict[str, Any], unavailable: tuple[str, ...], cursor: str | None
) -> None:
    body = json.dumps({"projects": [PROJECT], "applications": {}, **extra}).encode()
    page = codec.decode(codec.list_projects(), 200, {}, body)
    assert (page.unavailable_project_ids, page.cursor, len(page.projects)) == (unavailable, cursor, 1)


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        (codec.list_endpoints("p-1"), {"endpoints": [{"id": "ep-1", "branch_id": "br-1"}]}, "ep-1"),
        (codec.list_operations("p-1"), {"operations": [{"id": "op-1"}]}, "op-1"),
        (codec.list_organizations(), {"organizations": [{"id": "org-1"}]}, "org-1"),
        (codec.update_project("gentle-river-1", neon.ProjectUpdate(name="n")), {"project": PROJECT}, "gentle-river-1"),
        (codec.recover_project("gentle-river-1"), {"project": PROJECT, "branches": [BRANCH]}, "br-1"),
        (codec.delete_project("gentle-river-1"), {"project": PROJECT}, "gentle-river-1"),
        (codec.update_branch("p-1", "br-1", protected=False), {"branch": BRANCH}, "br-1"),
        (codec.create_branch("p-1", neon.BranchCreate()), {"branch": BRANCH}, "br-1"),
        (
            codec.create_endpoint("p-1", neon.EndpointCreate(branch_id="br-1")),
            {"endpoint": {"id": "ep-1", "branch_id": "br-1"}},
            "ep-1",
        ),
        (codec.get_auth(), {"account_id": "org-1", "auth_method": "new"}, "org-1"),
        (codec.get_connection_uri("p-1", "d", "r"), {"uri": URI}, "SecretStr"),
    ],
)
def test_each_answer_is_read(call: codec.NeonCall[object], body: dict[str, Any], expected: str) -> None:
    read = codec.decode(call, 200, {}, json.dumps(body).encode())
    assert expected in repr(read)
    assert "hidden-1" not in repr(read)


# The pooled URI

CREDENTIALS = st.from_regex(r"\A(?:[A-Za-z0-9._~%!$&'()*+,;=:@-]{0,30}@)?\Z")
HOSTS = st.from_regex(r"\A[a-z0-9][a-z0-9.-]{0,40}\Z") | st.just("[::1]")
TAILS = st.from_regex(r"\A(?::[0-9]{1,5})?(?:/[A-Za-z0-9%@:_-]{0,20})?(?:\?[A-Za-z0-9%@:&=/#-]{0,40})?\Z")


@settings(deadline=None)
@given(st.sampled_from(["postgres", "postgresql"]), CREDENTIALS, HOSTS, TAILS, HOSTS)
def test_only_the_host_is_replaced(scheme: str, credentials: str, host: str, tail: str, pooler: str) -> None:
    uri = f"{scheme}://{credentials}{host}{tail}"
    assert codec.build_connection_string(uri, pooler) == f"{scheme}://{credentials}{pooler}{tail}"
    assert codec.build_connection_string(uri, None) == uri


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_uri_or_refused_in_silence(text: str) -> None:
    refused = ""
    built = "postgres"
    try:
        built = codec.build_connection_string(text, "pooler.x")
    except codec.InvalidConnectionURI as problem:
        refused = str(problem)
    assert refused in {"", "not a Postgres URI with one host"}
    assert built.startswith("postgres")


@pytest.mark.parametrize("pooler", [None, "pooler.x"])
@pytest.mark.parametrize(
    "uri",
    [
        "",
        "postgresql://",
        "postgresql:///app",
        "postgresql://u:p@/app",
        "postgresql://u:hidden-1@h1,h2/app",
        "postgresql://u:hidden-1@h:port/app",
        "postgresql://u:hidden#1@h/app",
        "postgresql://u:hidden-1@h/a b",
        "postgresql://u:hidden-1@h/app\n",
        "https://u:hidden-1@h/app",
        "xpostgresql://u:hidden-1@h/app",
        "host=h password=hidden-1",
    ],
)
def test_what_is_no_postgres_uri_is_refused(uri: str, pooler: str | None) -> None:
    with pytest.raises(codec.InvalidConnectionURI) as raised:
        codec.build_connection_string(uri, pooler)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("host", ["", "a b", "h/evil", "u@h", "h:5432", "::1", "h?x", "h\n"])
def test_a_pooler_host_cannot_carry_more_than_a_host(host: str) -> None:
    with pytest.raises(codec.InvalidConnectionURI):
        codec.build_connection_string(URI, host)
