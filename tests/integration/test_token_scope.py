"""Tokens that restrict: for one app, and below the minimum version of their owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from api.auth.revocations import TokenRevocations
from api.cli.main import main
from api.endpoint import AnyEndpoint as Operation
from api.http.prefer_wait import ConvergenceWaiter
from api.resources import ENDPOINTS as OPERATIONS
from tests.catalogs import execute, make_ready, new_app_id
from tests.integration.api_client import ApiClient, api_context, client_over, token


@pytest.fixture
def client(catalog_url: str) -> Iterator[ApiClient]:
    """Alice's client."""
    with client_over(api_context(catalog_url)) as client:
        yield client


def _bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(**claims)}"}


def test_app_token_reaches_that_app_alone(client: ApiClient, catalog_url: str) -> None:
    one, other = (client.post("/ee/apps", json={"app_name": name}).json()["app_id"] for name in ("one", "other"))
    bobs = client.post("/ee/apps", json={"app_name": "one"}, headers=_bearer(user="bob")).json()["app_id"]
    make_ready(catalog_url, one)
    scoped = _bearer(app_id=one)
    for method, tail in [("GET", ""), ("GET", "/events"), ("DELETE", "")]:
        answers = {
            (answer.status_code, answer.text)
            for each in (other, bobs, new_app_id(), "x")
            for answer in [client.request(method, f"/ee/apps/{each}{tail}", headers=scoped)]
        }
        unknown = client.request(method, f"/ee/apps/{new_app_id()}{tail}")
        assert answers == {(404, unknown.text)}
    assert client.get(f"/ee/apps/{one}", headers=scoped).json()["morphik_uri"] is not None
    reader = _bearer(app_id=one, permissions=("read",))
    assert client.get(f"/ee/apps/{one}", headers=reader).json()["morphik_uri"] is None
    assert client.get(f"/ee/apps/{one}/events", headers=scoped).status_code == 200
    assert client.delete(f"/ee/apps/{one}", headers=reader).status_code == 403
    assert client.delete(f"/ee/apps/{one}", headers=scoped).status_code == 202
    assert client.get(f"/ee/apps/{other}").json()["status"] == "pending"


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.permissions], ids=lambda each: each.name)
def test_token_permissions_are_those_of_the_operation(client: ApiClient, operation: Operation) -> None:
    app_id = client.post("/ee/apps", json={"app_name": "one"}).json()["app_id"]
    permissions = operation.permissions or ()

    def status(**claims: Any) -> tuple[int, str]:
        path = operation.path.format(app_id=app_id)
        response = client.request(operation.method, path, headers=_bearer(**claims), json={"app_name": "one"})
        return response.status_code, response.headers.get("www-authenticate", "")

    for allowed in permissions:
        assert status(permissions=(allowed,))[0] in operation.responses
    others = tuple({"read", "write", "admin"} - {*permissions})
    assert status(permissions=others) == (403, f'Bearer error="insufficient_scope", scope="{permissions[0]}"')
    assert (status(app_id=app_id)[0] == 403) is not operation.app_token


def test_app_token_lists_that_app_alone(client: ApiClient) -> None:
    ids = [client.post("/ee/apps", json={"app_name": f"app-{n}"}).json()["app_id"] for n in range(3)]
    scoped = _bearer(app_id=ids[1])

    def listed(query: str = "") -> list[str]:
        page = client.get(f"/ee/apps{query}", headers=scoped).json()
        assert page["next_cursor"] is None
        return [app["app_id"] for app in page["apps"]]

    assert listed() == listed("?limit=1") == listed("?name=app-1&status=pending") == [ids[1]]
    assert listed("?name=app-2") == listed("?status=ready") == []
    cursor = client.get("/ee/apps?limit=1").json()["next_cursor"]
    assert listed(f"?cursor={cursor}") == [ids[1]]
    for foreign in (
        _bearer(user="bob", app_id=ids[1]),
        _bearer(app_id=new_app_id()),
        _bearer(app_id="an id of Morphik"),
    ):
        assert client.get("/ee/apps", headers=foreign).json() == {"apps": [], "next_cursor": None}
        assert client.get(f"/ee/apps/{ids[1]}", headers=foreign).status_code == 404


