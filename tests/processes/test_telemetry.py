"""What running processes say of themselves: figures on ``/metrics``, one record for each change, silence otherwise."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.metrics import metric_descriptions
from tests.processes.clients import WAIT, Api, Document, Neon, api_of, document, for_psql, rows
from tests.processes.running import Running, Stage, until, url_of
from tests.scraping import Scrape

QUIET_ROUNDS = 3
TRIES = 4
# Long enough that no answer counts as lost because a machine is slow, and short between sweeps.
FIGURES = {"NEON_TIMEOUT_SECONDS": "20", "LEASE_SECONDS": "60", "SETTLE_SECONDS": "21", "RESYNC_SECONDS": "1"}


@dataclass
class Plane:
    """An API and a daemon, each with its door."""

    stage: Stage
    serving: Running
    daemon: Running
    api: Api
    neon: Neon

    def scrape(self, process: Running) -> Scrape:
        """What a process measures."""
        answer = httpx.get(f"{url_of(process)}/metrics", timeout=30, trust_env=False)
        assert answer.status_code == 200
        return Scrape(answer.text)

    def records(self) -> list[dict[str, Any]]:
        """What the daemon has logged; each line is one JSON object."""
        return [json.loads(line) for line in self.daemon.err.splitlines()]

    def changes(self, app: Document) -> list[tuple[str, str]]:
        """What was changed at Neon for an app, and what came of it, in its order."""
        told = [one for one in self.records() if one.get("app_id") == app["app_id"] and "effect" in one]
        return [(one["effect"], one["outcome"]) for one in told]

    def turns(self, app: Document) -> list[str]:
        """The statuses of an app that were said."""
        return [one["status"] for one in self.records() if one.get("app_id") == app["app_id"] and "was" in one]

    def look_again(self) -> None:
        """Have a pass look at each app, and wait until it has."""

        def passes() -> float:
            return sum(self.scrape(self.daemon).of("reconcile_total", "outcome").values())

        before = passes()
        again = "UPDATE app_work SET wake_count = wake_count + 1, due_at = now(), priority_at = now()"
        rows(self.stage.catalog_url, again)
        until(lambda: passes() > before, "a pass has looked")

    def rest(self) -> None:
        """Wait until some sweeps and audits have come and gone."""
        asked = "SELECT cycle_finished_at FROM periodic_jobs WHERE name = 'deep_resync'"
        seen = set()

        def look() -> bool:
            seen.update(rows(self.stage.catalog_url, asked))
            return len(seen) > QUIET_ROUNDS

        until(look, "rounds come and go")


@pytest.fixture
def plane(stage: Stage) -> Plane:
    """Everything running."""
    stage.local_neon().said("local Neon serves")
    serving, daemon = stage.serve(), stage.start("reconcile", "--port", "0", **FIGURES)
    return Plane(stage, serving, daemon, api_of(stage, serving), Neon(stage))


def test_a_life_is_told_once(plane: Plane) -> None:
    """Created, repaired, deleted: one record for each change, one line for each turn, the figures of all, and nothing
    while nothing happens; and no credential in any line.
    """
    app = document(plane.api.post("told", WAIT))
    project = plane.neon.project_of(app)
    before = plane.scrape(plane.daemon)
    plane.rest()
    quiet = len(plane.records())
    plane.look_again()
    plane.rest()
    assert len(plane.records()) == quiet, "a pass that changes nothing says nothing"
    resting = plane.scrape(plane.daemon)
    assert plane.changes(app) == [("CreateProject", "success")]
    assert plane.turns(app) == ["ready"]
    assert resting("repairs_total", kind="settings") == 0
    assert resting.of("apps", "status")["ready"] == 1
    assert resting("time_to_ready_seconds_count") == 1
    assert resting("time_to_deleted_seconds_count") == 0
    assert (resting("job_duration_seconds", job="resync") or 0) > 0

    plane.neon.call("PATCH", f"/projects/{project['id']}", {"project": {"name": "somebody's own name"}})
    until(lambda: plane.neon.project(project["id"])["name"] == project["name"], "the name is put back")
    until(lambda: len(plane.changes(app)) == 2, "the repair is said")
    assert plane.api.delete(app, WAIT).status_code == 200
    until(lambda: len(plane.turns(app)) == 2, "the end is said")

    assert plane.changes(app) == [
        ("CreateProject", "success"),
        ("UpdateProject", "success"),
        ("DeleteProject", "success"),
    ]
    assert plane.turns(app) == ["ready", "deleted"]
    # The figures of the catalog may be some seconds old.
    until(lambda: plane.scrape(plane.daemon).of("apps", "status")["deleted"], "the figures are of now")
    after = plane.scrape(plane.daemon)
    assert before.series == after.series
    assert after("repairs_total", kind="settings") == 1
    assert (after("resync_findings_total", finding="drifted") or 0) >= 1
    assert after("time_to_deleted_seconds_count") == 1
    for method, route in (
        ("POST", "/projects"),
        ("PATCH", "/projects/{project_id}"),
        ("DELETE", "/projects/{project_id}"),
    ):
        assert after("neon_requests_total", method=method, route=route, outcome="success") == 1
    assert 0 < (after("neon_rate_limit_tokens") or 0) <= 40
    assert after("reconcile_total", outcome="internal_error") == 0
    _same_catalog(plane, after)
    _well_formed(plane, app, project)


def _same_catalog(plane: Plane, daemon: Scrape) -> None:
    """The API shows the catalog's figures too, and not the loop's; it counts its own answers."""
    api = plane.scrape(plane.serving)
    assert api.of("apps", "status") == daemon.of("apps", "status")
    assert api.of("apps", "status")["deleted"] == 1
    assert api("time_to_ready_seconds_count") is None
    assert daemon("http_requests_total", method="POST", route="/ee/apps", status="2xx") is None
    assert api("http_requests_total", method="POST", route="/ee/apps", status="2xx") == 1
    assert api("http_requests_total", method="DELETE", route="/ee/apps/{app_id}", status="2xx") == 1


def _well_formed(plane: Plane, app: Document, project: Document) -> None:
    """Each record says when, how grave and by whom; each change and turn in which pass, and where at Neon."""
    for one in plane.records():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", one["time"])
        assert one["severity"] == one["level"].upper()
        assert one["severity"] == "INFO", one
        assert one["logger"]
        assert one["message"]
        if "effect" in one:
            assert re.fullmatch(r"[0-9a-f]{32}", one["neon_request_id"])
            assert one["duration_seconds"] > 0
        if "effect" in one or "was" in one:
            assert re.fullmatch(r"[0-9a-f]{16}", one["reconcile_id"])
            assert one["project_id"] == project["id"]
    passes = [one["reconcile_id"] for one in plane.records() if "effect" in one]
    assert len(set(passes)) == len(passes), "one change for each pass"
    _tells_no_credential(plane.stage, plane.api, app)


def _tells_no_credential(stage: Stage, api: Api, app: Document) -> None:
    """No process has, on either output: the app's password and role, the caller's token, or any key."""
    login = re.fullmatch(r"postgresql://([^:]+):([^@]+)@.*", for_psql(app["morphik_uri"]))
    assert login is not None
    settings = stage.environment
    token = str(api.http.headers["Authorization"]).removeprefix("Bearer ")
    secrets = {login[2], token, *(settings[name] for name in ("NEON_API_KEY", "ENCRYPTION_KEYS", "JWT_SECRET_KEY"))}
    password = re.search(r"://[^:]+:([^@]+)@", settings["DATABASE_URL"])
    assert password is not None
    for process in stage.running:
        said = process.err + ("" if "token" in process.name else process.out)
        for secret in {*secrets, password[1], "://" + login[1]}:
            assert secret not in said, f"{process.name} told a credential"


def test_the_door_of_a_daemon(plane: Plane) -> None:
    """It answers probes whatever it is called, and has no other route; without ``--port`` there is none."""
    url = url_of(plane.daemon)
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz", headers={"Host": "anything"}).json() == {"status": "ready"}
        assert client.get("/ee/apps").status_code == 404
        catalog = plane.stage.catalog_url
        rows(catalog, "UPDATE _yoyo_migration SET migration_id = 'no' || migration_id WHERE migration_id LIKE '0001%'")
        assert client.get("/readyz").status_code == 503
        rows(catalog, "UPDATE _yoyo_migration SET migration_id = substr(migration_id, 3) WHERE migration_id LIKE 'no%'")
    assert plane.daemon.stop() == 0
    silent = plane.stage.reconcile(PORT="1")
    silent.said("daemon.started")
    assert "serving" not in silent.err
    assert silent.alive


def test_a_lasting_trouble_does_not_flood(stage: Stage) -> None:
    """Neon is down for many passes of many apps: a warning, seldom another, and one line when it is back."""
    daemon, api = stage.reconcile(), api_of(stage, stage.serve())
    apps = [api.create(f"app {number}") for number in range(5)]
    tried = f"SELECT app_id FROM app_work WHERE attempts < {TRIES}"
    until(lambda: not rows(stage.catalog_url, tried), "each app was tried, again and again")
    stage.local_neon().said("local Neon serves")
    for app in apps:
        api.until(app, "ready")
    told = [json.loads(line) for line in daemon.err.splitlines()]
    troubles = [one["message"] for one in told if "Neon" in one["message"] and one["logger"].endswith("recorder")]
    assert troubles[0] == "Neon is unavailable: not_sent"
    assert troubles[-1] == "Neon is available."
    assert len(troubles) < TRIES
    # The watch reports at ERROR that no resync has ended for three periods, which are two seconds here.
    others = [one for one in told if not one["logger"].endswith("periods")]
    assert {one["severity"] for one in others} == {"INFO", "WARNING"}


def test_not_even_the_most_talkative_level_tells_a_credential(stage: Stage) -> None:
    """A life with every record that anybody makes, libraries included."""
    stage.environment["LOG_LEVEL"] = "debug"
    stage.local_neon().said("local Neon serves")
    api, daemon = api_of(stage, stage.serve()), stage.reconcile()
    app = document(api.post("talkative", WAIT))
    assert api.delete(app, WAIT).status_code == 200
    assert '"level": "debug"' in daemon.err
    _tells_no_credential(stage, api, app)


def test_both_in_one_process_are_one_document(stage: Stage) -> None:
    """``serve --reconcile`` shows the API's figures, the daemon's and the catalog's."""
    both = stage.start("serve", "--port", "0", "--reconcile")
    scrape = Scrape(httpx.get(f"{url_of(both)}/metrics", timeout=30, trust_env=False).text)
    names = {name if family.type != "counter" else f"{name}_total" for name, family in scrape.families.items()}
    assert names == set(metric_descriptions())
    assert scrape("catalog_up") == 1
