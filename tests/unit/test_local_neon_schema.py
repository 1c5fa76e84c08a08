"""Local Neon's answers against Neon's own OpenAPI document, where there is one: ``NEON_OPENAPI=path``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.local.neon.tenancy import GivenKey
from tests.unit.local_neon_client import Client

Json = dict[str, Any]


@pytest.fixture(scope="module")
def specification() -> Json:
    path = os.environ.get("NEON_OPENAPI")
    if not path:
        pytest.skip("NEON_OPENAPI does not name Neon's OpenAPI document")
    document: Json = json.loads(Path(path).read_text())
    return document


def _everything(client: Client) -> None:
    for path in ("/auth", "/users/me/organizations"):
        client.call("GET", path)
    made = client.create(settings={"quota": {"active_time_seconds": 1_000_000}}, branch={"annotations": {"a": "b"}})
    project, main = f"/projects/{made['project']['id']}", made["branch"]["id"]
    branch, endpoint = f"{project}/branches/{main}", f"{project}/endpoints/{made['endpoints'][0]['id']}"
    below = {"endpoints": [{"type": "read_write"}], "annotation_value": {"x": "y"}}
    child = client.call("POST", f"{project}/branches", below, status=201)["branch"]["id"]
    uri = f"{project}/connection_uri"
    client.call("GET", uri, database_name="neondb", role_name="neondb_owner", branch_id=child)
    calls: list[tuple[str, str, object]] = [
        ("GET", "/projects", None),
        ("GET", project, None),
        ("PATCH", project, {"project": {"name": "n", "settings": {"quota": {}}}}),
        ("GET", f"{project}/operations", None),
        ("GET", f"{project}/branches", None),
        ("GET", f"{project}/branches/count", None),
        ("GET", branch, None),
        ("PATCH", branch, {"branch": {"name": "renamed"}}),
        ("GET", f"{branch}/endpoints", None),
        ("GET", f"{branch}/roles", None),
        ("GET", f"{branch}/roles/neondb_owner", None),
        ("GET", f"{branch}/roles/neondb_owner/reveal_password", None),
        ("POST", f"{branch}/roles/neondb_owner/reset_password", None),
        ("GET", f"{branch}/databases", None),
        ("GET", f"{branch}/databases/neondb", None),
        ("PATCH", f"{branch}/databases/neondb", {"database": {"owner_name": "neondb_owner"}}),
        ("GET", f"{project}/endpoints", None),
        ("GET", endpoint, None),
        ("PATCH", endpoint, {"endpoint": {"name": "e"}}),
        ("POST", f"{endpoint}/start", None),
        ("POST", f"{endpoint}/suspend", None),
        ("POST", f"{project}/branches/{child}/set_as_default", None),
        ("POST", f"{branch}/set_as_default", None),
        ("DELETE", endpoint, None),
        ("DELETE", f"{project}/branches/{child}", None),
        ("DELETE", project, None),
        ("POST", f"{project}/recover", None),
        ("GET", "/projects", None),
    ]
    for method, path, body in calls:
        client.wait()
        client.call(method, path, body)
    client.wait()
    client.call("DELETE", project)
    client.call("GET", "/projects", recoverable="true")
    client.call("GET", project, status=404)


def _account() -> list[tuple[str, str, int, object]]:
    org_id = "org-local-00000000"
    keys = (GivenKey("k", "personal"), GivenKey("o", "organization"))
    client = Client(keys=keys, cell="c-4", list_lag_seconds=1.0)
    for path in ("/auth", "/users/me", "/users/me/organizations", "/regions", "/projects/shared"):
        client.call("GET", path)
    client.call("GET", "/projects", status=400)
    client.call("GET", "/users/me", key="o", status=404)
    organization = f"/organizations/{org_id}"
    client.call("GET", organization)
    client.call("GET", f"{organization}/members")
    project_id = client.create(org_id=org_id, settings={"quota": {"written_data_bytes": 9}})["project"]["id"]
    for path, body in (("/api_keys", {}), (f"{organization}/api_keys", {"project_id": project_id})):
        made = client.call("POST", path, {"key_name": "n", **body})
        client.call("GET", "/auth", key=made["key"])
        client.call("GET", path)
        client.call("DELETE", f"{path}/{made['id']}")
    client.machine.consume(project_id, client.now, written_data_bytes=9, size_bytes=9)
    for _ in range(12):
        client.wait(1)
        client.call("GET", f"/projects/{project_id}/operations")
        client.call("GET", f"/projects/{project_id}/endpoints")
        client.call("GET", f"/projects/{project_id}")
        client.call("GET", "/projects", org_id=org_id)
    client.machine.afflict("fail", "error", "cancel", "skip", "stick")
    for _ in range(5):
        client.call("PATCH", f"/projects/{project_id}", {"project": {"settings": {}}})
        for _ in range(12):
            client.call("GET", f"/projects/{project_id}/operations")
            client.wait(0.25)
    history = {"from": "2026-09-20T00:00:00Z", "to": "2026-09-22T00:00:00Z", "granularity": "daily"}
    query: Json = {**history, "org_id": org_id, "metrics": "compute_unit_seconds", "project_ids": project_id}
    client.call("GET", "/consumption_history/v2/projects", **query)
    client.call("GET", "/consumption_history/v2/branches", **query)
    client.call("GET", "/consumption_history/v2/projects", **{**query, "to": "2027-01-01T00:00:00Z"}, status=406)
    return client.answers


def _schema(specification: Json, method: str, path: str, status: int) -> Json:
    exact = {template: item for template, item in specification["paths"].items() if template == path}
    for template, item in (exact or specification["paths"]).items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            answers = item[method.lower()]["responses"]
            found: Json = answers.get(str(status), answers["default"])
            break
    else:
        pytest.fail(f"{method} {path} is not in the specification")
    while "$ref" in found:
        target: Any = specification
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    schema: Json = found["content"]["application/json"]["schema"]
    return {**schema, "components": specification["components"]}


def _answers() -> Iterator[tuple[str, str, int, object]]:
    client = Client()
    _everything(client)
    yield from client.answers
    yield from _account()


def test_every_answer_is_as_neons_specification_says(specification: Json) -> None:
    checked = 0
    for method, path, status, body in _answers():
        if path.endswith("/count"):
            continue
        schema = _schema(specification, method, path, status)
        errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(body)]
        assert errors == [], (method, path, status)
        checked += 1
    assert checked > 30
