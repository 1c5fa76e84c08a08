"""Neon or the catalog fails: the API goes on saying what is so, no process ends, and all is well again afterwards."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.postgres import own_server
from tests.processes.clients import WAIT, Api, Document, Neon, api_of, connects, document, for_psql, keep, kept, rows
from tests.processes.proxy import Refusal, proxied
from tests.processes.running import Running, Stage, is_alive, settings, staged, until, url_of


@pytest.fixture
def served(stage: Stage) -> Iterator[tuple[Stage, Api]]:
    """A stage with a running API; afterwards everything that was started still runs or was stopped on purpose."""
    yield stage, api_of(stage, stage.serve())
    assert all(one.alive or one.code() == 0 for one in stage.running)


def _ready(api: Api, app: Document) -> None:
    """The app becomes ready with nobody's help."""
    assert connects(for_psql(api.until(app, "ready")["morphik_uri"]))


def test_the_api_needs_neither_neon_nor_a_daemon(stage: Stage) -> None:
    """Nobody listens at Neon's address and no daemon runs: apps are asked for, read, listed and marked for deletion."""
    api = api_of(stage, stage.serve())
    one, other = api.create("one"), api.create("other")
    assert api.get(one)["status"] == "pending"
    assert api.http.delete(f"/ee/apps/{other['app_id']}").status_code == 202
    assert api.get(other)["status"] == "deleting"
    assert api.http.get(f"/ee/apps/{one['app_id']}/events").json()["events"][0]["type"] == "Created"
    assert {each["app_id"] for each in api.http.get("/ee/apps").json()["apps"]} == {one["app_id"], other["app_id"]}
    assert api.http.get("/readyz").status_code == 200


def test_neon_is_down(served: tuple[Stage, Api]) -> None:
    """Nobody listens: POST is 201, the condition says so, and the app is ready once Neon is back."""
    stage, api = served
    daemon = stage.reconcile()
    app = api.create("early")
    assert "retrying" in api.until_reason(app, "NeonUnavailable")
    assert api.get(app)["status"] == "pending"
    assert daemon.alive
    stage.local_neon()
    _ready(api, app)
    assert len(Neon(stage).projects()) == 1


def test_the_key_is_wrong(served: tuple[Stage, Api]) -> None:
    """The condition names the key; the app is ready once Neon knows the key."""
    stage, api = served
    neon = stage.local_neon(NEON_API_KEY="another-key")
    daemon = stage.reconcile()
    app = api.create("locked out")
    assert "API key" in api.until_reason(app, "NeonUnauthorized")
    assert daemon.alive
    assert neon.stop() == 0
    stage.local_neon(NEON_API_KEY=stage.environment["NEON_API_KEY"])
    _ready(api, app)
    assert stage.environment["NEON_API_KEY"] not in daemon.err


def test_the_rate_limit_is_met(served: tuple[Stage, Api]) -> None:
    """429 for every change: the condition says so, ``Retry-After`` is kept to, and nothing is made twice."""
    stage, api = served
    stage.local_neon().said("local Neon serves")
    with proxied(stage.environment["NEON_API_URL"]) as proxy:
        refused: list[float] = []

        def gate(method: str, _path: str) -> Refusal | None:
            if method == "GET":
                return None
            refused.append(time.monotonic())
            return Refusal(429, {"Retry-After": "2"})

        open_gate, proxy.gate = proxy.gate, gate
        stage.reconcile(NEON_API_URL=proxy.url)
        app = api.create("patient")
        assert api.until_reason(app, "NeonRateLimited")
        until(lambda: len(refused) >= 3, "it is tried again")
        assert min(later - earlier for earlier, later in pairwise(refused)) >= 2
        proxy.gate = open_gate
        _ready(api, app)
        assert len(Neon(stage).projects()) == 1
        assert rows(stage.catalog_url, "SELECT count(*) FROM create_intents") == [(1,)]


def test_a_daemon_is_told_to_stop_in_the_middle(served: tuple[Stage, Api]) -> None:
    """SIGTERM with a create in flight: exit code 0, no lease is kept, and the next daemon makes no second project."""
    stage, api = served
    stage.local_neon().said("local Neon serves")
    arrived, go_on = threading.Event(), threading.Event()

    def gate(method: str, _path: str) -> Refusal | None:
        if method == "POST":
            arrived.set()
            go_on.wait(30)
        return None

    with proxied(stage.environment["NEON_API_URL"]) as proxy:
        proxy.gate = gate
        long = {"NEON_TIMEOUT_SECONDS": "25", "LEASE_SECONDS": "60", "SETTLE_SECONDS": "26"}
        daemon = stage.reconcile(NEON_API_URL=proxy.url, **long)
        app = api.create("in flight")
        assert arrived.wait(30)
        assert daemon.stop(signal.SIGTERM) == 0
        held = "SELECT app_id FROM app_work WHERE lease_expires_at IS NOT NULL OR lease_holder IS NOT NULL"
        assert rows(stage.catalog_url, held) == []
        go_on.set()
        stage.reconcile(NEON_API_URL=proxy.url)
        _ready(api, app)
        assert len(Neon(stage).projects()) == 1


def test_the_catalog_goes_and_comes_back() -> None:
    """503 with ``Retry-After`` meanwhile, nothing half-written; afterwards old and new apps are well."""
    with own_server() as server:
        url = server.dsn(server.create_database(server.migrated_template()))
        with staged(settings(url)) as stage:
            stage.local_neon().said("local Neon serves")
            serving, daemon = stage.serve(), stage.reconcile()
            api = api_of(stage, serving)
            old = document(api.post("old", WAIT))
            keep(old, "before")
            under_way = api.create("under way")
            server.stop()

            path = f"/ee/apps/{old['app_id']}"
            with ThreadPoolExecutor() as pool:
                asked = [
                    pool.submit(api.post, "new"),
                    pool.submit(api.http.get, path),
                    pool.submit(api.http.delete, path),
                    pool.submit(api.http.get, "/readyz"),
                ]
            for answer in (future.result() for future in asked):
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) > 0
                assert answer.headers["Content-Type"] == "application/problem+json"
            assert api.http.get("/healthz").status_code == 200
            assert kept(old) == "before"
            server.start()

            _came_back(api)
            new = api.create("new")
            for app in (under_way, new, old):
                _ready(api, app)
            assert len(Neon(stage).projects()) == 3
            assert api.delete(new, WAIT).status_code == 200
            _all_alive(serving, daemon)
            assert url_of(serving) == str(api.http.base_url).rstrip("/")


def _came_back(api: Api) -> None:
    until(lambda: api.http.get("/readyz").status_code == 200, "the catalog answers")


def _all_alive(*processes: Running) -> None:
    assert all(is_alive(one.pid) for one in processes)
