"""Processes that are newer than the catalog's schema: they wait, say why, touch nothing, and go on once it is migrated.

The schema lacks the last migration of a program that has one more than this version.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from reconciler.catalog.migrate import migrate
from tests.catalogs import create, execute, with_catalog
from tests.processes.clients import Api, Neon, api_of
from tests.processes.running import Running, Stage, settings, staged, until, url_of
from tests.upgrades.schemas import NEXT, newer_program

WORK = """SELECT app_id, status, conditions, lease_token, lease_holder, attempts, due_at
               FROM app_metadata JOIN app_work USING (app_id)"""
JOBS = "SELECT name, started_at FROM periodic_jobs ORDER BY name"
LOOKS = "SELECT seq_scan + coalesce(idx_scan, 0) AS looks FROM pg_stat_user_tables WHERE relname = '_yoyo_migration'"


@pytest.fixture
def behind(empty_database_url: str) -> Iterator[Stage]:
    """A stage whose catalog lacks one migration, and holds an app that waits to be made."""
    migrate(empty_database_url)
    with_catalog(empty_database_url, lambda catalog: create(catalog, "asked for before"))
    with staged(settings(empty_database_url)) as stage:
        stage.environment["PYTHONPATH"] = newer_program(stage.folder)
        stage.local_neon().said("local Neon serves")
        yield stage


def test_they_wait_and_then_work(behind: Stage) -> None:
    """No crash, no change at Neon or in the catalog, and the word that helps, until ``migrate`` has run."""
    url = behind.catalog_url
    daemon, api = behind.start("reconcile", "--port", "0"), behind.serve()
    for process in (daemon, api):
        answer = _readiness(process)
        assert answer.status_code == 503
        assert answer.json()["detail"] == "The catalog's schema is not current; run morphik-apps migrate."
    _answers_well(api_of(behind, api))
    daemon.said("Waiting for the catalog: its schema is not current; run morphik-apps migrate")
    before, looks = _work(url), _looks(url)
    until(lambda: _looks(url) >= looks + 3 or _work(url) != before, "the daemon looks again and again")
    assert _work(url) == before
    assert Neon(behind).projects() == []
    assert behind.run("migrate").out == f"applied {NEXT}\n"
    until(lambda: _readiness(daemon).status_code == _readiness(api).status_code == 200, "both are ready")
    [app] = api_of(behind, api).all(name="asked for before")
    api_of(behind, api).until(app, "ready")
    assert daemon.err.count("Waiting for the catalog") == 1


def _answers_well(api: Api) -> None:
    """Whoever asks all the same gets a true answer, or a 503 that says to try again."""
    made = api.post("asked for meanwhile")
    answers = [made, api.http.get("/ee/apps")]
    if made.status_code == 201:
        app = f"/ee/apps/{made.json()['app_id']}"
        answers += [api.http.get(app), api.http.get(f"{app}/events"), api.http.delete(app)]
    assert {answer.status_code for answer in answers} <= {200, 201, 202, 503}


def _readiness(process: Running) -> httpx.Response:
    return httpx.get(f"{url_of(process)}/readyz", trust_env=False)


def _work(url: str) -> tuple[object, object]:
    return execute(url, WORK), execute(url, JOBS)


def _looks(url: str) -> int:
    """How often somebody has read which migrations were applied."""
    looks: int = execute(url, LOOKS)[0]["looks"]
    return looks
