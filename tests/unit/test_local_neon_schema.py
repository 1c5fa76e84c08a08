"""Local Neon's answers against Neon's own OpenAPI document, where there is one: ``NEON_OPENAPI=path``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

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
    for path in ("/auth", "/users/me/organizations", "/regions"):
        client.call("GET", path)
    made = client.create(settings={"quota": {"active_time_seconds": 1}}, branch={"annotations": {"a": "b"}})
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


def _branches_in_time(client: Client) -> None:
    made = client.create()
    project, main = f"/projects/{made['project']['id']}", made["branch"]["id"]
    branch, endpoint = f"{project}/branches/{main}", f"{project}/endpoints/{made['endpoints'][0]['id']}"
    names: Json = {"database_name": "neondb", "role_name": "neondb_owner"}
    soon = datetime.fromtimestamp(client.now + 3600, UTC).isoformat()

    def call(method: str, path: str, body: object = None, status: int = 200, **query: str) -> Json:
        client.wait()
        return client.call(method, path, body, status=status, **query)

    taken = call("POST", f"{branch}/snapshot", name="s", expires_at=soon)["snapshot"]["id"]
    call("POST", f"{branch}/roles", {"role": {"name": "group", "no_login": True}}, 201)
    call("POST", f"{branch}/databases", {"database": {"name": "d", "owner_name": "group"}}, 201)
    call("PATCH", f"{branch}/databases/d", {"database": {"name": "renamed"}})
    call("DELETE", f"{branch}/databases/renamed")
    call("DELETE", f"{branch}/roles/group")
    call("POST", f"{project}/branches", {"branch": {"name": "short", "expires_at": soon}}, 201)
    call("POST", f"{project}/branches", {"branch": {"init_source": "schema-only"}}, 201)
    replica = {"endpoint": {"branch_id": main, "type": "read_only"}}
    replica_id = call("POST", f"{project}/endpoints", replica, 201)["endpoint"]["id"]
    call("GET", f"{project}/connection_uri", endpoint_id=replica_id, **names)
    call("POST", f"{endpoint}/restart")
    client.wait(600)
    call("PATCH", endpoint, {"endpoint": {"name": "woken"}})
    then = datetime.fromtimestamp(client.now - 60, UTC).isoformat()
    back = {"source_branch_id": main, "source_timestamp": then, "preserve_under_name": "kept"}
    call("POST", f"{branch}/restore", back)
    client.call("GET", branch)
    call("GET", branch)
    preview = call("POST", f"{project}/snapshots/{taken}/restore", {"name": "preview"})["branch"]["id"]
    call("GET", f"{project}/snapshots")
    call("PATCH", f"{project}/snapshots/{taken}", {"snapshot": {"name": "renamed"}})
    call("POST", f"{project}/branches/{preview}/finalize_restore", {"name": "before"})
    call("POST", f"{project}/snapshots/{taken}/restore", {"finalize_restore": True, "target_branch_id": preview})
    call("GET", f"{project}/branches")
    call("DELETE", f"{project}/snapshots/{taken}", status=202)
    call("DELETE", f"{project}/branches/{main}")
    call("DELETE", f"{project}/branches/{preview}")
    call("GET", f"{project}/operations")


def _schema(specification: Json, method: str, path: str, status: int) -> Json:
    for template, item in specification["paths"].items():
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
    _branches_in_time(client)
    yield from client.answers


def test_every_answer_is_as_neons_specification_says(specification: Json) -> None:
    checked = 0
    for method, path, status, body in _answers():
        if path.endswith("/count"):
            continue
        schema = _schema(specification, method, path, status)
        errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(body)]
        assert errors == [], (method, path, status)
        checked += 1
    assert checked > 60
