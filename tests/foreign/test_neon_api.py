"""``neon-api`` of PyPI, unmodified: it reads every answer with closed models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from neon_api import NeonAPI  # type: ignore[import-untyped]
from neon_api.exceptions import NeonAPIError  # type: ignore[import-untyped]

from tests.foreign.lives import KEY, Served, connect


@pytest.fixture
def client(local_neon: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    made = NeonAPI(KEY, base_url=local_neon.url + "/")
    yield made
    made._session.close()


def _settled(client: Any, project_id: str) -> None:
    for _ in range(300):
        operations = client.operations(project_id).operations
        if all(each.status.value == "finished" for each in operations):
            assert client.operation(project_id, operations[0].id).operation.id == operations[0].id
            return
        time.sleep(0.1)
    pytest.fail("operations did not finish")


def test_the_whole_life_of_a_project(client: Any, local_neon: Served) -> None:
    with local_neon.lives(f"neon-api {version('neon-api')}"):
        _life(client)


def _life(client: Any) -> None:
    named = {"name": "by-neon-api", "pg_version": 17, "branch": {"database_name": "app", "role_name": "app"}}
    project = client.project_create(project=named).project
    _settled(client, project.id)
    assert project.id in [each.id for each in client.projects(limit=100).projects]
    assert client.project(project.id).project.name == "by-neon-api"
    assert client.project_update(project.id, project={"name": "renamed"}).project.name == "renamed"
    for pooled in (False, True):
        uri = client.connection_uri(project.id, database_name="app", role_name="app", pooled=pooled).uri
        connect(uri)

    branch = client.branch_create(project.id, branch={"name": "below"}, endpoints=[{"type": "read_write"}]).branch
    _settled(client, project.id)
    assert {each.name for each in client.branches(project.id).branches} == {"main", "below"}
    assert client.branch(project.id, branch.id).branch.parent_id is not None
    assert len(client.endpoints(project.id).endpoints) == 2

    main = next(each for each in client.branches(project.id).branches if each.name == "main")
    role = client.role_create(project.id, main.id, "second").role
    assert role.password
    _settled(client, project.id)
    assert {each.name for each in client.roles(project.id, main.id).roles} == {"app", "second"}
    client.database_create(project.id, main.id, database={"name": "more", "owner_name": "second"})
    _settled(client, project.id)
    assert {each.name for each in client.databases(project.id, main.id).databases} == {"app", "more"}
    first = connect(client.connection_uri(project.id, database_name="app", role_name="app").uri)
    second = connect(client.connection_uri(project.id, database_name="more", role_name="second").uri)
    assert not set(first) & set(second)

    client.branch_delete(project.id, branch.id)
    _settled(client, project.id)
    assert client.project_delete(project.id).project.id == project.id
    assert project.id not in [each.id for each in client.projects(limit=100).projects]
    with pytest.raises(NeonAPIError, match="not found"):
        client.project(project.id)
