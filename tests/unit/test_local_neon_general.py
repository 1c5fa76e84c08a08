"""What local Neon does whatever is asked: keys, refusals, request ids, and no idempotency."""

from __future__ import annotations

import pytest

from reconciler.local.protocol import Request
from tests.unit.local_neon_client import Client, Json


def test_a_new_project_is_listed_at_once() -> None:
    client = Client(operation_seconds=(5.0, 5.0))
    made = client.call("POST", "/projects", {"project": {"name": "new"}}, status=201)
    (listed,) = client.call("GET", "/projects")["projects"]
    assert listed["id"] == made["project"]["id"]
    assert [each["id"] for each in client.call("GET", "/projects", search="new")["projects"]] == [listed["id"]]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_a_known_key_nothing_is_answered_or_done(key: str) -> None:
    client = Client(api_key="right")
    path = f"/projects/{client.call('POST', '/projects', {'project': {}}, status=201, key='right')['project']['id']}"
    client.wait()
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/branches"), ("GET", "/nothing")):
        client.call(method, path + tail, status=401, key=key)
    client.call("POST", "/projects", {"project": {}}, status=401, key=key)
    assert len(client.call("GET", "/projects", key="right")["projects"]) == 1


def test_a_refusal_says_its_request_id_an_empty_code_and_a_message() -> None:
    simulator = Client(api_key="right").simulator
    for key, path, status in (("wrong", "/auth", 401), ("right", "/projects/none", 404), ("right", "/nothing", 404)):
        answer = simulator.handle(Request("GET", path, key=key, request_id="mine"), 0.0)
        assert answer.status == status
        assert isinstance(answer.body, dict)
        assert answer.body["request_id"] == "mine"
        assert answer.body["code"] == ""
        assert answer.body["message"]


def test_an_answer_carries_the_request_id() -> None:
    simulator = Client().simulator
    for path in ("/auth", "/nothing"):
        assert simulator.handle(Request("GET", path, request_id="mine"), 0.0).headers["X-Request-ID"] == "mine"
        assert simulator.handle(Request("GET", path), 0.0).headers["X-Request-ID"]


def test_the_same_create_twice_makes_two_projects() -> None:
    simulator = Client().simulator
    same = Request("POST", "/projects", body={"project": {"name": "same"}}, request_id="mine")
    answers = [simulator.handle(same, 0.0) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    listed = simulator.handle(Request("GET", "/projects"), 0.0).body
    assert isinstance(listed, dict)
    assert [each["name"] for each in listed["projects"]] == ["same", "same"]
    assert len({each["id"] for each in listed["projects"]}) == 2


def test_a_refused_change_changes_nothing() -> None:
    client = Client()
    made = client.create()
    path, branch = f"/projects/{made['project']['id']}", made["branch"]["id"]
    client.call("GET", path)  # lets what is due be done
    before = client.simulator.dump(made["project"]["id"])
    refused: list[tuple[str, str, Json, int]] = [
        ("PATCH", "", {"project": {"name": "other", "surprise": 1}}, 400),
        ("PATCH", "", {"project": {"name": "other", "default_endpoint_settings": {"suspend_timeout_seconds": 1}}}, 422),
        ("DELETE", f"/branches/{branch}", {}, 422),
        ("POST", "/branches", {"branch": {"name": "main"}}, 409),
        ("DELETE", f"/branches/{branch}/roles/neondb_owner", {}, 422),
    ]
    for method, tail, body, status in refused:
        client.call(method, path + tail, body or None, status=status)
    assert client.simulator.dump(made["project"]["id"]) == before


def test_answers_hold_fields_that_no_document_has() -> None:
    client = Client()
    made = client.create()
    project = client.call("GET", f"/projects/{made['project']['id']}")["project"]
    assert project["slug"]
    assert made["branch"]["slug"]
    assert made["endpoints"][0]["hosts"]
