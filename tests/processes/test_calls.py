"""What an app costs at Neon's request limit."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.processes.clients import Document, api_of, rows
from tests.processes.proxy import Call, proxied
from tests.processes.running import Stage, until

APPS, AT_ONCE = 12, 3  # few enough at once for a slow machine to keep up with
ORGANIZATION = "org-local-00000000"
# The figures that production starts with, so that no answer counts as lost because a machine is slow.
DEFAULTS = {"NEON_TIMEOUT_SECONDS": None, "LEASE_SECONDS": None, "SETTLE_SECONDS": None, "RESYNC_SECONDS": None}


def _is_of_the_fleet(call: Call) -> bool:
    """The sweep's list, and once for a catalog which organization the key works for."""
    listed = call.path == "/projects" and "search" not in call.query
    return call.method == "GET" and (listed or call.path == "/users/me/organizations")


def test_an_app_costs_four_calls_at_most_and_one_change(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Reads included, sweeps not; and a delete three at most, of which one is a change."""
    neon_url = stage.environment["NEON_API_URL"]
    stage.local_neon().said("local Neon serves")
    with proxied(neon_url) as proxy:
        serving = stage.serve()
        stage.reconcile(**DEFAULTS | {"NEON_API_URL": proxy.url, "NEON_ORG_ID": ORGANIZATION})
        api = api_of(stage, serving)
        first_rounds = "SELECT name FROM periodic_jobs WHERE finished_at IS NULL"
        until(lambda: not rows(stage.catalog_url, first_rounds), "sweep and audit have been")
        assert all(_is_of_the_fleet(call) for call in proxy.calls)
        proxy.calls.clear()

        asked: list[Document] = []
        for first in range(0, APPS, AT_ONCE):
            several = [api.create(f"app {number}") for number in range(first, first + AT_ONCE)]
            asked += [api.until(app, "ready") for app in several]
        creating = [call for call in proxy.calls if not _is_of_the_fleet(call)]
        proxy.calls.clear()
        for app in asked:
            api.delete(app)
        for app in asked:
            api.until(app, "deleted")
        deleting = [call for call in proxy.calls if not _is_of_the_fleet(call)]
        histories = {app["app_id"]: api.events(app) for app in asked}

    owners = {call.answer["project"]["id"]: call.body["project"]["name"] for call in creating if call.method == "POST"}
    created = _per_project(creating, owners)
    deleted = _per_project(deleting, owners)
    with capsys.disabled():
        print(f"\ncalls per app created: {sorted(created.values())}; deleted: {sorted(deleted.values())}")  # noqa: T201
    assert len(created) == len(deleted) == APPS
    assert sum(created.values()) == len(creating), "every call is about one app"
    assert max(created.values()) <= 4
    assert Counter(call.method for call in creating if call.method != "GET") == {"POST": APPS}
    assert max(deleted.values()) <= 3
    assert Counter(call.method for call in deleting if call.method != "GET") == {"DELETE": APPS}
    changes = {call.request_id for call in creating + deleting if call.method != "GET"}
    for history in histories.values():
        named = {event["type"]: event["request_id"] for event in history if event["actor"] == "reconciler"}
        assert named["ProjectCreated"] in changes, "an event names the request to Neon that it tells of"
        assert None not in named.values()
    assert len({one for history in histories.values() for one in _named(history)} & changes) == 2 * APPS


def _named(history: list[Document]) -> set[str]:
    """The requests to Neon that a history names."""
    return {event["request_id"] for event in history if event["actor"] == "reconciler"}


def _per_project(calls: list[Call], owners: dict[str, str]) -> Counter[str]:
    """How many calls were about each project, by path, by answer or by what was searched for."""
    counted: Counter[str] = Counter()
    for call in calls:
        searched = "".join(call.query.get("search", []))
        about = {
            project_id
            for project_id, name in owners.items()
            if f"/{project_id}/" in f"{call.path}/"
            or (call.method == "POST" and call.answer["project"]["id"] == project_id)
            or (searched and searched in f"{project_id} {name}")
        }
        counted.update(about)
    return counted