def test_app_token_creates_nothing(client: ApiClient, catalog_url: str) -> None:
    made = client.post("/ee/apps", json={"app_name": "one"})
    # Neither a new app, nor the answer of a create that came before.
    for name in ("one", "new"):
        answer = client.post("/ee/apps", json={"app_name": name}, headers=_bearer(app_id=made.json()["app_id"]))
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
        assert "app_id" in answer.json()["detail"]
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    with psycopg.connect(catalog_url) as connection:
        assert connection.execute("SELECT count(*) FROM app_metadata").fetchone() == (1,)


def _revoke(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["owners", "revoke-tokens", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds have passed for every revocation check."""
    passed = [0.0]
    real = TokenRevocations.__init__

    def init(self: TokenRevocations, read: Any) -> None:
        real(self, read, clock=lambda: passed[0])

    monkeypatch.setattr(TokenRevocations, "__init__", init)
    return passed


def test_revoked_tokens_are_refused_within_a_minute_in_every_process(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], minute: list[float]
) -> None:
    monkeypatch.setenv("DATABASE_URL", catalog_url)
    tokens = {version: _bearer(token_version=version) for version in (1, 2)} | {None: _bearer()}
    with client_over(api_context(catalog_url)) as one, client_over(api_context(catalog_url)) as two:

        def statuses() -> set[tuple[int, ...]]:
            return {
                tuple(each.get("/ee/apps", headers=headers).status_code for headers in tokens.values())
                for each in (one, two)
            }

        assert statuses() == {(200, 200, 200)}
        assert "below 2" in _revoke(capsys, "alice", "--below", "2")
        minute[0] += 59
        assert statuses() == {(401, 200, 401)}
        refused = one.get("/ee/apps", headers=tokens[1])
        assert refused.json()["detail"] == "Send a valid token: the token was revoked."
        assert one.get("/ee/apps", headers=_bearer(user="bob")).status_code == 200
        assert "nothing to change" in _revoke(capsys, "alice", "--below", "2")
        # A lower minimum needs the flag, and 0 ends it.
        assert main(["owners", "revoke-tokens", "alice", "--below", "1"]) == 1
        assert "--allow-lower" in capsys.readouterr().err
        minute[0] += 59
        assert statuses() == {(401, 200, 401)}
        assert "accepts all tokens" in _revoke(capsys, "alice", "--below", "0", "--allow-lower")
        minute[0] += 59
        assert statuses() == {(200, 200, 200)}
    with psycopg.connect(catalog_url) as connection:
        audit = connection.execute(
            "SELECT owner_id, previous_version, minimum_version, operator <> '', login = session_user, at <= now()"
            " FROM token_minimum_changes ORDER BY change_id"
        ).fetchall()
    assert audit == [("alice", 0, 2, True, True, True), ("alice", 2, 0, True, True, True)]


def test_token_revoked_while_its_answer_is_held_gets_no_uri(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch, minute: list[float]
) -> None:
    async def revoked(_waiting: ConvergenceWaiter, app_id: str, _seconds: float) -> None:
        make_ready(catalog_url, app_id)
        execute(catalog_url, "INSERT INTO token_minimums VALUES ('alice', 2) ON CONFLICT DO NOTHING")
        minute[0] += 59

    monkeypatch.setattr(ConvergenceWaiter, "until_converged", revoked)
    held = {"Prefer": "wait=60"}
    with client_over(api_context(catalog_url)) as client:
        for version, status in ((1, 401), (2, 201)):
            named = {"app_name": f"of-version-{version}"}
            answer = client.post("/ee/apps", json=named, headers=_bearer(token_version=version) | held)
            assert (answer.status_code, "morphik://" in answer.text) == (status, status == 201)


def test_revocation_unreadable_is_a_503_and_never_accepts(catalog_url: str, minute: list[float]) -> None:
    with client_over(api_context(catalog_url)) as client:
        assert client.get("/ee/apps").status_code == 200
        execute(catalog_url, "ALTER TABLE token_minimums RENAME TO hidden")
        minute[0] += 59
        answer = client.get("/ee/apps")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "arguments",
    [["", "--below", "1"], ["a\nb", "--below", "1"], ["a" * 256, "--below", "1"], ["a", "--below", "-1"],
     ["a", "--below", str(2**53)]],
)  # fmt: skip
def test_revoke_tokens_wrong_argument_is_one_line(
    arguments: list[str], catalog_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", catalog_url)
    assert main(["owners", "revoke-tokens", *arguments]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
