"""What the API makes of what proxies and their clients send: paths, methods, and the client's address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.api_client import ApiClient, api_context, client_over

NAMED = {"app_name": "notes"}


@pytest.fixture
def client(catalog_url: str) -> Iterator[ApiClient]:
    """Alice's client."""
    with client_over(api_context(catalog_url)) as client:
        yield client


def test_path_in_another_spelling_is_a_404(client: ApiClient) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        for path in ("/%6detrics", "/ee%2fapps", "//healthz", "/ee/apps/", "/healthz;x"):
            response = client.request(method, f"http://api.test{path}")
            assert (method, path, response.status_code) == (method, path, 404)
            assert response.headers["x-request-id"]


def test_method_override_is_ignored(client: ApiClient) -> None:
    app_id = client.post("/ee/apps", json=NAMED).json()["app_id"]
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert client.get(f"/ee/apps/{app_id}", headers={name: "DELETE"}).json()["status"] == "pending"
    assert client.post("/ee/apps?_method=GET", json=NAMED).status_code == 422


@pytest.mark.parametrize(
    ("named", "ignored", "values"),
    [
        ("x-forwarded-for", "forwarded", ("203.0.113.9:51234", "203.0.113.10:51234")),
        ("x-forwarded-for", "forwarded", ('"[2001:db8::1]"', "[2001:db8:0:1::1]:443")),
        ("forwarded", "x-forwarded-for", ('for="[2001:db8::1]:4711";proto=https', "For=203.0.113.9")),
    ],
)
def test_failed_tokens_are_counted_by_the_address_in_the_named_header(
    catalog_url: str, named: str, ignored: str, values: tuple[str, str]
) -> None:
    """Each client behind the proxy has a bucket of its own, whatever it says in the other header."""
    settings = {"trusted_proxies": ("127.0.0.1",), "client_address_header": named, "failed_tokens_per_minute": 2}
    with client_over(api_context(catalog_url, **settings)) as client:
        for value in values:
            statuses = [
                client.get(
                    "/ee/apps", headers={"Authorization": "Bearer x", named: value, ignored: f"10.9.8.{number}"}
                ).status_code
                for number in range(3)
            ]
            assert statuses == [401, 401, 429]
