"""Rate limits of local Neon: one bucket for an account, one window for a route."""

from __future__ import annotations

from typing import Any

from reconciler.local.options import Organization, SeedKey
from reconciler.local.protocol import Request
from tests.unit.local_neon_client import Client, Json

NEON: Json = {"requests_per_minute": 700}
CONSUMPTION = {
    "from": "2026-09-20T00:00:00Z",
    "to": "2026-09-21T00:00:00Z",
    "granularity": "daily",
    "org_id": "org-local-00000000",
    "metrics": "compute_unit_seconds",
}


def _admitted(client: Client, count: int, paths: tuple[str, ...] = ("/auth",), **query: Any) -> int:
    before = client.simulator.accepted_count
    for number in range(count):
        request = Request("GET", paths[number % len(paths)], query)
        assert client.simulator.handle(request, client.now).status in {200, 429}
    return client.simulator.accepted_count - before


def test_an_account_has_forty_at_once_and_seven_hundred_a_minute() -> None:
    client = Client(**NEON)
    paths = ("/auth", "/projects", "/users/me/organizations")
    assert _admitted(client, 60, paths) == 40
    client.now += 3.0
    assert _admitted(client, 60, paths) == 35
    client.now += 60.0
    assert _admitted(client, 60, paths) == 40
    assert (client.simulator.accepted_count, client.simulator.rejected_count) == (115, 65)


def test_in_a_minute_no_more_than_the_rate_and_the_burst_get_in() -> None:
    client = Client(**NEON)
    before, total = client.now, 0
    for step in range(600):
        client.now = before + step / 10
        total += _admitted(client, 5, ("/auth", "/projects"))
    assert 700 + 35 <= total <= 700 + 40


def test_a_route_has_forty_in_any_second() -> None:
    client = Client(requests_per_minute=60_000, burst=1000)
    assert _admitted(client, 60) == 40
    assert _admitted(client, 60, ("/projects",)) == 40
    client.now += 0.9
    assert _admitted(client, 1) == 0
    client.now += 0.1
    assert _admitted(client, 60) == 40


def test_a_route_is_a_template_and_a_method() -> None:
    client = Client(requests_per_minute=60_000, burst=1000, route_burst=1)
    first, second = client.create()["project"]["id"], ""
    client.wait(1)
    second = client.create()["project"]["id"]
    client.call("GET", f"/projects/{first}")
    client.call("GET", f"/projects/{second}", status=429)
    client.call("PATCH", f"/projects/{first}", {"project": {}})
    client.call("PATCH", f"/projects/{second}", {"project": {}}, status=429)


def test_a_refused_request_has_changed_nothing_and_says_nothing_of_when() -> None:
    client = Client(requests_per_minute=60, burst=1)
    client.call("GET", "/auth")
    client.call("POST", "/projects", {"project": {}}, status=429)
    response = client.simulator.handle(Request("GET", "/auth"), client.now)
    assert response.status == 429
    assert "Retry-After" not in response.headers
    client.wait()
    assert client.call("GET", "/projects")["projects"] == []


def test_a_refusal_may_say_when_to_come_again() -> None:
    client = Client(requests_per_minute=60, burst=1, retry_after=7)
    client.call("GET", "/auth")
    assert client.simulator.handle(Request("GET", "/auth"), client.now).headers["Retry-After"] == "7"


def test_accounts_are_limited_apart() -> None:
    keys = (SeedKey("a", "organization"), SeedKey("b", "organization", "org-b"), SeedKey("p", "personal"))
    client = Client(requests_per_minute=60, burst=1, organizations=(Organization("org-b"),), keys=keys)
    for key in ("a", "b", "p"):
        client.call("GET", "/auth", key=key)
        client.call("GET", "/auth", key=key, status=429)


def test_keys_of_one_account_share_its_limits() -> None:
    client = Client(requests_per_minute=60, burst=2)
    made = client.call("POST", "/organizations/org-local-00000000/api_keys", {"key_name": "k"})
    client.call("GET", "/auth", key=made["key"])
    client.call("GET", "/auth", status=429)


def test_a_wrong_key_uses_up_nothing() -> None:
    client = Client(requests_per_minute=60, burst=1, api_key="right")
    for _ in range(3):
        client.call("GET", "/auth", key="wrong", status=401)
    client.call("GET", "/auth", key="right")


def test_consumption_is_asked_for_thirty_times_a_minute() -> None:
    client = Client(**NEON)
    history = ("/consumption_history/v2/projects",)
    assert _admitted(client, 39, history, **CONSUMPTION) == 30
    assert _admitted(client, 5) == 5
    client.now += 4.0
    assert _admitted(client, 10, history, **CONSUMPTION) == 2


def test_keys_are_made_ten_times_a_second() -> None:
    client = Client(**NEON)
    path = "/organizations/org-local-00000000/api_keys"
    for _ in range(10):
        client.call("POST", path, {"key_name": "k"})
    client.call("POST", path, {"key_name": "k"}, status=429)
    client.wait(1)
    client.call("POST", path, {"key_name": "k"})


def test_by_default_nothing_is_limited_and_all_is_counted() -> None:
    client = Client()
    assert _admitted(client, 500) == 500
    assert client.simulator.rejected_count == 0
