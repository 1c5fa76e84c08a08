"""``serve``, two ``reconcile`` and ``local-neon`` as four processes over one catalog: two hundred apps at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from specs.names import APP_ID_LENGTH
from tests.processes.clients import Api, Neon, api_of, connected, for_psql, rows
from tests.processes.running import Stage, until

APPS, OWNERS = 200, 4
# Two hundred databases on a small machine make every answer slow; here nothing is lost by waiting for it.
PATIENT = {"NEON_TIMEOUT_SECONDS": "10", "LEASE_SECONDS": "25", "SETTLE_SECONDS": "11", "RESYNC_SECONDS": "5"}
# Local Neon has no limits here, and the test is about other things than the pace.
FAST = {"NEON_REQUESTS_PER_MINUTE": "60000", "NEON_BURST_PER_SECOND": "4000"}


def test_two_hundred_apps_come_and_go(stage: Stage) -> None:
    """All are ready, each with a project, a login and a database of its own; all are deleted, and none is left."""
    stage.environment |= PATIENT | FAST | {"MAX_APPS_PER_OWNER": "1000", "REQUESTS_PER_MINUTE": "100000"}
    stage.local_neon().said("local Neon serves")
    serving, *daemons = stage.serve(), stage.reconcile(), stage.reconcile()
    apis = [api_of(stage, serving, f"owner-{number}") for number in range(OWNERS)]
    neon = Neon(stage)
    for daemon in daemons:
        daemon.said("daemon.started")

    with ThreadPoolExecutor(16) as pool:
        asked = list(pool.map(lambda n: apis[n % OWNERS].create(f"app {n // OWNERS}"), range(APPS)))
        owners = _until_all(stage, apis, "ready")
        assert len(owners) == len(daemons), "both daemons took their share"
        ready = [app for api in apis for app in pool.map(api.get, api.all())]
        places = list(pool.map(_place, [for_psql(app["morphik_uri"]) for app in ready]))
    assert {app["app_id"] for app in ready} == {app["app_id"] for app in asked}
    projects = neon.projects()
    assert len(projects) == APPS
    assert {project["name"][-APP_ID_LENGTH:] for project in projects} == {app["app_id"] for app in asked}
    for column in zip(*places, strict=True):
        assert len(set(column)) == APPS

    with ThreadPoolExecutor(16) as pool:
        answers = [code for api in apis for code in pool.map(lambda app, api=api: api.delete(app), api.all())]
    assert {answer.status_code for answer in answers} == {202}
    _until_all(stage, apis, "deleted")
    assert neon.projects() == []
    assert len(neon.projects(recoverable=True)) == APPS
    for daemon in daemons:
        assert daemon.alive
        assert "Mutations are suspended" not in daemon.err, "no daemon took the other's first steps for another plane's"


def _until_all(stage: Stage, apis: list[Api], status: str) -> set[str]:
    """Wait until all apps have a status; who held a lease meanwhile."""
    holders: set[str] = set()

    def look() -> bool:
        held = "SELECT DISTINCT lease_holder FROM app_work WHERE lease_holder IS NOT NULL"
        holders.update(str(owner) for (owner,) in rows(stage.catalog_url, held))
        return sum(len(api.all(status=status)) for api in apis) == APPS

    until(look, f"all apps are {status}", 240)
    return holders


def _place(url: str) -> tuple[str, str, str]:
    """Login, password and database behind a URI, as the server and the URI say."""
    with connected(url) as connection:
        found = connection.execute("SELECT current_user, current_database()").fetchone()
    assert found is not None
    return found[0], url.partition("@")[0].rpartition(":")[2], found[1]
