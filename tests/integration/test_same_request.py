"""A POST is the same request when it gives the same fields, whatever the settings have become since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from specs.app import AppRequest
from specs.settings import ControlPlaneSettings
from tests.catalogs import execute
from tests.integration.api_client import ApiClient, api_context, client_over

FIRST, SECOND = "aws-us-east-1", "aws-eu-west-2"
BEFORE: dict[str, Any] = {"neon_regions": (FIRST, SECOND), "default_region": FIRST, "default_pg_version": 17}
LATER: dict[str, dict[str, Any]] = {
    "the same": {},
    "another default version": {"default_pg_version": 18},
    "another default region": {"default_region": SECOND},
    "the region is not offered": {"neon_regions": (SECOND,), "default_region": SECOND},
    "fewer apps": {"max_apps_per_owner": 1},
    "fewer creates": {"max_creates_per_owner_per_day": 1},
}
BODIES: dict[str, dict[str, Any]] = {
    "by name": {"app_name": "notes"},
    "by null": {"app_name": "notes", "region": None},
    "by region": {"app_name": "notes", "region": FIRST},
}
KEY = {"Idempotency-Key": "key-1"}


@contextmanager
def _api(url: str, **settings: Any) -> Iterator[ApiClient]:
    """A client of an API with these settings."""
    plane = {name: settings.pop(name, value) for name, value in BEFORE.items()}
    with client_over(
        replace(api_context(url, **settings), control_plane=ControlPlaneSettings.model_construct(**plane))
    ) as client:
        yield client


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@pytest.mark.parametrize("key", [{}, KEY], ids=["name", "key"])
def test_the_same_post_is_a_200_under_later_settings(
    catalog_url: str, later: dict[str, Any], body: dict[str, Any], key: dict[str, str]
) -> None:
    with _api(catalog_url) as client:
        first = client.post("/ee/apps", json=body, headers=key)
        client.post("/ee/apps", json={"app_name": "another"})
    with _api(catalog_url, **later) as client:
        again = client.post("/ee/apps", json=body, headers=key)
        # A key that was never seen takes the app that lives.
        other = client.post("/ee/apps", json=body, headers={"Idempotency-Key": "key-2"})
    assert first.status_code == 201
    assert [(answer.status_code, answer.json()) for answer in (again, other)] == [(200, first.json())] * 2


def test_what_is_given_is_compared_with_the_app(catalog_url: str) -> None:
    """A region that is offered no more is a 422 only where no app has the name or the key."""
    with _api(catalog_url) as client:
        client.post("/ee/apps", json=BODIES["by region"], headers=KEY)
    with _api(catalog_url, **LATER["the region is not offered"]) as client:
        differs = client.post("/ee/apps", json={"app_name": "notes", "region": SECOND})
        assert (differs.status_code, differs.json()["fields"]) == (409, ["region"])
        withdrawn = client.post("/ee/apps", json={"app_name": "notes", "region": "aws-never"})
        assert (withdrawn.status_code, withdrawn.json()["fields"]) == (409, ["region"])
        refused = [
            client.post("/ee/apps", json={"app_name": "new", "region": FIRST}),
            client.post("/ee/apps", json={"app_name": "new", "region": FIRST}, headers=KEY),
        ]
        assert [answer.status_code for answer in refused] == [422, 422]
        named = [answer.json()["errors"][0]["field"] for answer in refused]
        assert named == ["region", "Idempotency-Key"]
    assert execute(catalog_url, "SELECT count(*) AS n FROM app_metadata") == [{"n": 1}]


def test_a_fingerprint_is_of_what_was_given() -> None:
    """Stored digests stay good: for the fields of today, and where a later version has a field that is left out."""

    class Later(AppRequest):
        """A request with a field more."""

        pg_version: int | None = None

    today = AppRequest(app_name="notes").fingerprint()
    assert today == hashlib.sha256(b'{"app_name":"notes","region":null}').digest()
    assert Later(app_name="notes").fingerprint() == today
    assert Later(app_name="notes", pg_version=17).fingerprint() != today
    assert AppRequest(app_name="notes", region=FIRST).fingerprint() != today
