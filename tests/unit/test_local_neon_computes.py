"""Computes of local Neon: started, suspended, woken, restarted, disabled; and how to connect to them."""

from __future__ import annotations

import pytest

from reconciler.local.plan_limits import PlanLimits
from tests.unit.local_neon_branches import Project
from tests.unit.local_neon_client import Json


@pytest.fixture
def project() -> Project:
    return Project()


def _create(project: Project, kind: str = "read_write", branch: str | None = None, **fields: object) -> Json:
    body = {"endpoint": {"branch_id": branch or project.main, "type": kind, **fields}}
    made: Json = project.call("POST", "/endpoints", body, status=201)["endpoint"]
    return made


def test_a_branch_has_one_compute_that_writes_and_many_that_read(project: Project) -> None:
    message = project.refused(
        "POST", "/endpoints", {"endpoint": {"branch_id": project.main, "type": "read_write"}}, status=409
    )
    assert "read_write" in message
    replicas = {_create(project, "read_only")["id"] for _ in range(2)}
    listed = project.client.call("GET", f"{project.path}/branches/{project.main}/endpoints")["endpoints"]
    assert {each["id"] for each in listed} == {project.endpoint, *replicas}
    body = {"endpoints": [{"type": "read_write"}, {"type": "read_write"}]}
    project.refused("POST", "/branches", body, status=409)
    elsewhere = {"branch_id": project.main, "type": "read_only", "region_id": "aws-sa-east-1"}
    project.refused("POST", "/endpoints", {"endpoint": elsewhere})
    project.refused("POST", "/endpoints", {"endpoint": {"branch_id": "br-none", "type": "read_only"}}, status=404)


def test_a_compute_falls_idle_by_itself_and_is_started(project: Project) -> None:
    made = project.client.call("GET", project.path + f"/endpoints/{project.endpoint}")["endpoint"]
    assert made["current_state"] == "active"
    project.client.wait(300)
    assert project.compute()["current_state"] == "idle"
    answer = project.client.call("POST", f"{project.path}/endpoints/{project.endpoint}/start")
    assert (answer["endpoint"]["current_state"], answer["endpoint"]["pending_state"]) == ("idle", "active")
    project.client.wait()
    compute = project.compute()
    assert compute["current_state"] == "active"
    assert "pending_state" not in compute
    project.call("PATCH", f"/endpoints/{project.endpoint}", {"endpoint": {"suspend_timeout_seconds": -1}})
    project.client.wait(86_400)
    assert project.compute()["current_state"] == "active"


def test_a_suspended_compute_is_idle(project: Project) -> None:
    answer = project.client.call("POST", f"{project.path}/endpoints/{project.endpoint}/suspend")
    assert (answer["endpoint"]["current_state"], answer["endpoint"]["pending_state"]) == ("active", "idle")
    project.client.wait()
    assert project.compute()["current_state"] == "idle"


def test_a_restart_suspends_and_starts(project: Project) -> None:
    path = f"/endpoints/{project.endpoint}"
    answer = project.call("POST", f"{path}/restart")
    assert [each["action"] for each in answer["operations"]] == ["suspend_compute", "start_compute"]
    assert project.compute()["current_state"] == "active"
    project.call("PATCH", path, {"endpoint": {"disabled": True}})
    for verb in ("restart", "start"):
        project.refused("POST", f"{path}/{verb}")


@pytest.mark.parametrize("change", ["settings", "role", "password", "database"])
def test_a_change_wakes_an_idle_compute_for_a_moment(project: Project, change: str) -> None:
    below = f"/branches/{project.main}"
    method, path, body, status = {
        "settings": ("PATCH", f"/endpoints/{project.endpoint}", {"endpoint": {"autoscaling_limit_max_cu": 2}}, 200),
        "role": ("POST", f"{below}/roles", {"role": {"name": "second"}}, 201),
        "password": ("POST", f"{below}/roles/neondb_owner/reset_password", None, 200),
        "database": ("POST", f"{below}/databases", {"database": {"name": "d", "owner_name": "neondb_owner"}}, 201),
    }[change]
    project.client.wait(600)
    answer = project.client.call(method, project.path + path, body, status=status)
    assert [each["action"] for each in answer["operations"]] == ["apply_config", "suspend_compute"]
    assert project.compute()["pending_state"] == "active"
    states: list[str] = []
    while project.compute().get("pending_state") or not states:
        states.append(project.compute()["current_state"])
        project.client.wait(0.05)
    assert {"idle", "active"} == set(states)
    assert project.compute()["current_state"] == "idle"


