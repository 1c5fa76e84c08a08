"""Roles and databases of local Neon's state machine."""

from __future__ import annotations

import pytest

from reconciler.local.options import LocalNeonOptions
from reconciler.local.plan_limits import PlanLimits
from reconciler.local.postgres.commands import Command, EnsureDatabases
from reconciler.local.simulator import LocalNeon
from tests.unit.local_neon_branches import Project
from tests.unit.local_neon_client import Client


@pytest.fixture
def project() -> Project:
    return Project()


def test_a_role_that_cannot_log_in_has_no_password(project: Project) -> None:
    below = f"/branches/{project.main}"
    made = project.call("POST", f"{below}/roles", {"role": {"name": "group", "no_login": True}}, status=201)["role"]
    assert "password" not in made
    assert made["authentication_method"] == "no_login"
    project.refused("GET", f"{below}/roles/group/reveal_password", status=404)
    project.refused("POST", f"{below}/roles/group/reset_password")
    project.refused("GET", "/connection_uri", status=404, database_name="neondb", role_name="group")
    project.call("PATCH", f"{below}/databases/neondb", {"database": {"owner_name": "group"}})
    assert (
        project.call("POST", "/branches", {"endpoints": [{"type": "read_write"}]}, status=201)["connection_uris"] == []
    )


@pytest.mark.parametrize("name", ["pg_x", "neon_superuser", "cloud_admin", "zenith_admin", "public", "none", "ä" * 32])
def test_reserved_and_long_role_names_are_refused(project: Project, name: str) -> None:
    project.refused("POST", f"/branches/{project.main}/roles", {"role": {"name": name}})


@pytest.mark.parametrize("name", ["postgres", "template0", "template1", "ä" * 32])
def test_reserved_and_long_database_names_are_refused(project: Project, name: str) -> None:
    below, owner = f"/branches/{project.main}/databases", {"owner_name": "neondb_owner"}
    project.refused("POST", below, {"database": {"name": name, **owner}})
    project.refused("PATCH", f"{below}/neondb", {"database": {"name": name}})


def test_there_are_so_many_roles_and_databases_and_no_more() -> None:
    project = Project(limits=PlanLimits(roles=2, databases=2))
    below = f"/branches/{project.main}"
    project.role("second")
    answer = project.call("POST", f"{below}/roles", {"role": {"name": "third"}}, status=422)
    assert answer["code"] == "ROLES_LIMIT_EXCEEDED"
    body = {"database": {"name": "second", "owner_name": "second"}}
    project.call("POST", f"{below}/databases", body, status=201)
    answer = project.call("POST", f"{below}/databases", {"database": {**body["database"], "name": "third"}}, status=422)
    assert answer["code"] == "DATABASES_LIMIT_EXCEEDED"


def test_neons_own_limits_are_the_default() -> None:
    limits = PlanLimits()
    assert (limits.roles, limits.databases, limits.snapshots, limits.protected_branches) == (500, 500, 10, 5)


def test_a_database_is_renamed(project: Project) -> None:
    below, uri = f"/branches/{project.main}/databases", project.uri()
    project.call("POST", below, {"database": {"name": "more", "owner_name": "neondb_owner"}}, status=201)
    project.refused("PATCH", f"{below}/neondb", {"database": {"name": "more"}}, status=409)
    project.refused("PATCH", f"{below}/neondb", {"database": {"owner_name": "nobody"}}, status=404)
    answer = project.call("PATCH", f"{below}/neondb", {"database": {"name": "renamed"}})
    assert (answer["database"]["name"], answer["database"]["owner_name"]) == ("renamed", "neondb_owner")
    listed = project.client.call("GET", project.path + below)["databases"]
    assert [each["name"] for each in listed] == ["renamed", "more"]
    project.refused("GET", f"{below}/neondb", status=404)
    assert project.uri(database_name="renamed") != uri


def test_a_change_of_roles_locks_the_project(project: Project) -> None:
    path = f"{project.path}/branches/{project.main}/roles"
    project.client.call("POST", path, {"role": {"name": "second"}}, status=201)
    project.client.call("POST", path, {"role": {"name": "third"}}, status=423)
    project.client.call("GET", path)


def test_the_past_is_kept_as_long_as_the_history_window(project: Project) -> None:
    for name in ("a", "b"):
        project.role(name)
        project.client.wait(86_400 * 2)
    project.role("c")
    kept = project.client.simulator.dump(project.id)
    assert kept is not None
    branch = kept["branches"][project.main]  # type: ignore[index]
    assert len(branch["history"]) == 1


def test_a_reset_takes_effect_when_its_operation_is_over_and_not_before() -> None:
    simulator = LocalNeon(LocalNeonOptions(physical=True, operation_seconds=(1.0, 1.0)), seed=1)
    client = Client(simulator)

    def carried_out() -> list[Command]:
        commands = simulator.advance(client.now)
        for command in commands:
            simulator.complete(command.operation_id, client.now)
        return commands

    made = client.call("POST", "/projects", {"project": {}}, status=201)
    assert carried_out()
    client.wait(10)
    carried_out()
    path = f"/projects/{made['project']['id']}/branches/{made['branch']['id']}/roles/neondb_owner/reset_password"
    new = client.call("POST", path)["role"]["password"]
    assert carried_out() == []
    assert simulator.next_due() == client.now + 1.0
    client.wait(1.0)
    [command] = carried_out()
    assert isinstance(command, EnsureDatabases)
    assert [login.password for login in command.roles] == [new]
    assert command.ends_sessions
