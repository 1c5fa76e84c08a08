"""The API over a real catalog: what each call answers, and what bad input gets."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

from reconciler.catalog.apps import AppStore
from specs.metadata import AppMetadata
from specs.uri import MorphikURI
from tests.catalogs import NEON_URI, execute, make_ready, new_app_id
from tests.integration.api_client import ApiClient, api_context, bearer, client_over, token

NAMED = {"app_name": "notes"}


@pytest.fixture
def client(catalog_url: str) -> Iterator[ApiClient]:
    """Alice's client."""
    with client_over(api_context(catalog_url)) as client:
        yield client


def _problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    document: dict[str, Any] = response.json()
    assert document["type"] == f"/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


def _fields(response: Any) -> list[str]:
    return [error["field"] for error in _problem(response, 422, "invalid-request")["errors"]]


def test_a_post_writes_the_row_and_answers_at_once(client: ApiClient) -> None:
    response = client.post("/ee/apps", json=NAMED)
    app = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/ee/apps/{app['app_id']}"
    assert response.headers["cache-control"] == "no-store"
    assert "preference-applied" not in response.headers
    assert (app["status"], app["morphik_uri"], app["pooled_uri"]) == ("pending", None, None)
    assert (app["app_name"], app["region"], app["pg_version"], app["generation"]) == ("notes", "aws-us-east-1", 17, 1)
    assert app["compute"] == {"min_cu": 0.25, "max_cu": 2.0, "suspend_seconds": 300}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", app["created_at"])
    assert app["conditions"][0]["reason"] == "Queued"
    assert client.get(response.headers["location"]).json() == app


