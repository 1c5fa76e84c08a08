"""Keys of local Neon: what each kind may see, and that the rest is a 404."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.local.options import LocalNeonOptions, Organization, SeedKey
from reconciler.local.simulator import LocalNeon
from reconciler.local.state.account_state import ACCOUNT
from tests.unit.local_neon_client import Client, Json

FIRST, SECOND = "org-local-00000000", "org-second-11111111"
OPTIONS: Json = {
    "organizations": (Organization(SECOND, "Second", "launch"),),
    "keys": (
        SeedKey("mine", "personal"),
        SeedKey("first", "organization", FIRST),
        SeedKey("second", "organization", SECOND),
    ),
}
ORG_REQUIRED = "org_id is required, you can find it on your organization settings page"
NOT_FOR_ORGANIZATIONS = "not allowed for organization API keys"


def _project(client: Client, key: str, **fields: Any) -> str:
    made = client.call("POST", "/projects", {"project": fields}, status=201, key=key)
    client.wait()
    project_id: str = made["project"]["id"]
    return project_id


def _key(client: Client, key: str, org_id: str = FIRST, **fields: Any) -> Json:
    return client.call("POST", f"/organizations/{org_id}/api_keys", {"key_name": "k", **fields}, key=key)


def _listed(client: Client, key: str, org_id: str = FIRST) -> list[Json]:
    client.call("GET", f"/organizations/{org_id}/api_keys", key=key)
    body = client.answers[-1][3]
    assert isinstance(body, list)
    return body


def test_a_personal_key_says_for_which_organization() -> None:
    client = Client(**OPTIONS)
    assert client.call("GET", "/projects", key="mine", status=400)["message"] == ORG_REQUIRED
    assert client.call("POST", "/projects", {"project": {}}, key="mine", status=400)["message"] == ORG_REQUIRED
    project_id = _project(client, "mine", org_id=SECOND)
    (listed,) = client.call("GET", "/projects", key="mine", org_id=SECOND)["projects"]
    assert (listed["id"], listed["org_id"], listed["org_name"]) == (project_id, SECOND, "Second")
    assert client.call("GET", "/projects", key="mine", org_id=FIRST)["projects"] == []
    client.call("GET", "/projects", key="mine", org_id="org-other", status=404)


def test_a_key_of_an_organization_sees_only_what_is_its_own() -> None:
    client = Client(**OPTIONS)
    project_id = _project(client, "first")
    assert client.call("GET", f"/projects/{project_id}", key="first")["project"]["owner_id"] == FIRST
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/branches"), ("GET", "/operations")):
        refused = client.call(method, f"/projects/{project_id}{tail}", key="second", status=404)
        assert refused["message"] == "project not found"
    assert client.call("GET", "/projects", key="second")["projects"] == []
    client.call("GET", "/projects", key="second", org_id=FIRST, status=404)
    client.call("GET", f"/organizations/{FIRST}", key="second", status=404)
    client.call("DELETE", f"/projects/{project_id}", key="first")
    client.call("POST", f"/projects/{project_id}/recover", key="second", status=404)


def test_a_key_of_a_project_sees_only_its_project() -> None:
    client = Client(**OPTIONS)
    own, other = _project(client, "first"), _project(client, "first")
    made = _key(client, "first", project_id=own)
    key = made["key"]
    assert made["project_id"] == own
    outside = f'not allowed to perform actions outside the project this key is scoped to; subject_project_id:"{own}"'
    assert client.call("GET", f"/projects/{own}", key=key)["project"]["id"] == own
    client.call("PATCH", f"/projects/{own}", {"project": {"name": "n"}}, key=key)
    for method, path in (
        ("GET", f"/projects/{other}"),
        ("GET", "/projects/no-such-12345678"),
        ("GET", "/projects"),
        ("POST", "/projects"),
        ("DELETE", f"/projects/{own}"),
        ("GET", f"/organizations/{FIRST}"),
        ("POST", f"/organizations/{FIRST}/api_keys"),
    ):
        refused = client.call(method, path, {"project": {}}, key=key, status=404)
        assert (refused["message"], refused["code"]) == (outside, "")
    (organization,) = client.call("GET", "/users/me/organizations", key=key)["organizations"]
    assert organization["id"] == FIRST
    client.call("GET", f"/projects/{own}", key="first")
    client.call("DELETE", f"/projects/{own}", key="first")
    client.call("POST", f"/projects/{own}/recover", key=key, status=404)


def test_what_is_for_people_answers_404_to_an_organization() -> None:
    client = Client(**OPTIONS)
    assert client.call("GET", "/users/me", key="mine")["email"] == "local@example.com"
    assert len(client.call("GET", "/regions", key="mine", org_id=FIRST)["regions"]) == 8
    for path in ("/users/me", "/regions", "/api_keys"):
        assert client.call("GET", path, key="first", status=404)["message"] == NOT_FOR_ORGANIZATIONS
    client.call("GET", "/regions", key="mine", org_id="org-other", status=404)


def test_auth_answers_every_key_and_says_what_it_is() -> None:
    client = Client(**OPTIONS)
    personal = client.call("GET", "/auth", key="mine")
    assert personal["auth_method"] == "api_key_user"
    assert personal["account_id"] == client.call("GET", "/users/me", key="mine")["id"]
    project = _key(client, "second", SECOND, project_id=_project(client, "second"))["key"]
    for key in ("second", project):
        assert client.call("GET", "/auth", key=key) == {"account_id": SECOND, "auth_method": "api_key_org"}
    seen = client.call("GET", "/users/me/organizations", key="mine")["organizations"]
    assert [(each["id"], each["plan"]) for each in seen] == [(FIRST, "scale"), (SECOND, "launch")]


def test_a_key_is_shown_once_and_revoked_for_good() -> None:
    client = Client(**OPTIONS)
    made = _key(client, "first")
    client.call("GET", "/projects", key=made["key"])
    (listed,) = _listed(client, "mine")
    assert (listed["id"], listed["name"]) == (made["id"], "k")
    assert made["key"] not in json.dumps(listed)
    assert _listed(client, "second", SECOND) == []
    path = f"/organizations/{FIRST}/api_keys/{made['id']}"
    client.call("DELETE", f"/organizations/{SECOND}/api_keys/{made['id']}", key="mine", status=404)
    assert client.call("DELETE", path, key="first")["revoked"] is True
    client.call("GET", "/projects", key=made["key"], status=401)
    client.call("DELETE", path, key="first", status=404)
    assert _listed(client, "first") == []


def test_a_personal_key_makes_personal_keys() -> None:
    client = Client(**OPTIONS)
    made = client.call("POST", "/api_keys", {"key_name": "mine too"}, key="mine")
    assert client.call("GET", "/auth", key=made["key"])["auth_method"] == "api_key_user"
    client.call("GET", "/api_keys", key="mine")
    assert len(client.answers[-1][3]) == 1  # type: ignore[arg-type]
    client.call("DELETE", f"/api_keys/{made['id']}", key="mine")
    client.call("GET", "/auth", key=made["key"], status=401)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"key_name": "k" * 65}, 422),
        ({"key_name": "k", "project_id": "no-such-12345678"}, 404),
        ({"key_name": "k", "surprise": 1}, 400),
    ],
)
def test_a_wrong_key_is_refused(body: Json, status: int) -> None:
    client = Client(**OPTIONS)
    client.call("POST", f"/organizations/{FIRST}/api_keys", body, key="first", status=status)


def test_no_key_is_made_for_a_project_of_another_organization() -> None:
    client = Client(**OPTIONS)
    foreign = _project(client, "second")
    body = {"key_name": "k", "project_id": foreign}
    client.call("POST", f"/organizations/{FIRST}/api_keys", body, key="mine", status=404)


def test_any_key_is_let_in_unless_keys_are_named() -> None:
    assert Client().call("GET", "/auth", key="whatever")["account_id"] == FIRST
    for options in ({"api_key": "right"}, OPTIONS):
        client = Client(**options)
        client.call("GET", "/auth", key="whatever", status=401)
        client.call("GET", "/auth", key="", status=401)
    client = Client(api_key="right")
    made = _key(client, "right")
    client.call("GET", "/auth", key=made["key"])
    client.call("GET", "/auth", key=made["key"] + "x", status=401)


def test_keys_are_kept_with_the_rest_and_their_tokens_are_not() -> None:
    client = Client(**OPTIONS)
    project_id = _project(client, "first")
    key, revoked = _key(client, "first", project_id=project_id), _key(client, "first")
    client.call("DELETE", f"/organizations/{FIRST}/api_keys/{revoked['id']}", key="first")
    assert client.simulator.dirty() == {project_id, ACCOUNT}
    account, project = client.simulator.dump(ACCOUNT), client.simulator.dump(project_id)
    assert account is not None
    assert project is not None
    assert key["key"] not in json.dumps(account)
    other = Client(LocalNeon(LocalNeonOptions(**OPTIONS), seed=2))
    other.simulator.load_account(json.loads(json.dumps(account)))
    other.simulator.load([project])
    other.call("GET", f"/projects/{project_id}", key=key["key"])
    other.call("GET", "/projects", key=key["key"], status=404)
    other.call("GET", "/auth", key=revoked["key"], status=401)
    assert _key(other, "first")["id"] > revoked["id"]


def test_an_organization_has_members_and_nobody_shares_projects() -> None:
    client = Client(**OPTIONS)
    _project(client, "first")
    (member,) = client.call("GET", f"/organizations/{FIRST}/members", key="first")["members"]
    assert member["member"]["org_id"] == FIRST
    assert client.call("GET", f"/organizations/{SECOND}", key="mine")["plan"] == "launch"
    for key in ("mine", "first"):
        assert client.call("GET", "/projects/shared", key=key)["projects"] == []
    client.call("GET", "/projects/shared", key="mine", limit="401", status=400)
