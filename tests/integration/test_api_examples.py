"""The examples in the API's description are what the product answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from api.connections.framing import MAX_HEAD_BYTES, Framing
from api.http.headers import EXAMPLE_APP_ID as APP_ID
from api.middleware import MAX_BODY_BYTES
from api.problems import ProblemError
from api.resources.apps.examples import APP_NAME
from reconciler.catalog.apps import AppStore
from reconciler.catalog.limits import MAX_KEYS
from specs.settings import NEON_REGIONS, MetricsSettings
from tests.catalogs import execute
from tests.described import DESCRIBED, example, without_times
from tests.integration.api_client import api_context, bearer, client_over
from tests.integration.test_owner_limits import FILL_KEYS

APPS, ONE = "/ee/apps", "/ee/apps/{app_id}"
NAMED = {"app_name": APP_NAME}
HOUR_NOW = "floor(extract(epoch FROM clock_timestamp()) / 3600)::bigint"
Document = dict[str, Any]
Arguments = dict[str, Any]


def _problem(method: str, path: str, slug: str) -> Document:
    """The example of a problem of an operation."""
    for response in DESCRIBED["paths"][path][method.lower()]["responses"].values():
        examples = response["content"].get("application/problem+json", {}).get("examples", {})
        if slug in examples:
            found: Document = examples[slug]["value"]
            return found
    raise LookupError(f"{method} {path} has no example of {slug}")


@pytest.mark.parametrize(
    ("method", "path", "slug", "arguments", "http"),
    [
        ("POST", APPS, "malformed-body", {"content": b"{}"}, {}),
        ("POST", APPS, "invalid-idempotency-key", {"json": NAMED, "headers": {"Idempotency-Key": "a b"}}, {}),
        ("POST", APPS, "invalid-request", {"json": {"app_name": ""}}, {}),
        ("POST", APPS, "forbidden", {"json": NAMED, "permissions": ("read",)}, {}),
        ("POST", APPS, "body-too-large", {"content": b"x" * (MAX_BODY_BYTES + 1)}, {}),
        ("GET", APPS, "invalid-request", {"params": {"limit": "0"}}, {}),
        ("GET", APPS, "forbidden", {"permissions": ()}, {}),
        ("GET", APPS, "unknown-host", {"headers": {"Host": "evil.test"}}, {"allowed_hosts": ("api.test",)}),
        ("GET", APPS, "too-many-requests", {}, {"requests_per_minute": 60}),
        ("GET", ONE, "invalid-request", {"params": {"limit": "0"}}, {}),
        ("GET", ONE, "app-not-found", {}, {}),
        ("DELETE", ONE, "app-not-found", {}, {}),
        ("DELETE", ONE, "forbidden", {"permissions": ("read",)}, {}),
        ("GET", "/ee/apps/{app_id}/events", "app-not-found", {}, {}),
    ],
)
def test_problem_examples_match_the_responses(
    catalog_url: str, method: str, path: str, slug: str, arguments: Arguments, http: Arguments
) -> None:
    with client_over(api_context(catalog_url, **http)) as client:
        for _ in range(http.get("requests_per_minute", 0)):
            client.request(method, path.format(app_id=APP_ID))
        sent = dict(arguments)
        if "permissions" in sent:
            sent["headers"] = bearer(permissions=sent.pop("permissions"))
        response = client.request(method, path.format(app_id=APP_ID), **sent)
    assert response.json() == _problem(method, path, slug)


@pytest.mark.parametrize(
    ("slug", "statements"),
    [
        ("name-taken", []),
        ("app-limit-reached", ["UPDATE app_owners SET app_count = 100"]),
        ("create-limit-reached", [f"UPDATE app_owners SET creates = ARRAY[200], creates_hour = {HOUR_NOW}"]),
        ("idempotency-key-limit-reached", [FILL_KEYS, f"UPDATE app_owners SET key_count = {MAX_KEYS}"]),
    ],
)
def test_problem_examples_match_the_refusals_of_the_catalog(catalog_url: str, slug: str, statements: list[str]) -> None:
    with client_over(replace(api_context(catalog_url), new_app_id=lambda: APP_ID)) as client:
        client.post(APPS, json=NAMED | {"region": NEON_REGIONS[1]})
        for statement in statements:
            execute(catalog_url, statement.format(keys=MAX_KEYS))
        name = APP_NAME if slug == "name-taken" else "another"
        body = {"app_name": name, "region": NEON_REGIONS[0]}
        response = client.post(APPS, json=body, headers={"Idempotency-Key": "new"})
    assert response.json() == _problem("POST", APPS, slug)


def test_problem_examples_match_the_responses_outside_the_apps(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secured = replace(api_context(catalog_url), metrics=MetricsSettings.model_validate({"metrics_token": "m" * 32}))
    with client_over(secured) as client:
        assert client.anonymous("GET", APPS).json() == _problem("GET", APPS, "unauthorized")
        assert client.get("/metrics").json() == _problem("GET", "/metrics", "unauthorized")
        assert client.get("/no/such/path").json() == _problem("GET", ONE, "not-found")
        assert client.put(APPS).json() == _problem("GET", APPS, "method-not-allowed")

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("unexpected")

        monkeypatch.setattr(AppStore, "list", broken)
        assert client.get(APPS).json() == _problem("GET", APPS, "internal-error")
    with client_over(api_context("postgresql://none@127.0.0.1:1/none")) as client:
        for path in (APPS, "/readyz"):
            assert client.get(path).json() == _problem("GET", path, "unavailable")


def test_examples_of_a_new_app_and_of_probes_match_the_responses(catalog_url: str) -> None:
    with client_over(replace(api_context(catalog_url), new_app_id=lambda: APP_ID)) as client:
        created = client.post(APPS, json=example("POST", APPS)).json()
        assert without_times(created) == without_times(example("POST", APPS, 201))
        [event] = client.get(f"{APPS}/{APP_ID}/events").json()["events"]
        assert without_times({"events": [event], "next_cursor": None}) == without_times(
            example("GET", "/ee/apps/{app_id}/events", 200)
        )
        for path in ("/healthz", "/readyz"):
            assert client.get(path).json() == example("GET", path, 200)


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (b"GET\r\n\r\n", "malformed-request"),
        (b"GET / HTTP/1.1\r\nHost: api\r\nExpect: more\r\n\r\n", "expectation-failed"),
        (b"GET / HTTP/1.1\r\nHost: api\r\nX: " + b"x" * MAX_HEAD_BYTES, "head-too-large"),
    ],
)
def test_problem_examples_match_the_refusals_of_a_connection(data: bytes, slug: str) -> None:
    with pytest.raises(ProblemError) as raised:
        Framing().feed(data)
    assert json.loads(bytes(raised.value.response().body)) == _problem("GET", APPS, slug)
