"""Local Neon's state machine, in virtual time and without a Postgres."""

from __future__ import annotations

import json
import re

import pytest

from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.commands import EnsureDatabases, RemoveDatabases, RemoveRole
from reconciler.local.simulator import LocalNeon
from tests.unit.local_neon_client import Client, Json

LOCKED = "project already has running conflicting operations, scheduling of new ones is prohibited"


def test_a_created_project_is_complete_and_becomes_ready() -> None:
    client = Client()
    body = {
        "project": {
            "name": "shop-1",
            "org_id": "org-local-00000000",
            "region_id": "aws-eu-central-1",
            "pg_version": 16,
            "store_passwords": True,
            "history_retention_seconds": 0,
            "settings": {"quota": {"active_time_seconds": 5, "logical_size_bytes": 0}},
            "default_endpoint_settings": {"autoscaling_limit_min_cu": 0.25, "autoscaling_limit_max_cu": 2},
            "branch": {"name": "main", "role_name": "app_1", "database_name": "app", "annotations": {"plane": "p"}},
        }
    }
    made = client.call("POST", "/projects", body, status=201)
    project_id = made["project"]["id"]
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{8}", project_id)
    assert [(each["action"], each["status"]) for each in made["operations"]] == [
        ("create_timeline", "running"),
        ("start_compute", "scheduling"),
    ]
    assert made["branch"]["current_state"] == made["endpoints"][0]["current_state"] == "init"
    parameters = made["connection_uris"][0]["connection_parameters"]
    assert made["roles"][0]["password"] == parameters["password"]
    assert parameters["password"] in made["connection_uris"][0]["connection_uri"]
    client.wait()
    below = f"/projects/{project_id}"
    project = client.call("GET", below)["project"]
    assert project["settings"]["quota"] == {"active_time_seconds": 5, "logical_size_bytes": 0}
    assert (project["history_retention_seconds"], project["pg_version"]) == (0, 16)
    branch_id = made["branch"]["id"]
    branch = client.call("GET", f"{below}/branches/{branch_id}")
    assert branch["branch"]["current_state"] == "ready"
    assert branch["annotation"]["value"] == {"plane": "p"}
    listed = client.call("GET", f"{below}/branches")
    assert listed["annotations"][branch_id]["object"] == {"type": "console/branch", "id": branch_id}
    (endpoint,) = client.call("GET", f"{below}/endpoints")["endpoints"]
    assert endpoint["current_state"] == "active"
    assert (endpoint["autoscaling_limit_min_cu"], endpoint["autoscaling_limit_max_cu"]) == (0.25, 2)
    (role,) = client.call("GET", f"{below}/branches/{branch_id}/roles")["roles"]
    assert role["name"] == "app_1"
    assert "password" not in role
    assert client.call("GET", f"{below}/branches/{branch_id}/databases")["databases"][0]["owner_name"] == "app_1"
    uri = client.call("GET", f"{below}/connection_uri", database_name="app", role_name="app_1")["uri"]
    assert uri == made["connection_uris"][0]["connection_uri"]


def test_a_compute_is_idle_when_nobody_has_used_it_for_its_time() -> None:
    client = Client()
    below = f"/projects/{client.create()['project']['id']}"
    client.wait(301)
    (endpoint,) = client.call("GET", f"{below}/endpoints")["endpoints"]
    assert endpoint["current_state"] == "idle"
    client.call("POST", f"{below}/endpoints/{endpoint['id']}/start")
    client.wait()
    assert client.call("GET", f"{below}/endpoints/{endpoint['id']}")["endpoint"]["current_state"] == "active"


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("PATCH", "", {"project": {"name": "other"}}),
        ("DELETE", "", None),
        ("POST", "/branches", {}),
        ("DELETE", "/branches/br-none", None),
        ("POST", "/endpoints", {"endpoint": {"branch_id": "br-x", "type": "read_write"}}),
    ],
)
def test_mutations_are_locked_while_operations_run_and_reads_are_not(method: str, tail: str, body: object) -> None:
    client = Client(operation_seconds=(1.0, 1.0))
    project_id = client.call("POST", "/projects", {"project": {}}, status=201)["project"]["id"]
    assert client.call(method, f"/projects/{project_id}{tail}", body, status=423)["message"] == LOCKED
    client.wait(1.5)
    assert client.call(method, f"/projects/{project_id}{tail}", body, status=423)["message"] == LOCKED
    operations = client.call("GET", f"/projects/{project_id}/operations")["operations"]
    assert [each["status"] for each in operations] == ["running", "finished"]
    client.wait(0.5)
    (newest, _) = client.call("GET", f"/projects/{project_id}/operations")["operations"]
    assert newest["status"] == "finished"
    assert client.call("GET", f"/projects/{project_id}/operations/{newest['id']}")["operation"] == newest


