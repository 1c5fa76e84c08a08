"""Branches of local Neon in time: made from the past, put back to it, and gone when they expire."""

from __future__ import annotations

import pytest

from reconciler.local.plan_limits import PlanLimits
from tests.unit.local_neon_branches import Project, at
from tests.unit.local_neon_client import Json


@pytest.fixture
def project() -> Project:
    return Project()


def _changed(project: Project) -> float:
    """Change roles and databases of the default branch; return a time before that."""
    before = project.now
    project.client.wait(10)
    project.role("later")
    new = {"database": {"name": "more", "owner_name": "later"}}
    project.call("POST", f"/branches/{project.main}/databases", new, status=201)
    return before


def test_a_branch_from_the_past_has_the_roles_and_databases_of_then(project: Project) -> None:
    before = _changed(project)
    old = project.make(parent_timestamp=at(before))
    new = project.make()
    assert (project.roles(old), project.databases(old)) == ({"neondb_owner"}, {"neondb"})
    assert (project.roles(new), project.databases(new)) == ({"neondb_owner", "later"}, {"neondb", "more"})
    assert project.branch(old)["parent_timestamp"] == at(before)
    by_lsn = project.make(parent_lsn=project.branch(old)["parent_lsn"])
    assert project.roles(by_lsn) == {"neondb_owner"}


def test_the_past_knows_deleted_roles_and_former_passwords_owners_and_names(project: Project) -> None:
    below = f"/branches/{project.main}"
    project.role("second")
    first, password = project.now, project.password(project.main)
    project.client.wait(10)
    project.call("POST", f"{below}/roles/neondb_owner/reset_password")
    project.call("PATCH", f"{below}/databases/neondb", {"database": {"owner_name": "second"}})
    project.call("PATCH", f"{below}/databases/neondb", {"database": {"name": "renamed"}})
    project.call("DELETE", f"{below}/roles/neondb_owner")
    old = project.make(parent_timestamp=at(first))
    assert project.password(old) == password
    owner = project.client.call("GET", f"{project.path}/branches/{old}/databases/neondb")["database"]["owner_name"]
    assert owner == "neondb_owner"
    assert project.databases(project.main) == {"renamed"}


def test_a_reset_password_is_of_the_past_until_its_operation_is_over(project: Project) -> None:
    old = project.password(project.main)
    path = f"{project.path}/branches/{project.main}/roles/neondb_owner/reset_password"
    new = project.client.call("POST", path)["role"]["password"]
    during = project.now + 0.01
    assert project.password(project.main) == old
    project.client.wait()
    assert project.password(project.main) == new
    assert project.password(project.make(parent_timestamp=at(during))) == old


@pytest.mark.parametrize("what", ["before_the_parent", "future", "before_the_window", "lsn_of_the_future"])
def test_a_point_outside_of_the_history_is_refused(project: Project, what: str) -> None:
    created = project.now
    if what == "before_the_window":
        project.client.wait(86_400 * 3)
    point = {
        "before_the_parent": {"parent_timestamp": at(created - 3600)},
        "future": {"parent_timestamp": at(project.now + 60)},
        "before_the_window": {"parent_timestamp": at(project.now - 86_400 - 60)},
        "lsn_of_the_future": {"parent_lsn": "FF/0"},
    }[what]
    message = project.refused("POST", "/branches", {"branch": point})
    assert "history" in message


@pytest.mark.parametrize(
    "point",
    [
        {"parent_timestamp": "2026-09-21T14:13:25Z", "parent_lsn": "0/1A2B3C8"},
        {"parent_timestamp": "yesterday"},
        {"parent_timestamp": "2026-09-21T14:13:25"},
        {"parent_lsn": "first"},
    ],
)
def test_a_point_out_of_form_is_refused(project: Project, point: dict[str, str]) -> None:
    project.refused("POST", "/branches", {"branch": point}, status=400)


