"""Yesterday's catalog is put in the place of today's: everything waits, and a person's commands make it good."""

from __future__ import annotations

from tests.identity.copies import copied
from tests.postgres import TestServer
from tests.processes.clients import Document, Neon, api_of, for_operators, keep, kept, rows
from tests.processes.running import Stage, addresses, until


def test_a_restored_catalog_waits_for_a_person_and_gets_back_what_it_lost(stage: Stage, postgres: TestServer) -> None:
    """One app was made since, and one deleted; the first is served again, the second is not brought back."""
    stage.local_neon().said("local Neon serves")
    neon, today = Neon(stage), stage.catalog_url
    serving, daemon = stage.serve(), stage.reconcile()
    api = api_of(stage, serving)
    doomed = api.until(api.create("doomed"), "ready")
    assert daemon.stop() == 0
    assert serving.stop() == 0
    with copied(postgres, today) as yesterday:
        serving, daemon = stage.serve(), stage.reconcile()
        api = api_of(stage, serving)
        lost = api.until(api.create("lost"), "ready")
        keep(lost, "still here")
        api.delete(doomed)
        api.until(doomed, "deleted")
        assert daemon.stop() == 0
        assert serving.stop() == 0

        stage.environment.update(addresses(yesterday))
        _goes_on(stage, neon, lost, doomed)


def _goes_on(stage: Stage, neon: Neon, lost: Document, doomed: Document) -> None:
    before = _state(neon)
    api, daemon = api_of(stage, stage.serve()), stage.reconcile()
    daemon.said("catalog.quarantined")
    late = api.create("late")
    assert "promote" not in api.until_reason(late, "MutationsSuspended")
    assert "morphik-apps catalog promote" in for_operators(stage, late)
    assert "morphik-apps catalog promote" in api.http.get("/readyz").json()["stopped"]
    assert "morphik_apps_catalog_quarantined 1.0" in api.http.get("/metrics").text
    assert api.http.get(f"/ee/apps/{lost['app_id']}").status_code == 404

    resumed, examined, looked = stage.run("resume"), stage.run("doctor"), stage.run("catalog", "promote")
    assert "quarantined: morphik-apps catalog promote" in resumed.out
    assert "FAILED   stop" in examined.out
    assert looked.code() == 0, looked.err
    for said in (lost["app_id"], doomed["app_id"], "another database", "Nothing was changed"):
        assert said in looked.out
    assert _state(neon) == before
    assert daemon.alive

    claimed = stage.run("catalog", "promote", "--yes")
    assert claimed.code() == 0, claimed.err
    assert "rebuilt 1, adopted 0, on hold 1" in claimed.out
    rebuilt = api.get(lost)
    assert (rebuilt["status"], rebuilt["morphik_uri"]) == ("failed", None)
    api.until(late, "ready")
    assert "app confirm-owner" in api.until_reason(doomed, "ProjectMissing")

    wrong = stage.run("app", "confirm-owner", doomed["app_id"], "mallory")
    assert (wrong.code(), wrong.err) == (1, f"morphik-apps: the app {doomed['app_id']} is another owner's\n")
    confirmed = stage.run("app", "confirm-owner", lost["app_id"], "alice")
    assert confirmed.code() == 0, confirmed.err
    again = api.until(lost, "ready")
    assert again["morphik_uri"] == lost["morphik_uri"]
    assert kept(again) == "still here"
    api.delete(doomed)
    api.until(doomed, "deleted")
    living = {project["name"].rpartition("-")[2] for project in neon.projects()}
    assert living == {lost["app_id"], late["app_id"]}
    told = rows(stage.catalog_url, "SELECT type FROM app_events WHERE actor = 'operator' ORDER BY 1")
    assert told == [("Confirmed",), ("Rebuilt",), ("RecoveryHeld",)]
    until(lambda: daemon.alive, "the daemon lives")


def _state(neon: Neon) -> list[tuple[str, str, str]]:
    """What a change to any project would change."""
    return sorted((p["id"], p["name"], p["updated_at"]) for p in neon.projects())