def test_lists_end_with_an_empty_page_and_have_a_cursor_on_the_last_full_one() -> None:
    client = Client()
    made = {client.create(name="same")["project"]["id"] for _ in range(5)}
    seen: list[str] = []
    query: Json = {"limit": "2"}
    pages = []
    while True:
        page = client.call("GET", "/projects", **query)
        pages.append(len(page["projects"]))
        if not page["projects"]:
            break
        seen += [project["id"] for project in page["projects"]]
        query["cursor"] = page["pagination"]["cursor"]
    assert pages == [2, 2, 1, 0]
    assert set(seen) == made
    assert len(seen) == 5
    assert len(client.call("GET", "/projects")["projects"]) == 5
    for limit in ("0", "401", "x", "9" * 5000):
        client.call("GET", "/projects", status=400, limit=limit)


def test_search_finds_parts_of_names_and_ids() -> None:
    client = Client()
    shop, blog = client.create(name="shop-1"), client.create(name="blog-1")
    for text, found in (("hop", {"shop-1"}), ("-1", {"shop-1", "blog-1"}), (blog["project"]["id"][2:], {"blog-1"})):
        assert {each["name"] for each in client.call("GET", "/projects", search=text)["projects"]} == found
    assert shop["project"]["name"] == "shop-1"


def test_unavailable_projects_are_named_instead_of_shown() -> None:
    client = Client()
    hidden, shown = client.create()["project"]["id"], client.create()["project"]["id"]
    client.simulator.unavailable.add(hidden)
    page = client.call("GET", "/projects")
    assert page["unavailable_project_ids"] == [hidden]
    assert [project["id"] for project in page["projects"]] == [shown]


def test_deletion_is_soft_and_recovery_restores_the_same_uri() -> None:
    client = Client()
    made = client.create(name="gone")
    path = f"/projects/{made['project']['id']}"
    client.call("DELETE", path)
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/branches"), ("GET", "/operations")):
        client.call(method, path + tail, status=404)
    assert client.call("GET", "/projects")["projects"] == []
    (deleted,) = client.call("GET", "/projects", recoverable="true")["projects"]
    assert deleted["deleted_at"] < deleted["recoverable_until"]
    client.wait()
    recovered = client.call("POST", f"{path}/recover")
    assert recovered["branches"][0]["id"] == made["branch"]["id"]
    client.wait()
    uri = client.call("GET", f"{path}/connection_uri", database_name="neondb", role_name="neondb_owner")["uri"]
    assert uri == made["connection_uris"][0]["connection_uri"]
    assert client.call("GET", "/projects", recoverable="true")["projects"] == []


def test_after_a_week_a_deleted_project_is_gone_for_good() -> None:
    client = Client()
    path = f"/projects/{client.create()['project']['id']}"
    client.call("DELETE", path)
    client.wait(7 * 86400 + 10)
    client.call("POST", f"{path}/recover", status=404)
    client.wait()
    client.call("GET", "/projects", recoverable="true")
    assert client.simulator.dump(path.rsplit("/", 1)[1]) is None