def test_the_same_post_again_is_a_200_with_the_same_app(client: ApiClient) -> None:
    first = client.post("/ee/apps", json=NAMED)
    again = client.post("/ee/apps", json={"app_name": "notes", "region": "aws-us-east-1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]


def test_the_same_name_with_other_fields_is_a_409_naming_the_app(client: ApiClient) -> None:
    app_id = client.post("/ee/apps", json=NAMED).json()["app_id"]
    document = _problem(client.post("/ee/apps", json={**NAMED, "region": "aws-eu-west-2"}), 409, "name-taken")
    assert (document["app_id"], document["fields"]) == (app_id, ["region"])


def test_an_app_that_is_ready_shows_its_uris_to_a_token_with_write_only(client: ApiClient, catalog_url: str) -> None:
    app_id = client.post("/ee/apps", json=NAMED).json()["app_id"]
    make_ready(catalog_url, app_id)
    seen = client.get(f"/ee/apps/{app_id}")
    assert seen.json()["morphik_uri"] == NEON_URI.replace("postgresql", "morphik")
    assert seen.json()["pooled_uri"] == NEON_URI.replace("postgresql", "morphik").replace("db.", "db-pooler.")
    assert MorphikURI.parse(seen.json()["morphik_uri"]).password == "p@ss"
    assert seen.headers["cache-control"] == "no-store"
    read_only = client.get(f"/ee/apps/{app_id}", headers=bearer(permissions=("read",))).json()
    assert (read_only["status"], read_only["morphik_uri"], read_only["pooled_uri"]) == ("ready", None, None)
    assert "p%40ss" not in client.get("/ee/apps").text
    assert "p%40ss" not in client.delete(f"/ee/apps/{app_id}").text
    assert client.get(f"/ee/apps/{app_id}").json()["morphik_uri"] is None


def test_a_broken_seal_or_another_form_of_uri_shows_no_uri_and_no_error(client: ApiClient, catalog_url: str) -> None:
    app_id = client.post("/ee/apps", json=NAMED).json()["app_id"]
    for uri, project in ((f"{NEON_URI}&hostaddr=127.0.0.1", "project_id"), (NEON_URI, "'another'")):
        make_ready(catalog_url, app_id, uri)
        execute(catalog_url, f"UPDATE app_metadata SET project_id = {project}")
        seen = client.get(f"/ee/apps/{app_id}")
        assert (seen.status_code, seen.json()["status"], seen.json()["morphik_uri"]) == (200, "ready", None)


def test_delete(client: ApiClient, catalog_url: str) -> None:
    app_id = client.post("/ee/apps", json=NAMED).json()["app_id"]
    first, second = client.delete(f"/ee/apps/{app_id}"), client.delete(f"/ee/apps/{app_id}")
    assert (first.status_code, first.json()["status"], first.json()["generation"]) == (202, "deleting", 2)
    assert (second.status_code, second.json()) == (202, first.json())
    execute(
        catalog_url,
        "UPDATE app_metadata SET status = 'deleted', deleted_at = now(), recoverable_until = '2026-06-01T00:00:00Z',"
        " tombstone_until = now() + interval '1 day'",
    )
    gone = client.delete(f"/ee/apps/{app_id}")
    assert (gone.status_code, gone.json()["status"]) == (200, "deleted")
    assert client.get(f"/ee/apps/{app_id}").json()["recoverable_until"] == "2026-06-01T00:00:00Z"
    execute(catalog_url, "UPDATE app_metadata SET tombstone_until = now() - interval '1 second'")
    _problem(client.get(f"/ee/apps/{app_id}"), 404, "app-not-found")
    _problem(client.delete(f"/ee/apps/{app_id}"), 404, "app-not-found")


def test_a_list_is_paged_and_filtered(client: ApiClient) -> None:
    for number in range(5):
        client.post("/ee/apps", json={"app_name": f"app-{number}"})
    first = client.get("/ee/apps?limit=3").json()
    second = client.get("/ee/apps", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [app["app_name"] for app in first["apps"] + second["apps"]] == [f"app-{n}" for n in (4, 3, 2, 1, 0)]
    assert second["next_cursor"] is None
    assert "morphik_uri" not in first["apps"][0]
    assert [app["app_name"] for app in client.get("/ee/apps?name=app-1&status=pending").json()["apps"]] == ["app-1"]


def test_events(client: ApiClient) -> None:
    headers = {"X-Request-ID": "my-request.1"}
    app_id = client.post("/ee/apps", json=NAMED, headers=headers).json()["app_id"]
    client.delete(f"/ee/apps/{app_id}")
    page = client.get(f"/ee/apps/{app_id}/events").json()
    assert [event["type"] for event in page["events"]] == ["DeleteRequested", "Created"]
    assert page["events"][1]["request_id"] == "my-request.1"
    assert page["next_cursor"] is None


KEY = {"Idempotency-Key": "k1"}


def test_an_idempotency_key(client: ApiClient, catalog_url: str) -> None:
    first = client.post("/ee/apps", json=NAMED, headers=KEY)
    execute(catalog_url, "UPDATE app_metadata SET app_name = 'renamed'")
    again = client.post(
        "/ee/apps", content=b' {"app_name" : "notes"} ', headers=KEY | {"Content-Type": "application/json"}
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["app_id"], again.json()["app_name"]) == (first.json()["app_id"], "renamed")
    assert _fields(client.post("/ee/apps", json={"app_name": "other"}, headers=KEY)) == ["Idempotency-Key"]
    assert client.post("/ee/apps", json={"app_name": "other"}, headers=KEY | bearer("bob")).status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256, "a b", "a\tb"])
def test_an_idempotency_key_of_another_form_is_a_400(client: ApiClient, key: str) -> None:
    _problem(client.post("/ee/apps", json=NAMED, headers={"Idempotency-Key": key}), 400, "invalid-idempotency-key")


def test_a_wait_holds_the_answer_until_the_app_has_settled(catalog_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    really = AppStore.get_many

    async def reconciled_while_somebody_waits(catalog: AppStore, app_ids: Iterable[str]) -> dict[str, AppMetadata]:
        ids = [*app_ids]
        looked.append(len(ids))
        if len(looked) == 2:
            make_ready(catalog_url, ids[0])
        return await really(catalog, ids)

    monkeypatch.setattr(AppStore, "get_many", reconciled_while_somebody_waits)
    with client_over(api_context(catalog_url)) as client:
        response = client.post("/ee/apps", json=NAMED, headers={"Prefer": "wait=60"})
        assert (response.status_code, response.headers["preference-applied"]) == (201, "wait=60")
        assert response.json()["status"] == "ready"
        assert response.json()["morphik_uri"].startswith("morphik://")
        client.get(response.headers["location"], headers={"Prefer": "wait=60"})
    assert looked == [1, 1]


def test_a_wait_that_is_over_answers_with_what_is_there(client: ApiClient) -> None:
    response = client.post("/ee/apps", json=NAMED, headers={"Prefer": "respond-async, wait=1"})
    assert (response.status_code, response.json()["status"]) == (201, "pending")
    assert response.headers["preference-applied"] == "wait=1"
    assert "preference-applied" not in client.get(response.headers["location"], headers={"Prefer": "wait=x"}).headers


# What bad input gets


def test_no_token_and_bad_tokens_are_a_401(client: ApiClient) -> None:
    for header, error in [
        (None, False),
        ("Basic YTpi", True),
        ("Bearer", True),
        ("Bearer x.y.z", True),
        (f"Bearer {token()} {token()}", True),
        (f"Bearer {token(exp=1)}", True),
        (f"Bearer {token().rpartition('.')[0]}.", True),
    ]:
        for method, path in [("GET", "/ee/apps"), ("POST", "/ee/apps"), ("DELETE", f"/ee/apps/{new_app_id()}")]:
            response = client.anonymous(method, path, headers={"Authorization": header} if header else {})
            _problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert ('error="invalid_token"' in response.headers["www-authenticate"]) == error


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [((), set()), (("admin",), set()), (("read",), {"GET"}), (("write",), {"GET", "POST", "DELETE"})],
)
def test_no_permission_is_a_403(client: ApiClient, permissions: tuple[str, ...], allowed: set[str]) -> None:
    app_id = client.post("/ee/apps", json=NAMED).json()["app_id"]
    headers = bearer(permissions=permissions)
    calls = [("GET", "/ee/apps"), ("GET", f"/ee/apps/{app_id}"), ("GET", f"/ee/apps/{app_id}/events")]
    for method, path in [*calls, ("DELETE", f"/ee/apps/{app_id}"), ("POST", "/ee/apps")]:
        response = client.request(method, path, headers=headers, json=NAMED if method == "POST" else None)
        if method in allowed:
            assert response.status_code < 400
        else:
            _problem(response, 403, "forbidden")
            assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_unknown_and_foreign_apps_are_the_same_404(client: ApiClient) -> None:
    app_id = client.post("/ee/apps", json=NAMED).json()["app_id"]
    bob = bearer("bob", ("read", "write", "admin"))
    for method, tail in [("GET", ""), ("DELETE", ""), ("GET", "/events")]:
        answers = {
            client.request(method, f"/ee/apps/{one}{tail}", headers=bob).text
            for one in (app_id, new_app_id(), "x", "..%00", "a" * 5000, app_id.upper())
        }
        assert len(answers) == 1
        _problem(client.request(method, f"/ee/apps/{app_id}{tail}", headers=bob), 404, "app-not-found")
    assert client.get("/ee/apps", headers=bob).json() == {"apps": [], "next_cursor": None}
    assert client.get(f"/ee/apps/{app_id}").json()["status"] == "pending"
    assert client.post("/ee/apps", json=NAMED, headers=bob).json()["app_id"] != app_id


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["app_name"]),
        ({"app_name": ""}, ["app_name"]),
        ({"app_name": "x" * 101}, ["app_name"]),
        ({"app_name": "a\nb"}, ["app_name"]),
        ({"app_name": "a\0b"}, ["app_name"]),
        ({"app_name": None}, ["app_name"]),
        ({"app_name": 7}, ["app_name"]),
        ({"app_name": ["notes"]}, ["app_name"]),
        ({**NAMED, "region": "mars-1"}, ["region"]),
        ({**NAMED, "region": ""}, ["region"]),
        ({**NAMED, "region": 1}, ["region"]),
        ({**NAMED, "owner_id": "bob"}, ["owner_id"]),
        ({**NAMED, "app_id": "a" * 24}, ["app_id"]),
        ({**NAMED, "project_id": "x", "status": "ready"}, ["project_id", "status"]),
        ({**NAMED, "x" * 5000: 1}, ["x" * 100]),
    ],
)
def test_a_wrong_field_is_a_422_that_names_it(client: ApiClient, body: dict[str, Any], fields: list[str]) -> None:
    assert _fields(client.post("/ee/apps", json=body)) == fields
    assert client.get("/ee/apps").json()["apps"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"notes",
        b"[]",
        b'"notes"',
        b"null",
        b'{"app_name": "notes"',
        b'{"app_name": "notes"} {}',
        b'{"app_name": "notes", "app_name": "other"}',
        b'{"app_name": NaN}',
        b'{"app_name": "notes", "x": Infinity}',
        b'{"app_name": "\\ud800"}',
        b'{"app_name": "\xff"}',
        b'\xef\xbb\xbf{"app_name": "notes"}',
        b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}",
        b"[" * 60_000,
        b'{"x": ' + b"9" * 6000 + b"}",
    ],
)
def test_a_body_that_is_not_a_json_object_is_a_400(client: ApiClient, body: bytes) -> None:
    _problem(client.post("/ee/apps", content=body, headers={"Content-Type": "application/json"}), 400, "malformed-body")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_another_content_type_is_a_400(client: ApiClient, kind: str) -> None:
    response = client.post("/ee/apps", content=json.dumps(NAMED).encode(), headers={"Content-Type": kind})
    _problem(response, 400, "malformed-body")


