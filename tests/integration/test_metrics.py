"""``/metrics`` over a real catalog: the figures are right, there from the start, and cheap; and honest without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from api import metrics
from api.metrics import metric_descriptions
from reconciler.catalog.apps import AppStore
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.database import Database
from reconciler.catalog.statements import load
from reconciler.catalog.stats import read_stats
from reconciler.telemetry.catalog_metrics import CatalogCollector
from reconciler.telemetry.reconcile_metrics import ReconcileMetrics
from specs.status import AppStatus
from tests.catalogs import create, execute, make_ready, opened, with_catalog
from tests.environment import with_options
from tests.integration.api_client import ApiClient, api_context, client_over
from tests.postgres import TestServer, own_server
from tests.scraping import Scrape

NOTHING_YET = dict.fromkeys(map(str, AppStatus), 0.0)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scrape shows what was before it; how long a text lasts has a test of its own."""
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 0.0)


def _scrape(client: ApiClient) -> Scrape:
    answer = client.anonymous("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(answer.text)


def _figures(url: str) -> Scrape:
    """What a process without a past says, with nothing remembered from an earlier scrape."""
    with client_over(api_context(url)) as client:
        return _scrape(client)


def _apps(url: str, *names: str) -> list[str]:
    return [with_catalog(url, partial(create, name=name)).app.app_id for name in names]


async def _delete(catalog: AppStore, app_id: str) -> None:
    await catalog.request_delete("alice", app_id, None)


def _set(url: str, app_id: str, columns: str) -> None:
    execute(url, f"UPDATE app_metadata SET {columns} WHERE app_id = %(app_id)s", {"app_id": app_id})


def test_every_series_is_there_before_anything_happens(catalog_url: str) -> None:
    """A process with API and daemon, over an empty catalog; afterwards there are the same series and no others."""
    context = api_context(catalog_url)
    ReconcileMetrics(context.registry)
    with client_over(context) as client:
        first = _scrape(client)
        client.post("/ee/apps", json={"app_name": "notes"})
        client.get("/ee/apps/no-such-id")
        client.request("BREW", "/ee/apps")
        client.get("/nowhere")
        later = _scrape(client)
    assert first.series == later.series
    assert set(metric_descriptions()) == {
        name if family.type != "counter" else f"{name}_total" for name, family in first.families.items()
    }
    assert first.of("apps", "status") == NOTHING_YET
    assert first.of("queue_depth", "lane") == {"user": 0, "background": 0}
    assert first("http_requests_total", method="POST", route="/ee/apps", status="2xx") == 0
    assert first("neon_requests_total", method="POST", route="/projects", outcome="unknown") == 0
    assert first("time_to_ready_seconds_count") == 0
    assert first("neon_rate_limit_tokens") == 25


def test_no_label_tells_of_a_tenant(catalog_url: str) -> None:
    """Whatever is asked for by whomever, under whatever name."""
    app_id = _apps(catalog_url, "secret-name")[0]
    with client_over(api_context(catalog_url)) as client:
        client.get(f"/ee/apps/{app_id}")
        client.request("GET", f"/ee/apps/{app_id}/secret-name")
        client.request("SECRET-NAME", f"/ee/apps/{app_id}")
        text = client.anonymous("GET", "/metrics").text
    for secret in (app_id, "secret-name", "alice", "SECRET-NAME"):
        assert secret not in text


def test_requests_are_counted_by_route_method_and_status(catalog_url: str) -> None:
    """Templates for paths; what no route has is 'other'; a held answer is counted and not timed."""
    with client_over(api_context(catalog_url, allowed_hosts=("api.test",))) as client:
        for name in ("one", "two"):
            assert client.post("/ee/apps", json={"app_name": name}).status_code == 201
        assert client.post("/ee/apps", json={}).status_code == 422
        app_id = client.get("/ee/apps").json()["apps"][0]["app_id"]
        assert client.get(f"/ee/apps/{app_id}").status_code == 200
        assert client.get(f"/ee/apps/{app_id}", headers={"Prefer": "wait=0"}).status_code == 200
        assert client.head(f"/ee/apps/{app_id}").status_code == 200
        assert client.request("PATCH", "/healthz").status_code == 405
        assert client.get("/nowhere").status_code == 404
        assert client.get("/ee/apps", headers={"Host": "elsewhere"}).status_code == 400
        assert client.anonymous("GET", "/metrics", headers={"Host": "10.0.0.7"}).status_code == 200
        seen = _scrape(client)
    for (method, route, status), number in {
        ("POST", "/ee/apps", "2xx"): 2,
        ("POST", "/ee/apps", "4xx"): 1,
        ("GET", "/ee/apps", "2xx"): 1,
        ("GET", "/ee/apps/{app_id}", "2xx"): 2,
        ("HEAD", "/ee/apps/{app_id}", "2xx"): 1,
        ("other", "/healthz", "4xx"): 1,
        ("other", "other", "4xx"): 2,
        ("GET", "/metrics", "2xx"): 1,
    }.items():
        assert seen("http_requests_total", method=method, route=route, status=status) == number
    assert seen("http_request_duration_seconds_count", method="GET", route="/ee/apps/{app_id}") == 1
    assert seen("http_request_duration_seconds_count", method="POST", route="/ee/apps") == 3


def test_apps_by_status_and_how_old_the_oldest_is(catalog_url: str) -> None:
    """In the status that their owners see, and for as long as they have not been as they were asked for."""
    names = ("fresh", "old", "ready", "doomed", "changed", "degraded", "lost", "gone")
    _fresh, old, ready, doomed, changed, degraded, lost, gone = _apps(catalog_url, *names)
    for app_id in (ready, doomed, changed, degraded, lost, gone):
        make_ready(catalog_url, app_id)
    _set(catalog_url, old, "status = 'provisioning', created_at = now() - interval '1 hour'")
    since = "now() - interval '10 minutes'"
    conditions = f"""jsonb_build_array(
        jsonb_build_object('type', 'Ready', 'status', 'False', 'last_transition_time', {since}),
        jsonb_build_object('type', 'Synced', 'status', 'True', 'last_transition_time', now() - interval '1 day'))"""
    _set(catalog_url, degraded, f"status = 'degraded', conditions = {conditions}")
    _set(catalog_url, lost, "status = 'lost', conditions = '[]', updated_at = now() - interval '20 minutes'")
    _set(catalog_url, changed, "generation = generation + 1")
    for app_id in (doomed, gone):
        with_catalog(catalog_url, partial(_delete, app_id=app_id))
    _set(catalog_url, doomed, "delete_requested_at = now() - interval '2 hours'")
    _set(catalog_url, gone, "status = 'deleted', deleted_at = now(), tombstone_until = now() + interval '8 days'")

    seen = _figures(catalog_url)
    assert seen.of("apps", "status") == NOTHING_YET | {
        "pending": 1,
        "provisioning": 1,
        "ready": 1,
        "updating": 1,
        "degraded": 1,
        "deleting": 1,
        "deleted": 1,
        "lost": 1,
    }
    ages = seen.of("oldest_unconverged_seconds", "status")
    assert set(ages) == {*AppStatus} - {AppStatus.READY, AppStatus.DELETED}
    minutes = {status: age // 60 for status, age in ages.items()}
    assert minutes["provisioning"] == 60
    assert minutes["degraded"] == 10
    assert minutes["lost"] == 20
    assert minutes["deleting"] == 120
    assert ages["pending"] > 0
    assert ages["failed"] == 0


def test_work_leases_stop_and_orphans(catalog_url: str) -> None:
    """What is due by lane, what is held, and what the whole plane suffers from."""
    due, late, background, held, _settled = _apps(catalog_url, "due", "late", "background", "held", "settled")
    execute(catalog_url, "UPDATE app_work SET due_at = 'infinity'")
    for app_id, columns in {
        due: "due_at = now()",
        late: "due_at = now() - interval '5 minutes'",
        background: "lane = 1, due_at = now() - interval '1 hour'",
        held: "due_at = now() + interval '1 hour', lease_expires_at = now() + interval '1 hour', lease_holder = 'd'",
    }.items():
        execute(catalog_url, f"UPDATE app_work SET {columns} WHERE app_id = '{app_id}'")
    execute(catalog_url, "INSERT INTO orphan_projects VALUES ('p-1', 'name', ''), ('p-2', 'name', '')")
    before = _figures(catalog_url)
    execute(catalog_url, "UPDATE catalog_identity SET mutation_stopped_at = now(), mutation_stop_reason = 'why'")
    stopped = _figures(catalog_url)
    execute(catalog_url, "UPDATE catalog_identity SET stop_overridden_until = now() + interval '1 hour'")
    overridden = _figures(catalog_url)
    execute(catalog_url, "UPDATE catalog_identity SET quarantined_at = now(), quarantine_reason = 'why'")
    doubted = _figures(catalog_url)

    assert before.of("queue_depth", "lane") == {"user": 2, "background": 1}
    ages = {lane: age // 60 for lane, age in before.of("queue_oldest_seconds", "lane").items()}
    assert ages == {"user": 5, "background": 60}
    assert before("leases_held") == 1
    assert before("orphan_projects") == 2
    assert [seen("mutations_suspended") for seen in (before, stopped, overridden, doubted)] == [0, 1, 0, 1]
    assert [seen("catalog_quarantined") for seen in (before, stopped, overridden, doubted)] == [0, 0, 0, 1]


def test_rounds_say_when_the_whole_fleet_was_seen(catalog_url: str) -> None:
    """A run that broke off is none; a sweep begins anew, the audit goes on until it has been everywhere."""

    async def run(name: str, position: str, *, whole: bool, begun: str) -> None:
        async with opened(catalog_url) as database:
            fleet = ControlPlaneStore(database, owner="d", lease_seconds=60)
            job = await fleet.claim_job(name, 0)
            assert job is not None
            # What the claim has just begun was begun so long ago.
            execute(
                catalog_url,
                f"""UPDATE periodic_jobs SET
                        started_at = now() - interval '{begun}',
                        cycle_started_at = CASE
                            WHEN cycle_started_at = started_at THEN now() - interval '{begun}' ELSE cycle_started_at
                        END
                    WHERE name = '{name}'""",
            )
            await fleet.finish_job(job, position, complete=whole)

    execute(catalog_url, "UPDATE catalog_identity SET created_at = now() - interval '1 day'")
    asyncio.run(run("resync", "", whole=False, begun="1 hour"))
    broke_off = _figures(catalog_url)
    asyncio.run(run("resync", "", whole=True, begun="1 minute"))
    for position, begun in (("b", "2 hours"), ("c", "1 hour")):
        asyncio.run(run("deep_resync", position, whole=False, begun=begun))
    halfway = _figures(catalog_url)
    asyncio.run(run("deep_resync", "a", whole=True, begun="1 minute"))
    through = _figures(catalog_url)

    day = 24 * 3600
    assert {name: age // day for name, age in broke_off.of("job_age_seconds", "job").items()} == {
        "resync": 1,
        "deep_resync": 1,
    }
    assert broke_off.of("job_duration_seconds", "job") == {"resync": 0, "deep_resync": 0}
    assert halfway("job_age_seconds", job="resync") < 60  # type: ignore[operator]  # it is there, or this fails
    assert (halfway("job_duration_seconds", job="resync") or 0) // 60 == 1
    assert (halfway("job_age_seconds", job="deep_resync") or 0) // day == 1
    assert (through("job_age_seconds", job="deep_resync") or day) < 60
    assert (through("job_duration_seconds", job="deep_resync") or 0) // 60 == 120


@pytest.fixture
def lonely() -> Iterator[tuple[TestServer, str]]:
    """A server that may be stopped, and a catalog in it."""
    with own_server() as server:
        yield server, server.dsn(server.create_database(server.migrated_template()))


def test_a_scrape_without_the_catalog(lonely: tuple[TestServer, str]) -> None:
    """Answered all the same, with a word on it and without what only the catalog knows; and back again."""
    server, url = lonely
    with client_over(api_context(url)) as client:
        client.get("/ee/apps")
        server.stop()
        away = _scrape(client)
        server.start()
        back = _scrape(client)
    assert away("catalog_up") == 0
    assert {name for name in away.families if "http" not in name} == {"morphik_apps_catalog_up"}
    assert away("http_requests_total", method="GET", route="/ee/apps", status="2xx") == 1
    assert back("catalog_up") == 1
    assert back.of("apps", "status") == NOTHING_YET


def test_a_scrape_does_not_wait_for_a_catalog_that_hangs(catalog_url: str) -> None:
    """The table is locked, so a question stays without an answer; only one is asked, and it ends with the lock."""

    async def scrape() -> tuple[list[float], int, float]:
        registry = CollectorRegistry()
        async with opened(catalog_url) as database:
            health = CatalogCollector(registry, database, wait_timeout_seconds=0.2)
            with psycopg.connect(catalog_url) as connection:
                connection.execute("LOCK TABLE app_metadata")
                seen = []
                async with asyncio.timeout(30):
                    for _ in range(3):
                        await health.refresh()
                        seen.append(registry.get_sample_value("morphik_apps_catalog_up") or 0.0)
                asked = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%stats.apps%' AND pid <> pg_backend_pid()"
                    " AND datname = current_database()"
                ).fetchone()
            for _ in range(50):
                await health.refresh()
                if registry.get_sample_value("morphik_apps_catalog_up"):
                    break
            after = registry.get_sample_value("morphik_apps_catalog_up") or 0.0
            await health.close()
        assert asked is not None
        return seen, asked[0], after

    assert asyncio.run(scrape()) == ([0, 0, 0], 1, 1)


def test_the_catalog_is_asked_every_few_seconds_at_most(catalog_url: str) -> None:
    """However many scrape, and with the same figures for all of them meanwhile."""

    async def scrape() -> list[float | None]:
        registry, now = CollectorRegistry(), [100.0]
        async with opened(catalog_url) as database:
            health = CatalogCollector(registry, database, clock=lambda: now[0])

            async def pending() -> float | None:
                await asyncio.gather(*(health.refresh() for _ in range(5)))
                return registry.get_sample_value("morphik_apps_apps", {"status": "pending"})

            seen = [await pending()]
            await asyncio.to_thread(_apps, catalog_url, "notes")
            seen.append(await pending())
            now[0] += 6
            seen.append(await pending())
            await health.close()
        return seen

    assert asyncio.run(scrape()) == [0, 0, 1]


@pytest.mark.parametrize("role", ["morphik_apps_api", "morphik_apps_reconciler"])
def test_each_role_may_read_the_figures(catalog_url: str, role: str) -> None:
    """Whichever process is scraped, with the least that it may do."""

    async def read() -> None:
        database = Database(with_options(catalog_url, f"-c role={role}"))
        await database.open()
        try:
            assert (await read_stats(database)).stopped is False
        finally:
            await database.close()

    asyncio.run(read())


MANY = """
WITH made AS (
    INSERT INTO app_metadata (app_id, owner_id, app_name, spec, status, observed_generation, connected_at)
    SELECT translate(substr(md5(n::text), 1, 24), '0189', 'ghij'), 'owner-' || n % 500, 'app ' || n,
           '{"region": "r", "pg_version": 17, "quota": {}}', 'ready', 1, now()
    FROM generate_series(1, 20000) AS n
    RETURNING app_id
)
INSERT INTO app_work (app_id, due_at, priority_at) SELECT app_id, 'infinity', 'infinity' FROM made
"""


def test_the_figures_cost_what_is_not_settled(catalog_url: str) -> None:
    """With 20,000 settled apps, no statement reads the apps or the work from end to end."""
    execute(catalog_url, MANY)
    _apps(catalog_url, "one", "two")
    execute(catalog_url, "VACUUM ANALYZE app_metadata, app_work")
    for name, statement in load("stats").items():
        [row] = execute(catalog_url, f"EXPLAIN (FORMAT JSON) {statement}")
        scans = {(node["Node Type"], node.get("Relation Name")) for node in _nodes(row["QUERY PLAN"])}
        whole = {scan for scan in scans if scan[0] == "Seq Scan"} & {
            ("Seq Scan", "app_metadata"),
            ("Seq Scan", "app_work"),
        }
        assert whole == set(), f"{name}: {json.dumps(row['QUERY PLAN'])}"


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    match plan:
        case list():
            for each in plan:
                yield from _nodes(each)
        case {"Plan": inner}:
            yield from _nodes(inner)
        case dict():
            yield plan
            yield from _nodes(plan.get("Plans", []))
