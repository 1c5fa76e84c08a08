"""What people do to projects in Neon's console is put back, with the data that was in them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.processes.clients import WAIT, Api, Document, Neon, api_of, connects, document, for_psql, keep, kept
from tests.processes.running import Stage, until


@dataclass
class Fleet:
    """Everything running, and whose console it is."""

    api: Api
    neon: Neon

    def app(self, name: str) -> tuple[Document, Document]:
        """A ready app with its name as data, and its project."""
        app = document(self.api.post(name, WAIT))
        assert app["status"] == "ready"
        keep(app, name)
        return app, self.neon.project_of(app)

    def unharmed(self, app: Document) -> None:
        """The app is ready, its URI is the one that it had, and leads to the data that was there."""
        now = self.api.until(app, "ready")
        assert now["morphik_uri"] == app["morphik_uri"]
        assert kept(now) == app["app_name"]


@pytest.fixture
def fleet(stage: Stage) -> Fleet:
    """API, reconciler and local Neon."""
    serving, neon = stage.serve(), stage.local_neon()
    neon.said("local Neon serves")
    stage.reconcile()
    return Fleet(api_of(stage, serving), Neon(stage))


def test_a_sweep_puts_back_what_the_list_shows(fleet: Fleet) -> None:
    """Renamed, with other settings, deleted: each app's project is as it was, and no project came or went."""
    renamed, named = fleet.app("renamed")
    changed, set_up = fleet.app("changed")
    deleted, there = fleet.app("deleted")

    fleet.neon.call("PATCH", f"/projects/{named['id']}", {"project": {"name": "somebody's own name"}})
    quota = {"active_time_seconds": 1000, "logical_size_bytes": 1 << 30}
    wishes = {"history_retention_seconds": 3600, "settings": {"quota": quota}}
    fleet.neon.call("PATCH", f"/projects/{set_up['id']}", {"project": wishes})
    fleet.neon.call("DELETE", f"/projects/{there['id']}")
    assert fleet.neon.project(set_up["id"])["history_retention_seconds"] == 3600
    until(lambda: not connects(for_psql(deleted["morphik_uri"])), "the deleted project's database is closed")

    until(lambda: fleet.neon.project(named["id"])["name"] == named["name"], "the name is put back")
    until(lambda: _settings(fleet.neon.project(set_up["id"])) == _settings(set_up), "the settings are put back")
    until(lambda: there["id"] in {p["id"] for p in fleet.neon.projects()}, "the deleted project is recovered")
    until(lambda: connects(for_psql(deleted["morphik_uri"])), "the recovered project's database is open")
    for app in (renamed, changed, deleted):
        fleet.unharmed(app)
    assert {p["id"] for p in fleet.neon.projects()} == {named["id"], set_up["id"], there["id"]}
    told = {(event["type"], event["reason"]) for event in fleet.api.events(deleted)}
    assert ("Ready", "Recovering") in told


def _settings(project: Document) -> tuple[object, dict[str, int]]:
    """History and quota; 0 is no limit, as when there is none."""
    quota = {name: limit for name, limit in project["settings"].get("quota", {}).items() if limit}
    return project["history_retention_seconds"], quota


def test_an_audit_gives_the_default_branch_its_compute_again(fleet: Fleet) -> None:
    """Whatever the branch is called now: it gets a new compute, and the URI leads to the same data."""
    app, project = fleet.app("without a compute")
    path = f"/projects/{project['id']}"
    [branch] = fleet.neon.call("GET", f"{path}/branches")["branches"]
    [endpoint] = fleet.neon.call("GET", f"{path}/endpoints")["endpoints"]
    fleet.neon.call("PATCH", f"{path}/branches/{branch['id']}", {"branch": {"name": "production"}})
    fleet.neon.call("DELETE", f"{path}/endpoints/{endpoint['id']}")

    def made() -> list[Document]:
        found: list[Document] = fleet.neon.call("GET", f"{path}/endpoints")["endpoints"]
        return found

    until(made, "there is a compute again")
    [again] = made()
    assert again["id"] != endpoint["id"]
    assert again["branch_id"] == branch["id"]
    assert again["type"] == "read_write"
    until(lambda: connects(for_psql(app["morphik_uri"])), "the database is open")
    now = fleet.api.until(app, "ready")
    assert kept(now) == "without a compute"