def test_brackets_inside_a_string_are_no_nesting(client: ApiClient) -> None:
    assert client.post("/ee/apps", json={"app_name": "[[" * 40 + '"'}).status_code == 201


def test_a_body_over_64_kib_is_a_413(client: ApiClient) -> None:
    body = b'{"app_name": "' + b"x" * 65_536 + b'"}'
    json_type = {"Content-Type": "application/json"}
    _problem(client.post("/ee/apps", content=body, headers=json_type), 413, "body-too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    _problem(client.post("/ee/apps", content=chunks(), headers=json_type), 413, "body-too-large")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=gone", "status"),
        ("name=", "name"),
        ("name=%00", "name"),
        ("name=" + "x" * 101, "name"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("owner=bob", "owner"),
    ],
)
def test_a_wrong_parameter_is_a_422_that_names_it(client: ApiClient, query: str, field: str) -> None:
    assert _fields(client.get(f"/ee/apps?{query}")) == [field]


def test_other_paths_and_methods(client: ApiClient) -> None:
    _problem(client.get("/nothing"), 404, "not-found")
    _problem(client.get("/ee/apps/"), 404, "not-found")
    response = client.put("/ee/apps", json={})
    _problem(response, 405, "method-not-allowed")
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert client.head("/ee/apps").status_code == 200