def test_a_protected_branch_keeps_its_project() -> None:
    client = Client()
    made = client.create()
    path = f"/projects/{made['project']['id']}"
    branch = f"{path}/branches/{made['branch']['id']}"
    client.call("PATCH", branch, {"branch": {"protected": True}})
    client.call("DELETE", path, status=422)
    client.call("PATCH", branch, {"branch": {"protected": False}})
    client.call("DELETE", path)


def test_a_quota_is_replaced_as_a_whole_and_other_settings_stay() -> None:
    client = Client()
    made = client.create(settings={"quota": {"active_time_seconds": 5, "written_data_bytes": 6}})
    path = f"/projects/{made['project']['id']}"
    client.call("PATCH", path, {"project": {"settings": {"quota": {"active_time_seconds": 7}}}})
    client.wait()
    settings = client.call("GET", path)["project"]["settings"]
    assert settings["quota"] == {"active_time_seconds": 7}
    assert settings["allowed_ips"] == {"ips": [], "protected_branches_only": False}


@pytest.mark.parametrize(
    ("project", "status"),
    [
        ({"surprise": 1}, 400),
        ({"settings": {"quota": {"surprise": 1}}}, 400),
        ({"name": 5}, 400),
        ({"name": ""}, 422),
        ({"pg_version": 13}, 422),
        ({"region_id": "mars-north-1"}, 400),
        ({"org_id": "org-other"}, 404),
        ({"default_endpoint_settings": {"autoscaling_limit_min_cu": 0}}, 422),
        ({"default_endpoint_settings": {"suspend_timeout_seconds": 30}}, 422),
        ({"branch": {"role_name": "pg_bad"}}, 422),
        ({"branch": {"annotations": {"n": 1}}}, 400),
    ],
)
def test_a_wrong_project_is_refused_and_makes_nothing(project: Json, status: int) -> None:
    client = Client()
    client.call("POST", "/projects", {"project": project}, status=status)
    client.call("POST", "/projects", project, status=400)
    assert client.call("GET", "/projects")["projects"] == []


def test_keys_paths_and_limits() -> None:
    client = Client(api_key="right", project_limit=1)
    client.call("GET", "/auth", status=401, key="wrong")
    client.call("GET", "/auth", status=401, key="")
    assert client.call("GET", "/auth", key="right")["auth_method"] == "api_key_org"
    (organization,) = client.call("GET", "/users/me/organizations", key="right")["organizations"]
    assert organization["id"] == "org-local-00000000"
    client.call("GET", "/nothing/here", key="right", status=404)
    client.call("PUT", "/projects", key="right", status=405)
    client.call("GET", "/projects", key="right", status=404, org_id="org-other")
    client.call("POST", "/projects", {"project": {}}, key="right", status=201)
    limited = client.call("POST", "/projects", {"project": {}}, key="right", status=422)
    assert limited["code"] == "PROJECTS_LIMIT_EXCEEDED"


def test_more_requests_than_allowed_are_refused_until_time_has_passed() -> None:
    client = Client(requests_per_minute=60, burst=2)
    client.call("GET", "/auth")
    client.call("GET", "/auth")
    client.call("GET", "/auth", status=429)
    client.wait(1)
    client.call("GET", "/auth")
    client.call("GET", "/auth", status=429)


def test_passwords_that_are_not_stored_are_not_revealed() -> None:
    client = Client()
    made = client.create(store_passwords=False)
    path = f"/projects/{made['project']['id']}"
    role = f"{path}/branches/{made['branch']['id']}/roles/neondb_owner"
    client.call("GET", f"{role}/reveal_password", status=412)
    client.call("GET", f"{path}/connection_uri", status=412, database_name="neondb", role_name="neondb_owner")
    client.call("GET", f"{role}x/reveal_password", status=404)


def _play(seed: int) -> list[tuple[str, str, int, object]]:
    client = Client(LocalNeon(LocalNeonOptions(), seed))
    client.create(name="a")
    made = client.create(name="b")
    client.call("POST", f"/projects/{made['project']['id']}/branches", {"branch": {"name": "x"}}, status=201)
    client.call("GET", f"/projects/{made['project']['id']}/operations")
    return client.answers


