"""Branches, endpoints, roles and databases of local Neon's state machine."""

from __future__ import annotations

import pytest

from tests.unit.local_neon_client import Client, Json


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def made(client: Client) -> Json:
    return client.create()


def test_a_branch_has_its_parents_roles_and_may_have_a_compute(client: Client, made: Json) -> None:
    path = f"/projects/{made['project']['id']}/branches"
    body = {"branch": {"name": "dev"}, "endpoints": [{"type": "read_write"}], "annotation_value": {"k": "v"}}
    branch = client.call("POST", path, body, status=201)
    assert branch["branch"]["parent_id"] == made["branch"]["id"]
    assert [each["action"] for each in branch["operations"]] == ["create_branch", "start_compute"]
    parent, child = made["connection_uris"][0], branch["connection_uris"][0]
    assert parent["connection_parameters"]["password"] == child["connection_parameters"]["password"]
    for part in ("role", "database"):
        assert parent["connection_parameters"][part] != child["connection_parameters"][part]
    client.wait()
    listed = client.call("GET", path, sort_by="name", sort_order="asc")
    assert [each["name"] for each in listed["branches"]] == ["dev", "main"]
    assert listed["annotations"][branch["branch"]["id"]]["value"] == {"k": "v"}
    assert "next" not in listed["pagination"]
    first = client.call("GET", path, limit="1")
    second = client.call("GET", path, limit="1", cursor=first["pagination"]["next"])
    assert {first["branches"][0]["name"], second["branches"][0]["name"]} == {"dev", "main"}
    client.call("POST", path, {"branch": {"name": "dev"}}, status=409)
    client.call("POST", path, {"branch": {"surprise": 1}}, status=400)


def test_what_a_branch_is_needed_for_cannot_be_deleted(client: Client, made: Json) -> None:
    path = f"/projects/{made['project']['id']}/branches"
    child = client.call("POST", path, status=201)["branch"]["id"]
    client.wait()
    grandchild = client.call("POST", path, {"branch": {"parent_id": child}}, status=201)["branch"]["id"]
    client.wait()
    client.call("DELETE", f"{path}/{made['branch']['id']}", status=422)
    client.call("DELETE", f"{path}/{child}", status=422)
    client.call("POST", f"{path}/{grandchild}/set_as_default")
    client.call("DELETE", f"{path}/{grandchild}", status=422)
    client.call("DELETE", f"{path}/{made['branch']['id']}", status=422)
    client.call("POST", f"{path}/{child}/set_as_default")
    client.call("DELETE", f"{path}/{grandchild}")
    client.call("GET", f"{path}/{grandchild}", status=404)
    client.wait()
    client.call("DELETE", f"{path}/{grandchild}", status=204)
    assert client.call("GET", f"{path}/count")["count"] == 2


def test_without_a_compute_there_is_no_uri(client: Client, made: Json) -> None:
    path = f"/projects/{made['project']['id']}"
    names: Json = {"database_name": "neondb", "role_name": "neondb_owner"}
    endpoint = {"endpoint": {"branch_id": made["branch"]["id"], "type": "read_write"}}
    client.call("POST", f"{path}/endpoints", endpoint, status=409)
    client.call("DELETE", f"{path}/endpoints/{made['endpoints'][0]['id']}")
    client.wait()
    client.call("GET", f"{path}/connection_uri", status=404, **names)
    client.call("DELETE", f"{path}/endpoints/{made['endpoints'][0]['id']}", status=204)
    client.call("POST", f"{path}/endpoints", endpoint, status=201)
    client.wait()
    uri = client.call("GET", f"{path}/connection_uri", **names)["uri"]
    assert uri == made["connection_uris"][0]["connection_uri"]
    pooled = client.call("GET", f"{path}/connection_uri", pooled="true", **names)["uri"]
    assert pooled == uri.replace("127.0.0.1", "localhost")
    for wrong in ({"database_name": "none"}, {"role_name": "none"}, {"branch_id": "br-none"}):
        client.call("GET", f"{path}/connection_uri", status=404, **{**names, **wrong})
    client.call("GET", f"{path}/connection_uri", status=400, database_name="neondb")


def test_a_compute_is_changed_suspended_and_disabled(client: Client, made: Json) -> None:
    path = f"/projects/{made['project']['id']}/endpoints/{made['endpoints'][0]['id']}"
    change = {"autoscaling_limit_min_cu": 0.5, "autoscaling_limit_max_cu": 4, "suspend_timeout_seconds": 60}
    answer = client.call("PATCH", path, {"endpoint": change})
    assert answer["operations"]
    client.wait()
    endpoint = client.call("GET", path)["endpoint"]
    assert {name: endpoint[name] for name in change} == change
    client.call("PATCH", path, {"endpoint": {"autoscaling_limit_max_cu": 20}}, status=422)
    assert client.call("POST", f"{path}/suspend")["operations"]
    client.wait()
    assert client.call("GET", path)["endpoint"]["current_state"] == "idle"
    assert client.call("POST", f"{path}/suspend")["operations"] == []
    client.call("PATCH", path, {"endpoint": {"disabled": True}})
    client.wait()
    client.call("POST", f"{path}/start", status=422)


def test_roles_are_made_revealed_reset_and_deleted(client: Client, made: Json) -> None:
    path = f"/projects/{made['project']['id']}/branches/{made['branch']['id']}"
    role = client.call("POST", f"{path}/roles", {"role": {"name": "second"}}, status=201)["role"]
    client.wait()
    assert client.call("GET", f"{path}/roles/second/reveal_password")["password"] == role["password"]
    client.call("POST", f"{path}/roles", {"role": {"name": "second"}}, status=409)
    client.call("POST", f"{path}/roles", {"role": {"name": "neon_superuser"}}, status=422)
    reset = client.call("POST", f"{path}/roles/second/reset_password")["role"]["password"]
    assert reset != role["password"]
    client.wait()
    assert client.call("GET", f"{path}/roles/second/reveal_password")["password"] == reset
    client.call("DELETE", f"{path}/roles/neondb_owner", status=422)
    client.call("PATCH", f"{path}/databases/neondb", {"database": {"owner_name": "second"}})
    client.wait()
    client.call("DELETE", f"{path}/roles/neondb_owner")
    client.wait()
    client.call("GET", f"{path}/roles/neondb_owner", status=404)
    client.call("DELETE", f"{path}/roles/neondb_owner", status=204)


def test_databases_are_made_and_deleted(client: Client, made: Json) -> None:
    path = f"/projects/{made['project']['id']}/branches/{made['branch']['id']}/databases"
    client.call("POST", path, {"database": {"name": "more", "owner_name": "neondb_owner"}}, status=201)
    client.wait()
    assert [each["name"] for each in client.call("GET", path)["databases"]] == ["neondb", "more"]
    client.call("POST", path, {"database": {"name": "more", "owner_name": "neondb_owner"}}, status=409)
    client.call("POST", path, {"database": {"name": "x", "owner_name": "nobody"}}, status=404)
    client.call("DELETE", f"{path}/more")
    client.wait()
    client.call("DELETE", f"{path}/more", status=204)
    client.call("GET", f"{path}/more", status=404)