def test_the_limits_are_a_429(catalog_url: str) -> None:
    with client_over(api_context(catalog_url, max_apps_per_owner=1, requests_per_minute=3)) as client:
        assert client.post("/ee/apps", json=NAMED).status_code == 201
        _problem(client.post("/ee/apps", json={"app_name": "two"}), 429, "app-limit-reached")
        client.get("/ee/apps")
        response = client.get("/ee/apps")
        _problem(response, 429, "too-many-requests")
        assert int(response.headers["retry-after"]) > 0
        assert client.get("/ee/apps", headers=bearer("bob")).status_code == 200


def test_without_a_catalog_everything_is_a_503_but_healthz() -> None:
    with client_over(api_context("postgresql://nobody:hidden@127.0.0.1:1/none")) as client:
        for method, path in [("GET", "/ee/apps"), ("POST", "/ee/apps"), ("GET", "/readyz")]:
            response = client.request(method, path, json=NAMED if method == "POST" else None)
            _problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) > 0
            assert "hidden" not in response.text
        assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_says_whether_the_schema_is_current(
    client: ApiClient, catalog_url: str, empty_database_url: str
) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    for column, command in (("mutation_stopped_at", "resume"), ("quarantined_at", "catalog promote")):
        execute(catalog_url, f"UPDATE catalog_identity SET {column} = now()")
        stopped = client.get("/readyz").json()
        assert stopped["status"] == "ready"
        assert f"morphik-apps {command}" in stopped["stopped"]
    with client_over(api_context(empty_database_url)) as unmigrated:
        _problem(unmigrated.get("/readyz"), 503, "unavailable")
        _problem(unmigrated.post("/ee/apps", json=NAMED), 503, "unavailable")


def test_an_error_of_ours_tells_nothing(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("postgresql://user:hidden@host")

    monkeypatch.setattr(AppStore, "list", broken)
    response = client.get("/ee/apps")
    _problem(response, 500, "internal-error")
    assert "hidden" not in response.text


@pytest.mark.parametrize(("given", "kept"), [("abc-1._Z", True), ("x" * 129, False), ("a b", False), ("", False)])
def test_every_answer_has_a_request_id(client: ApiClient, given: str, kept: bool) -> None:
    said = client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert (said == given) == kept
    assert said


def test_only_allowed_hosts_are_served(catalog_url: str) -> None:
    with client_over(api_context(catalog_url, allowed_hosts=("api.test", "*.example.org"))) as client:
        assert client.get("/ee/apps").status_code == 200
        assert client.get("/ee/apps", headers={"Host": "a.example.org:8000"}).status_code == 200
        for host in ("evil.test", "example.org", "a.example.org.evil.test", ""):
            _problem(client.get("/ee/apps", headers={"Host": host}), 400, "unknown-host")
        assert client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200