def test_the_same_seed_gives_the_same_answers() -> None:
    assert _play(7) == _play(7)
    assert _play(7) != _play(8)


def test_dumped_projects_load_into_the_same_machine() -> None:
    client = Client()
    made = client.create(branch={"annotations": {"a": "b"}})
    project_id = made["project"]["id"]
    client.call("POST", f"/projects/{project_id}/branches", {"branch": {"name": "x"}}, status=201)
    assert client.simulator.dirty() == {project_id}
    assert client.simulator.dirty() == set()
    document = json.loads(json.dumps(client.simulator.dump(project_id)))
    other = Client()
    other.simulator.load([document])
    other.now = client.now
    for tail in ("", "/branches", "/endpoints", "/operations"):
        assert other.call("GET", f"/projects/{project_id}{tail}") == client.call("GET", f"/projects/{project_id}{tail}")
    other.call("DELETE", f"/projects/{project_id}", status=423)
    other.wait()
    other.call("DELETE", f"/projects/{project_id}")


def test_with_an_executor_an_operation_waits_for_its_command() -> None:
    client = Client(physical=True)
    simulator = client.simulator
    made = client.call("POST", "/projects", {"project": {}}, status=201)
    (command,) = simulator.advance(client.now)
    assert isinstance(command, EnsureDatabases)
    assert command.open
    assert command.roles[0].password == made["roles"][0]["password"]
    assert command.databases[0].owner == command.roles[0].name
    assert made["roles"][0]["password"] not in repr(command)
    assert simulator.advance(client.now + 60) == []
    assert simulator.next_due() is None
    simulator.complete(command.operation_id, client.now, "broken")
    assert simulator.advance(client.now + 0.5) == []
    operations = client.call("GET", f"/projects/{made['project']['id']}/operations")["operations"]
    assert (operations[1]["status"], operations[1]["failures_count"]) == ("failed", 1)
    (again,) = simulator.advance(client.now + 2)
    assert again == command
    simulator.complete(again.operation_id, client.now + 2)
    simulator.advance(client.now + 10)
    assert simulator.next_due() is None
    operations = client.call("GET", f"/projects/{made['project']['id']}/operations")["operations"]
    assert {each["status"] for each in operations} == {"finished"}


def test_after_a_load_unfinished_commands_are_issued_again() -> None:
    client = Client(physical=True)
    project_id = client.call("POST", "/projects", {"project": {}}, status=201)["project"]["id"]
    issued = client.simulator.advance(client.now)
    document = client.simulator.dump(project_id)
    assert document is not None
    other = LocalNeon(client.simulator.options, 5)
    other.load([document])
    assert other.advance(client.now) == issued


def _carry_out(client: Client) -> list[object]:
    done: list[object] = []
    for _ in range(10):
        for command in client.simulator.advance(client.now):
            client.simulator.complete(command.operation_id, client.now)
            done.append(command)
        client.wait(1)
    return done


def test_deletion_closes_and_the_end_of_recovery_removes() -> None:
    client = Client(physical=True)
    made = client.call("POST", "/projects", {"project": {}}, status=201)
    _carry_out(client)
    below = f"/projects/{made['project']['id']}/branches/{made['branch']['id']}"
    client.call("POST", f"{below}/roles", {"role": {"name": "second"}}, status=201)
    _carry_out(client)
    client.call("DELETE", f"{below}/roles/second")
    assert [type(command) for command in _carry_out(client)] == [RemoveRole]
    client.call("DELETE", f"/projects/{made['project']['id']}")
    (closed,) = _carry_out(client)
    assert isinstance(closed, EnsureDatabases)
    assert not closed.open
    client.wait(7 * 86400)
    (removed,) = _carry_out(client)
    assert isinstance(removed, RemoveDatabases)
    assert removed.databases == tuple(store.name for store in closed.databases)
    assert client.simulator.dump(made["project"]["id"]) is None