def test_a_restored_branch_is_what_it_was_and_what_it_became_is_kept(project: Project) -> None:
    before, uri = project.now, project.uri()
    _changed(project)
    child = project.make("child")
    body = {"source_branch_id": project.main, "source_timestamp": at(before), "preserve_under_name": "kept"}
    path = f"{project.path}/branches/{project.main}/restore"
    answer = project.client.call("POST", path, body)
    assert answer["branch"]["id"] == project.main
    assert (answer["branch"]["current_state"], answer["branch"]["pending_state"]) == ("resetting", "ready")
    assert [each["action"] for each in answer["operations"]] == ["suspend_compute", "create_branch", "start_compute"]
    project.client.call("POST", path, body, status=423)
    project.client.wait()
    branches = project.branches()
    assert branches["main"]["current_state"] == "ready"
    assert branches["main"]["default"] is True
    assert branches["main"]["last_reset_at"]
    assert project.roles(project.main) == {"neondb_owner"}
    assert project.databases(project.main) == {"neondb"}
    kept = branches["kept"]["id"]
    assert project.roles(kept) == {"neondb_owner", "later"}
    assert project.databases(kept) == {"neondb", "more"}
    assert branches["child"]["parent_id"] == kept
    assert project.uri() == uri
    assert project.client.call("GET", f"{project.path}/branches/{kept}/endpoints")["endpoints"] == []
    assert (
        project.client.call("GET", f"{project.path}/branches/{project.main}")["annotation"]["value"]["mark"] == "ours"
    )
    project.refused("DELETE", f"/branches/{kept}")
    project.call("DELETE", f"/branches/{child}")
    project.call("DELETE", f"/branches/{kept}")


def test_a_restored_branch_has_no_history_from_before(project: Project) -> None:
    before = project.now
    project.client.wait(60)
    body = {"source_branch_id": project.main, "source_timestamp": at(before), "preserve_under_name": "kept"}
    project.call("POST", f"/branches/{project.main}/restore", body)
    again = {**body, "preserve_under_name": "again"}
    assert "history" in project.refused("POST", f"/branches/{project.main}/restore", again)
    kept = project.branches()["kept"]["id"]
    project.make(parent_id=kept, parent_timestamp=at(before))


def test_what_a_restore_needs(project: Project) -> None:
    child = project.make("child")
    project.make("grandchild", parent_id=child)
    path, itself = f"/branches/{child}/restore", {"source_branch_id": child}
    project.refused("POST", path, {**itself, "preserve_under_name": "kept"}, status=400)
    project.refused("POST", path, {**itself, "source_timestamp": at(project.now)}, status=400)
    project.refused("POST", path, {"source_branch_id": project.main}, status=400)
    project.refused("POST", path, {"source_branch_id": project.main, "preserve_under_name": "main"}, status=409)
    project.refused("POST", path, {"source_branch_id": "br-none"}, status=404)
    project.refused("POST", path, {"source_branch_id": project.main, "surprise": 1}, status=400)
    project.refused("POST", path, {}, status=400)
    project.call("PATCH", f"/branches/{child}", {"branch": {"protected": True}})
    body = {"source_branch_id": project.main, "preserve_under_name": "kept"}
    assert "protected" in project.refused("POST", path, body)
    names = {each["name"] for each in project.branch(child)["restricted_actions"]}
    assert names == {"restore", "delete-rw-endpoint"}


def test_a_child_is_put_to_its_parents_present(project: Project) -> None:
    child = project.make("child", endpoints=1)
    project.role("own", child)
    project.role("new")
    project.call("POST", f"/branches/{child}/restore", {"source_branch_id": project.main})
    assert project.roles(child) == {"neondb_owner", "new"}
    assert project.branch(child)["parent_id"] == project.main
    assert set(project.branches()) == {"main", "child"}


def test_the_kept_state_of_a_child_becomes_its_parent(project: Project) -> None:
    child = project.make("child")
    body = {"source_branch_id": child, "source_timestamp": at(project.now), "preserve_under_name": "kept"}
    project.client.wait(30)
    project.call("POST", f"/branches/{child}/restore", body)
    branches = project.branches()
    assert branches["child"]["parent_id"] == branches["kept"]["id"]
    assert branches["kept"]["parent_id"] == project.main


def test_what_a_root_was_before_another_branch_replaced_it_cannot_be_deleted(project: Project) -> None:
    child = project.make("child")
    body = {"source_branch_id": child, "preserve_under_name": "kept"}
    project.call("POST", f"/branches/{project.main}/restore", body)
    assert "root" in project.refused("DELETE", f"/branches/{project.branches()['kept']['id']}")


def test_copies_of_a_protected_branch_have_passwords_of_their_own(project: Project) -> None:
    open_child = project.make()
    project.call("PATCH", f"/branches/{project.main}", {"branch": {"protected": True}})
    child = project.make("child")
    assert project.password(open_child) == project.password(project.main)
    own = project.password(child)
    assert own != project.password(project.main)
    project.call("POST", f"/branches/{child}/restore", {"source_branch_id": project.main})
    assert project.password(child) == own


