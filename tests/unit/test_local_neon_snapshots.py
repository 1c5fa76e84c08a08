"""Snapshots of local Neon: taken from roots, restored beside or in place of a branch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.local_neon_branches import Project, at


@pytest.fixture
def project() -> Project:
    return Project()


def _snapshot(project: Project, branch: str | None = None, **query: Any) -> str:
    path = f"/branches/{branch or project.main}/snapshot"
    taken: str = project.call("POST", path, **query)["snapshot"]["id"]
    return taken


def _restore(project: Project, snapshot: str, **body: Any) -> str:
    restored: str = project.call("POST", f"/snapshots/{snapshot}/restore", body)["branch"]["id"]
    return restored


def test_snapshots_are_taken_listed_renamed_and_deleted(project: Project) -> None:
    answer = project.call("POST", f"/branches/{project.main}/snapshot", name="first")
    taken = answer["snapshot"]
    assert (taken["name"], taken["source_branch_id"], taken["manual"]) == ("first", project.main, True)
    assert answer["operations"]
    path = f"/snapshots/{taken['id']}"
    assert project.call("PATCH", path, {"snapshot": {"name": "renamed"}})["snapshot"]["name"] == "renamed"
    listed = project.client.call("GET", f"{project.path}/snapshots")["snapshots"]
    assert [(each["id"], each["name"]) for each in listed] == [(taken["id"], "renamed")]
    assert project.call("DELETE", path, status=202)["operations"]
    assert project.client.call("GET", f"{project.path}/snapshots")["snapshots"] == []
    for method, below, body in (("PATCH", "", {"snapshot": {}}), ("DELETE", "", None), ("POST", "/restore", None)):
        project.refused(method, path + below, body, status=404)


def test_a_project_is_locked_while_a_snapshot_is_taken(project: Project) -> None:
    path = f"{project.path}/branches/{project.main}/snapshot"
    project.client.call("POST", path)
    project.client.call("POST", path, status=423)


def test_only_roots_have_snapshots_and_only_so_many(project: Project) -> None:
    child = project.make("child")
    assert "root" in project.refused("POST", f"/branches/{child}/snapshot")
    for _ in range(10):
        _snapshot(project)
    assert "limit" in project.refused("POST", f"/branches/{project.main}/snapshot")


def test_a_snapshot_of_the_past(project: Project) -> None:
    before = project.now
    project.client.wait(10)
    project.role("later")
    path = f"/branches/{project.main}/snapshot"
    project.refused("POST", path, status=400, timestamp=at(before), lsn="0/1A2B3C8")
    project.refused("POST", path, timestamp=at(before - 3600))
    project.refused("POST", path, {"name": "in the body"}, status=400)
    taken = project.call("POST", path, timestamp=at(before))["snapshot"]
    assert taken["timestamp"] == at(before)
    project.client.wait(10)
    by_lsn = _snapshot(project, lsn=taken["lsn"])
    for snapshot in (taken["id"], by_lsn):
        assert project.roles(_restore(project, snapshot)) == {"neondb_owner"}


def test_a_snapshot_expires(project: Project) -> None:
    path = f"/branches/{project.main}/snapshot"
    project.refused("POST", path, status=400, expires_at=at(project.now - 1))
    due = project.now + 600
    taken = project.call("POST", path, expires_at=at(due))["snapshot"]
    assert taken["expires_at"] == at(due)
    assert len(project.client.call("GET", f"{project.path}/snapshots")["snapshots"]) == 1
    assert project.client.simulator.next_due() == due
    project.client.now = due + 5
    assert project.client.call("GET", f"{project.path}/snapshots")["snapshots"] == []


def test_a_restore_to_look_at_leaves_the_branch_as_it_is(project: Project) -> None:
    snapshot = _snapshot(project)
    project.role("later")
    restored = _restore(project, snapshot, name="preview")
    branch = project.branch(restored)
    assert (branch["name"], branch["default"]) == ("preview", False)
    assert (branch["restore_status"], branch["restored_from"]) == ("restored", snapshot)
    assert branch["restored_as"] == project.main
    assert project.roles(restored) == {"neondb_owner"}
    assert project.roles(project.main) == {"neondb_owner", "later"}
    assert project.client.call("GET", f"{project.path}/branches/{restored}/endpoints")["endpoints"] == []
    project.refused("POST", f"/snapshots/{snapshot}/restore", {"name": "preview"}, status=409)
    project.refused("POST", f"/snapshots/{snapshot}/restore", {"target_branch_id": "br-none"}, status=404)
    project.call("DELETE", f"/branches/{restored}")
    project.call("DELETE", f"/snapshots/{snapshot}", status=202)


def test_a_finalized_restore_changes_the_active_branchs_id_and_keeps_the_uri(project: Project) -> None:
    snapshot, uri = _snapshot(project), project.uri()
    project.call("PATCH", f"/branches/{project.main}", {"branch": {"protected": True}})
    project.role("later")
    answer = project.client.call("POST", f"{project.path}/snapshots/{snapshot}/restore", {"finalize_restore": True})
    assert [each["action"] for each in answer["operations"]] == ["suspend_compute", "create_branch", "start_compute"]
    assert [each["id"] for each in answer["endpoints"]] == [project.endpoint]
    project.client.wait()
    branches = project.branches()
    assert set(branches) == {"main", "main (old)"}
    active, old = branches["main"], branches["main (old)"]
    assert (active["id"], old["id"]) == (answer["branch"]["id"], project.main)
    assert (active["default"], active["protected"]) == (True, True)
    assert (old["default"], old["protected"]) == (False, False)
    assert active["restore_status"] == "finalized"
    assert project.compute()["branch_id"] == active["id"]
    assert project.uri() == uri
    assert project.roles(active["id"]) == {"neondb_owner"}
    assert project.roles(old["id"]) == {"neondb_owner", "later"}
    project.call("DELETE", f"/branches/{old['id']}")
    assert len(project.client.call("GET", f"{project.path}/snapshots")["snapshots"]) == 1


def test_the_restored_branch_has_lost_the_mark_and_the_old_one_keeps_it(project: Project) -> None:
    active = _restore(project, _snapshot(project), finalize_restore=True)
    listed = project.client.call("GET", f"{project.path}/branches")
    assert {branch: each["value"] for branch, each in listed["annotations"].items()} == {project.main: {"mark": "ours"}}
    assert project.client.call("GET", f"{project.path}/branches/{active}")["annotation"]["value"] == {}


def test_without_a_target_a_second_restore_meets_the_old_branch(project: Project) -> None:
    snapshot = _snapshot(project)
    active = _restore(project, snapshot, finalize_restore=True)
    third = _restore(project, snapshot, finalize_restore=True)
    branches = project.branches()
    assert branches["main"]["id"] == active
    assert branches["main (old)"]["id"] == third
    assert branches["main (old) (old)"]["id"] == project.main
    _restore(project, snapshot, finalize_restore=True, target_branch_id=active)
    assert set(project.branches()) == {"main", "main (old)", "main (old) (old)", "main (old 2)"}


def test_a_restore_is_finalized_later(project: Project) -> None:
    snapshot, uri = _snapshot(project), project.uri()
    project.role("later")
    restored = _restore(project, snapshot)
    path = f"/branches/{restored}/finalize_restore"
    compute = {"endpoint": {"branch_id": restored, "type": "read_write"}}
    own = project.call("POST", "/endpoints", compute, status=201)["endpoint"]["id"]
    assert "computes" in project.refused("POST", path)
    project.call("DELETE", f"/endpoints/{own}")
    project.refused("POST", path, {"name": "main"}, status=409)
    assert project.call("POST", path, {"name": "before"})["operations"]
    branches = project.branches()
    assert (branches["main"]["id"], branches["before"]["id"]) == (restored, project.main)
    assert project.uri() == uri
    assert project.roles(restored) == {"neondb_owner"}
    project.refused("POST", path)
    project.refused("POST", f"/branches/{project.main}/finalize_restore")


def test_a_branch_from_a_snapshot_is_not_put_back_in_time(project: Project) -> None:
    active = _restore(project, _snapshot(project), finalize_restore=True)
    body = {"source_branch_id": active, "source_timestamp": at(project.now), "preserve_under_name": "kept"}
    project.client.wait(30)
    assert "ongoing" in project.refused("POST", f"/branches/{active}/restore", body)
    assert [each["name"] for each in project.branch(active)["restricted_actions"]] == ["restore"]


def test_the_children_stay_with_the_old_branch(project: Project) -> None:
    snapshot = _snapshot(project)
    child = project.make("child")
    _restore(project, snapshot, finalize_restore=True)
    assert project.branch(child)["parent_id"] == project.main
    assert "parent" in project.refused("DELETE", f"/branches/{project.main}")


def test_a_snapshot_outlives_its_branch(project: Project) -> None:
    root = project.make("root", init_source="schema-only")
    other = _restore(project, _snapshot(project, root))
    snapshot = _snapshot(project, other)
    project.call("DELETE", f"/branches/{other}")
    assert project.databases(_restore(project, snapshot)) == {"neondb"}
    project.refused("POST", f"/snapshots/{snapshot}/restore", {"finalize_restore": True}, status=404)


def test_a_finalized_restore_shows_at_once_who_is_the_default(project: Project) -> None:
    path, uri = f"{project.path}/snapshots/{_snapshot(project)}/restore", project.uri()
    restored = project.client.call("POST", path, {"finalize_restore": True})["branch"]["id"]
    branches = project.branches()
    assert {branches["main"]["id"], branches["main (old)"]["id"]} == {restored, project.main}
    assert (branches["main"]["id"], branches["main"]["default"]) == (restored, True)
    assert (branches["main"]["current_state"], branches["main"]["pending_state"]) == ("init", "ready")
    assert project.uri() == uri
