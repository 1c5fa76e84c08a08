"""What the API accepts, every later reader accepts too: the catalog's models, and Postgres."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.api_client import ApiClient, api_context, bearer, client_over

LIMITS = {"max_apps_per_owner": 100_000, "requests_per_minute": 1_000_000, "failed_tokens_per_minute": 1_000_000}
GROWING = "\U0001d160"  # one character, and three in Unicode's form NFC
WIDE = "\U00020000"  # four bytes in UTF-8
SEARCH = settings(
    derandomize=True, max_examples=150, deadline=None, database=None, suppress_health_check=[*HealthCheck]
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=110)
NAMES = TEXT | st.text(st.sampled_from(["a", " ", GROWING, WIDE, "\u0300", "\u0345", "\u200d", "\x00", "\u2126"]))
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | NAMES, st.lists, max_leaves=5)
PARAMETERS = st.sampled_from(["name", "status", "limit", "cursor", "other"])


def _post(client: ApiClient, body: object, **arguments: Any) -> Any:
    headers = {"Content-Type": "application/json"} | arguments.pop("headers", {})
    return client.post("/ee/apps", content=json.dumps(body).encode(), headers=headers, **arguments)


def test_a_name_that_grows_when_it_is_normalized_is_a_422_that_names_it(catalog_url: str) -> None:
    with client_over(api_context(catalog_url)) as client:
        for answer, field in (
            (_post(client, {"app_name": GROWING * 40}), "app_name"),
            (client.get("/ee/apps", params={"name": GROWING * 40}), "name"),
        ):
            assert answer.status_code == 422, answer.text
            assert [error["field"] for error in answer.json()["errors"]] == [field]
            assert "at most 100 characters" in answer.json()["errors"][0]["detail"]
        assert len(_post(client, {"app_name": GROWING * 33}).json()["app_name"]) == 99


def test_the_longest_of_everything_is_accepted_and_found_again(catalog_url: str) -> None:
    """In characters of four bytes; an index of Postgres holds at most 2,704 bytes."""
    with client_over(api_context(catalog_url)) as client:
        headers = bearer(WIDE * 255) | {"Idempotency-Key": "k" * 255, "X-Request-ID": "r" * 128}
        made = _post(client, {"app_name": WIDE * 100}, headers=headers)
        assert made.status_code == 201
        found = client.get("/ee/apps", params={"name": WIDE * 100}, headers=headers).json()["apps"]
        assert [app["app_id"] for app in found] == [made.json()["app_id"]]


def test_whatever_a_client_names_its_app_is_accepted_or_refused_with_a_reason(catalog_url: str) -> None:
    with client_over(api_context(catalog_url, **LIMITS)) as client:

        @SEARCH
        @given(NAMES, TEXT)
        def search(name: str, owner: str) -> None:
            headers = bearer(owner)
            made = _post(client, {"app_name": name}, headers=headers)
            assert made.status_code in (200, 201, 401, 422), (made.status_code, made.text)
            if made.status_code in (200, 201):
                stored = made.json()["app_name"]
                found = client.get("/ee/apps", params={"name": stored}, headers=headers).json()["apps"]
                assert [app["app_name"] for app in found] == [stored]

        search()


@pytest.mark.parametrize("part", ["body", "query", "headers", "path"])
def test_no_input_is_an_error_of_ours(catalog_url: str, part: str) -> None:
    with client_over(api_context(catalog_url, **LIMITS)) as client:

        @SEARCH
        @given(st.dictionaries(st.sampled_from(["app_name", "region"]) | TEXT, VALUES, max_size=4), PARAMETERS, NAMES)
        def search(fields: dict[str, Any], parameter: str, text: str) -> None:
            header = text.encode().decode("latin-1").translate({0: None, 10: None, 13: None}).strip()
            match part:
                case "body":
                    answer = _post(client, fields)
                case "query":
                    answer = client.get("/ee/apps", params={parameter: text})
                case "headers":
                    sent = {name: header.encode("latin-1") for name in ("Idempotency-Key", "Prefer", "X-Request-ID")}
                    raw = [*sent.items(), (b"Content-Type", b"application/json"), *bearer().items()]
                    answer = client.post("/ee/apps", content=b'{"app_name": "notes"}', headers=raw)
                case _:
                    answer = client.get("/ee/apps/" + "".join(f"%{byte:02x}" for byte in text.encode()))
            assert answer.status_code < 500, (answer.status_code, answer.text)

        search()