def test_a_schema_only_branch_is_a_root_of_its_own(project: Project) -> None:
    made = project.make("schema", init_source="schema-only")
    branch = project.branch(made)
    assert branch["init_source"] == "schema-only"
    assert "parent_id" not in branch
    assert project.databases(made) == {"neondb"}
    assert "root" in project.refused("DELETE", f"/branches/{made}")
    project.refused("POST", "/branches", {"branch": {"init_source": "elsewhere"}}, status=400)
    project.refused("POST", "/branches", {"branch": {"archived": True}})


def test_a_branch_expires(project: Project) -> None:
    due = project.now + 3600
    child = project.make("short", endpoints=1, expires_at=at(due))
    branch = project.branch(child)
    assert (branch["expires_at"], branch["ttl_interval_seconds"]) == (at(due), 3600)
    loaded = project.client.simulator.dump(project.id)
    assert loaded is not None
    project.client.now = due - 1
    assert "short" in project.branches()
    assert project.client.simulator.next_due() == due
    project.client.now = due + 5
    assert set(project.branches()) == {"main"}
    assert len(project.client.call("GET", f"{project.path}/endpoints")["endpoints"]) == 1
    project.client.call("DELETE", f"{project.path}/branches/{child}", status=204)


def test_an_expiry_is_moved_and_cleared(project: Project) -> None:
    child = project.make("short", expires_at=at(project.now + 3600))
    path = f"/branches/{child}"
    project.call("PATCH", path, {"branch": {"expires_at": at(project.now + 7200)}})
    assert project.branch(child)["ttl_interval_seconds"] == 7200
    project.call("PATCH", path, {"branch": {"name": "still"}})
    assert project.branch(child)["expires_at"]
    project.call("PATCH", path, {"branch": {"expires_at": None}})
    assert "expires_at" not in project.branch(child)
    project.client.wait(86_400)
    assert set(project.branches()) == {"main", "still"}


def test_an_expiring_branch_that_is_restored_lives_as_long_again(project: Project) -> None:
    child = project.make("short", expires_at=at(project.now + 3600))
    project.client.wait(1800)
    project.call("POST", f"/branches/{child}/restore", {"source_branch_id": project.main})
    project.client.wait(3000)
    assert project.branch(child)["ttl_interval_seconds"] == 3600
    project.client.wait(1000)
    assert set(project.branches()) == {"main"}


def test_what_cannot_expire(project: Project) -> None:
    soon = at(project.now + 3600)
    parent = project.make("parent")
    project.make("child", parent_id=parent)
    for path in (f"/branches/{project.main}", f"/branches/{parent}"):
        project.refused("PATCH", path, {"branch": {"expires_at": soon}})
    short = project.make("short", expires_at=soon)
    project.refused("PATCH", f"/branches/{short}", {"branch": {"protected": True}})
    project.refused("POST", f"/branches/{short}/set_as_default")
    project.refused("POST", "/branches", {"branch": {"parent_id": short}})
    project.refused("POST", "/branches", {"branch": {"expires_at": soon, "protected": True}})
    for moment in (project.now - 1, project.now + 31 * 86_400):
        project.refused("POST", "/branches", {"branch": {"expires_at": at(moment)}})
    for text in ("soon", "2026-09-21T18:02:16", "2026-09-22"):
        project.refused("POST", "/branches", {"branch": {"expires_at": text}}, status=400)


def test_there_are_so_many_branches_and_no_more() -> None:
    project = Project(limits=PlanLimits(branches=4, root_branches=2, protected_branches=1))
    project.make(init_source="schema-only")
    answer = project.call("POST", "/branches", {"branch": {"init_source": "schema-only"}}, status=422)
    assert answer["code"] == "ROOT_BRANCHES_LIMIT_EXCEEDED"
    child = project.make(protected=True)
    for method, path, body in (
        ("POST", "/branches", {"branch": {"protected": True}}),
        ("PATCH", f"/branches/{project.main}", {"branch": {"protected": True}}),
    ):
        assert project.call(method, path, body, status=422)["code"] == "BRANCHES_PROTECTED_LIMIT_EXCEEDED"
    project.call("PATCH", f"/branches/{child}", {"branch": {"protected": True}})
    project.make()
    assert project.call("POST", "/branches", status=422)["code"] == "BRANCHES_LIMIT_EXCEEDED"


