"""Many projects vanish at once, or the key answers for another organization: nothing is changed at Neon."""

from __future__ import annotations

from datetime import datetime

from tests.processes.clients import Api, Document, Neon, api_of, for_operators, keep, kept, rows
from tests.processes.running import FIGURES, Stage, until

APPS = 8
SWEEPS = 3


def _ready_apps(api: Api, number: int) -> list[Document]:
    apps = [api.create(f"app {n}") for n in range(number)]
    ready = [api.until(app, "ready") for app in apps]
    for app in ready:
        keep(app, app["app_name"])
    return ready


def _settled(stage: Stage) -> None:
    """Wait until every project is so old that no list may lag behind it."""
    asked = f"""SELECT max(project_recorded_at) < now() - make_interval(secs => {FIGURES["SETTLE_SECONDS"]})
        FROM app_metadata"""
    until(lambda: rows(stage.catalog_url, asked) == [(True,)], "every project is settled")


def _reason(stage: Stage) -> str:
    [(reason,)] = rows(stage.catalog_url, "SELECT mutation_stop_reason FROM catalog_identity")
    return str(reason or "")


def _after_sweeps(stage: Stage) -> None:
    """Wait until so many sweeps have ended."""
    seen: set[datetime] = set()

    def look() -> bool:
        asked = "SELECT finished_at FROM periodic_jobs WHERE name = 'resync' AND lease_expires_at IS NULL"
        seen.update(at for (at,) in rows(stage.catalog_url, asked))
        return len(seen) > SWEEPS

    until(look, "sweeps end")


def test_many_projects_vanish_at_once(stage: Stage) -> None:
    """Everything stops and says so; after an operator's word all are recovered with their data."""
    serving, neon_process = stage.serve(), stage.local_neon()
    neon_process.said("local Neon serves")
    neon, api, daemon = Neon(stage), api_of(stage, serving), stage.reconcile()
    apps = _ready_apps(api, APPS)
    _settled(stage)
    assert daemon.stop() == 0
    projects = {project["id"] for project in neon.projects()}
    for project_id in projects:
        neon.call("DELETE", f"/projects/{project_id}")

    daemon = stage.reconcile()
    until(lambda: _reason(stage), "the catalog says why everything stops")
    assert f"{APPS} of {APPS}" in _reason(stage)
    assert "morphik-apps resume" in _reason(stage)
    assert api.until_reason(api.create("too late"), "MutationsSuspended")
    _after_sweeps(stage)
    assert neon.projects() == []
    assert daemon.alive

    resumed = stage.run("resume")
    assert resumed.code() == 0, resumed.err
    until(lambda: projects <= {project["id"] for project in neon.projects()}, "every project is recovered")
    for app in apps:
        assert api.until(app, "ready")["morphik_uri"] == app["morphik_uri"]
        assert kept(app) == app["app_name"]
    assert _reason(stage) == ""


def test_the_key_answers_for_another_organization(stage: Stage) -> None:
    """A running daemon and a new one change nothing, whatever they are asked for; nothing is taken for lost."""
    serving, first = stage.serve(), stage.local_neon()
    first.said("local Neon serves")
    neon, api, daemon = Neon(stage), api_of(stage, serving), stage.reconcile()
    kept_app, doomed = _ready_apps(api, 2)
    theirs = neon.call("POST", "/organizations/org-local-00000000/api_keys", {"key_name": "console"})
    neon.http.headers["Authorization"] = f"Bearer {theirs['key']}"
    before = _state(neon)
    assert first.stop() == 0

    second = stage.local_neon(NEON_ORG_ID="org-of-somebody-else")
    second.said("local Neon serves")
    late = api.create("late")
    assert api.delete(doomed).status_code == 202
    _all_tried(stage)
    assert daemon.stop() == 0
    later = api.create("later")
    newcomer = stage.reconcile()
    newcomer.said("the setting is org-of-somebody-else")
    assert "org-of-somebody-else" not in api.until_reason(later, "MutationsSuspended")
    assert "org-of-somebody-else" in for_operators(stage, later)
    _all_tried(stage)
    assert newcomer.alive
    assert _state(neon) == before
    assert _state(Neon(stage)) == []
    for app in (late, later):
        assert api.get(app)["status"] in ("pending", "failed")
    assert api.get(doomed)["status"] == "deleting"
    assert api.get(kept_app)["morphik_uri"] == kept_app["morphik_uri"]
    assert second.stop() == 0

    stage.local_neon().said("local Neon serves")
    api.until(kept_app, "ready")  # at the latest when its back-off of a minute is over
    assert kept(kept_app) == kept_app["app_name"]


def _state(neon: Neon) -> list[tuple[str, str, str]]:
    """What a change to any project would change."""
    return sorted((p["id"], p["name"], p["updated_at"]) for p in neon.projects())


def _all_tried(stage: Stage) -> None:
    """Wait until every app that is due was tried, in vain."""
    asked = "SELECT app_id FROM app_work WHERE due_at < 'infinity' AND (attempts = 0 OR lease_expires_at IS NOT NULL)"
    until(lambda: not rows(stage.catalog_url, asked), "everything was tried")