def test_a_change_to_an_active_compute_leaves_it_active(project: Project) -> None:
    answer = project.call("PATCH", f"/endpoints/{project.endpoint}", {"endpoint": {"name": "named"}})
    assert [each["action"] for each in answer["operations"]] == ["apply_config"]
    assert project.compute()["current_state"] == "active"
    moved = {"endpoint": {"branch_id": project.make()}}
    project.refused("PATCH", f"/endpoints/{project.endpoint}", moved)


def test_a_disabled_compute_is_suspended_and_stays_so(project: Project) -> None:
    path = f"/endpoints/{project.endpoint}"
    answer = project.call("PATCH", path, {"endpoint": {"disabled": True}})
    assert [each["action"] for each in answer["operations"]] == ["suspend_compute"]
    assert project.compute()["current_state"] == "idle"
    project.call("PATCH", path, {"endpoint": {"autoscaling_limit_max_cu": 2}})
    assert project.compute()["current_state"] == "idle"
    project.call("PATCH", path, {"endpoint": {"disabled": False}})
    project.call("POST", f"{path}/start")
    assert project.compute()["current_state"] == "active"
    child = project.make()
    frozen = _create(project, "read_write", child, disabled=True)["id"]
    assert project.compute(frozen)["current_state"] == "idle"
    assert "last_active" not in project.compute(frozen)


def test_a_protected_branch_keeps_its_computes(project: Project) -> None:
    path = f"/endpoints/{project.endpoint}"
    project.call("PATCH", f"/branches/{project.main}", {"branch": {"protected": True}})
    assert "protected" in project.refused("DELETE", path)
    project.call("PATCH", f"/branches/{project.main}", {"branch": {"protected": False}})
    assert project.call("DELETE", path)["operations"]
    project.refused("GET", path, status=404)
    project.client.call("DELETE", project.path + path, status=204)


def test_only_so_many_computes_are_active_besides_the_default_branchs() -> None:
    project = Project(limits=PlanLimits(active_computes=1))
    first, second = project.make(), project.make()
    active = _create(project, "read_write", first)["id"]
    body = {"endpoint": {"branch_id": second, "type": "read_write"}}
    before = project.client.simulator.dump(project.id)
    assert project.call("POST", "/endpoints", body, status=422)["code"] == "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED"
    asked = {"endpoints": [{"type": "read_write"}]}
    assert project.call("POST", "/branches", asked, status=422)["code"] == "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED"
    assert before is not None
    assert set(project.branches()) == {each["name"] for each in before["branches"].values()}  # type: ignore[attr-defined]
    _create(project, "read_only")
    project.call("POST", f"/endpoints/{active}/suspend")
    project.call("POST", "/endpoints", body, status=201)
    answer = project.call("POST", f"/endpoints/{active}/start", status=422)
    assert answer["code"] == "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED"


def test_a_uri_is_of_a_branch_a_compute_a_role_and_a_database(project: Project) -> None:
    child = project.make("child", endpoints=1)
    assert project.uri() == project.uri(project.main) == project.uri(endpoint_id=project.endpoint)
    computes = project.client.call("GET", f"{project.path}/branches/{child}/endpoints")["endpoints"]
    assert project.uri(child) == project.uri(endpoint_id=computes[0]["id"]) != project.uri()
    project.role("second")
    assert project.uri(role_name="second") != project.uri()
    names = {"database_name": "neondb", "role_name": "neondb_owner"}
    for wrong in (
        {"branch_id": project.main, "endpoint_id": computes[0]["id"]},
        {"endpoint_id": "ep-none"},
        {"branch_id": "br-none"},
        {"branch_id": project.make()},
        {"database_name": "none"},
        {"role_name": "none"},
    ):
        project.refused("GET", "/connection_uri", status=404, **{**names, **wrong})
    for lacking in names:
        project.refused("GET", "/connection_uri", status=400, **{k: v for k, v in names.items() if k != lacking})
    project.refused("GET", "/connection_uri", status=400, **{**names, "pooled": "perhaps"})


def test_the_uri_of_a_replica_reads_only(project: Project) -> None:
    replica = _create(project, "read_only")["id"]
    uri = project.uri(endpoint_id=replica)
    assert uri.startswith(project.uri())
    assert "default_transaction_read_only%3Don" in uri