def test_pages_go_on_where_they_were_when_a_branch_has_gone(project: Project) -> None:
    for name in ("a", "b", "c", "d"):
        project.make(name)
    order: Json = {"sort_by": "name", "sort_order": "asc", "limit": "2"}
    first = project.client.call("GET", f"{project.path}/branches", **order)
    assert [each["name"] for each in first["branches"]] == ["a", "b"]
    project.call("DELETE", f"/branches/{first['branches'][1]['id']}")
    second = project.client.call("GET", f"{project.path}/branches", cursor=first["pagination"]["next"], **order)
    assert [each["name"] for each in second["branches"]] == ["c", "d"]
    last = project.client.call("GET", f"{project.path}/branches", cursor=second["pagination"]["next"], **order)
    assert [each["name"] for each in last["branches"]] == ["main"]
    assert "next" not in last["pagination"]
    other = {"sort_by": "name", "sort_order": "desc", "cursor": first["pagination"]["next"]}
    for wrong in (
        {"cursor": "x"},
        {"cursor": "bnVsbA=="},
        other,
        {"limit": "0"},
        {"limit": "10001"},
        {"sort_by": "id"},
    ):
        project.refused("GET", "/branches", status=400, **wrong)
    newest = project.client.call("GET", f"{project.path}/branches", limit="1")["branches"]
    assert newest[0]["name"] == "d"
    found = project.client.call("GET", f"{project.path}/branches", search=newest[0]["id"][3:12])["branches"]
    assert [each["name"] for each in found] == ["d"]


def test_a_branch_is_renamed_to_what_no_other_is_called(project: Project) -> None:
    child = project.make("child")
    project.refused("PATCH", f"/branches/{child}", {"branch": {"name": "main"}}, status=409)
    project.refused("PATCH", f"/branches/{child}", {"branch": {"parent_id": project.main}}, status=400)
    assert project.call("PATCH", f"/branches/{child}", {"branch": {"name": "child"}})["operations"] == []
    assert project.call("PATCH", f"/branches/{child}", {"branch": {"name": "named"}})["branch"]["name"] == "named"
    assert project.client.call("GET", f"{project.path}/branches/count", search="nam")["count"] == 1


def test_an_annotation_is_of_its_branch_alone_and_stays(project: Project) -> None:
    child = project.make("child")
    listed = project.client.call("GET", f"{project.path}/branches")
    assert {branch: each["value"] for branch, each in listed["annotations"].items()} == {project.main: {"mark": "ours"}}
    project.refused("PATCH", f"/branches/{project.main}", {"branch": {"annotations": {}}}, status=400)
    assert project.client.call("GET", f"{project.path}/branches/{child}")["annotation"]["value"] == {}


def test_there_is_one_default_branch(project: Project) -> None:
    child = project.make("child")
    project.call("POST", f"/branches/{child}/set_as_default")
    assert [name for name, each in project.branches().items() if each["default"]] == ["child"]


def test_a_deleted_branch_is_gone_at_once_and_for_good(project: Project) -> None:
    child = project.make("child", endpoints=1)
    project.client.call("DELETE", f"{project.path}/branches/{child}")
    project.client.call("GET", f"{project.path}/branches/{child}", status=404)
    project.client.wait()
    listed = project.client.call("GET", f"{project.path}/branches", include_deleted="true")["branches"]
    assert [each["name"] for each in listed] == ["main"]
    project.refused("POST", f"/branches/{child}/recover", status=404)
    assert project.client.call("GET", f"{project.path}/endpoints/{project.endpoint}")


def test_a_page_has_a_hundred_branches_unless_asked_otherwise(project: Project) -> None:
    for _ in range(100):
        project.make()
    page = project.client.call("GET", f"{project.path}/branches")
    assert len(page["branches"]) == 100
    assert "next" in page["pagination"]
    assert len(project.branches()) == 101


def test_an_owner_is_of_the_past_until_it_is_changed(project: Project) -> None:
    project.role("second")
    before = project.now
    project.client.wait(10)
    path = f"/branches/{project.main}/databases/neondb"
    project.call("PATCH", path, {"database": {"owner_name": "second"}})
    old = project.make(parent_timestamp=at(before))
    for branch, owner in ((old, "neondb_owner"), (project.main, "second")):
        found = project.client.call("GET", f"{project.path}/branches/{branch}/databases/neondb")["database"]
        assert found["owner_name"] == owner


def test_a_branch_does_not_expire_while_something_is_running(project: Project) -> None:
    due = project.now + 3600
    project.make("short", expires_at=at(due))
    project.client.now = due - 0.01
    project.client.call("POST", f"{project.path}/endpoints/{project.endpoint}/start")
    project.client.now = due + 0.01
    assert "short" in project.branches()
    project.client.wait()
    assert set(project.branches()) == {"main"}
