"""Consumption history of local Neon."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.local_neon_client import Client, Json

ORG = "org-local-00000000"
# The clients' clocks begin on 2026-09-21 at 14:13:20 UTC.
DAYS: Json = {
    "from": "2026-09-20T15:30:00Z",
    "to": "2026-09-22T01:00:00Z",
    "granularity": "daily",
    "org_id": ORG,
    "metrics": "compute_unit_seconds,public_network_transfer_bytes",
}


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _projects(client: Client, status: int = 200, **changes: Any) -> Json:
    return client.call("GET", "/consumption_history/v2/projects", status=status, **(DAYS | changes))


def _branches(client: Client, status: int = 200, **changes: Any) -> Json:
    return client.call("GET", "/consumption_history/v2/branches", status=status, **(DAYS | changes))


def _values(found: Json, name: str) -> list[tuple[str, int]]:
    return [
        (frame["timeframe_start"], metric["value"])
        for period in found["periods"]
        for frame in period["consumption"]
        for metric in frame["metrics"]
        if metric["metric_name"] == name
    ]


def test_days_are_rounded_down_and_told_oldest_first() -> None:
    client = Client()
    project_id = client.create()["project"]["id"]
    client.simulator.consume(project_id, client.now, data_transfer_bytes=77)
    client.wait(600)
    (found,) = _projects(client)["projects"]
    assert found["project_id"] == project_id
    (period,) = found["periods"]
    assert (period["period_start"], period["period_plan"]) == ("2026-09-01T00:00:00Z", "scale")
    assert "period_end" not in period
    assert _values(found, "compute_unit_seconds") == [("2026-09-20T00:00:00Z", 0), ("2026-09-21T00:00:00Z", 300)]
    assert _values(found, "public_network_transfer_bytes")[1][1] == 77


def test_hours_and_months_are_told_too() -> None:
    client = Client(operation_seconds=(0.5, 0.5))
    client.now = _at("2026-09-30T22:59:59")
    project_id = client.create(default_endpoint_settings={"suspend_timeout_seconds": -1})["project"]["id"]
    client.simulator.consume(project_id, client.now, size_bytes=1_000_000)
    client.now = _at("2026-10-01T02:00:00")
    hours: Json = {"from": "2026-09-30T22:10:00Z", "to": "2026-10-01T01:00:00Z", "granularity": "hourly"}
    (found,) = _projects(client, **hours)["projects"]
    assert [value for _, value in _values(found, "compute_unit_seconds")] == [0, 3600, 3600]
    assert [period["period_start"][:7] for period in found["periods"]] == ["2026-09", "2026-10"]
    assert found["periods"][0]["period_end"] == "2026-10-01T00:00:00Z"
    months: Json = {"from": "2026-08-15T00:00:00Z", "to": "2026-10-01T00:00:00Z", "granularity": "monthly"}
    (found,) = _projects(client, **months, metrics="compute_unit_seconds,root_branch_bytes_month")["projects"]
    assert _values(found, "compute_unit_seconds") == [("2026-08-01T00:00:00Z", 0), ("2026-09-01T00:00:00Z", 3600)]
    assert [value > 0 for _, value in _values(found, "root_branch_bytes_month")] == [False, True]


def test_asking_counts_what_is_consumed_and_wakes_nothing() -> None:
    client = Client()
    project_id = client.create()["project"]["id"]
    client.wait(5000)
    first = _projects(client)
    client.wait(5000)
    assert _projects(client) == first
    assert len(client.call("GET", f"/projects/{project_id}/operations")["operations"]) == 2


def test_projects_come_newest_first_by_pages() -> None:
    client = Client()
    made = [client.create()["project"]["id"] for _ in range(3)]
    seen: list[str] = []
    cursor: Json = {}
    while True:
        page = _projects(client, limit="2", **cursor)
        if not page["projects"]:
            break
        seen += [each["project_id"] for each in page["projects"]]
        cursor = {"cursor": page["pagination"]["cursor"]}
    assert seen == made[::-1]
    some = _projects(client, project_ids=f"{made[0]},{made[2]}")["projects"]
    assert [each["project_id"] for each in some] == [made[2], made[0]]


def test_branches_are_told_apart() -> None:
    client = Client()
    project_id = client.create()["project"]["id"]
    body = {"endpoints": [{"type": "read_write"}]}
    child = client.call("POST", f"/projects/{project_id}/branches", body, status=201)["branch"]["id"]
    client.wait(600)
    found = _branches(client, project_ids=project_id)["branches"]
    assert [each["branch_id"] for each in found] == sorted(each["branch_id"] for each in found)
    assert [_values(each, "compute_unit_seconds")[1][1] for each in found] == [300, 300]
    (only,) = _branches(client, project_ids=project_id, branch_ids=child)["branches"]
    assert only["branch_id"] == child
    (first,) = (page := _branches(client, project_ids=project_id, limit="1"))["branches"]
    (second,) = _branches(client, project_ids=project_id, cursor=page["pagination"]["cursor"])["branches"]
    assert [first, second] == found
    (whole,) = _projects(client)["projects"]
    assert _values(whole, "compute_unit_seconds")[1][1] == 600


@pytest.mark.parametrize("missing", ["from", "to", "granularity", "org_id", "metrics"])
def test_what_is_required_is_not_guessed(missing: str) -> None:
    query = {name: value for name, value in DAYS.items() if name != missing}
    Client().call("GET", "/consumption_history/v2/projects", status=400, **query)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"granularity": "yearly"}, 400),
        ({"metrics": "compute_unit_seconds,surprise"}, 400),
        ({"from": "yesterday"}, 400),
        ({"from": "2026-09-20T15:30:00"}, 400),
        ({"limit": "0"}, 400),
        ({"limit": "101"}, 400),
        ({"org_id": "org-other"}, 404),
        ({"project_ids": ",".join(f"p-{n}" for n in range(101))}, 400),
        ({"from": "2026-09-23T00:00:00Z"}, 406),
        ({"from": "2026-07-01T00:00:00Z"}, 406),
        ({"from": "2026-09-10T00:00:00Z", "granularity": "hourly"}, 406),
        ({"from": "2025-01-01T00:00:00Z", "granularity": "monthly"}, 406),
        ({"to": "2026-12-01T00:00:00Z"}, 406),
    ],
)
def test_a_wrong_question_is_refused(changes: Json, status: int) -> None:
    _projects(Client(), status=status, **changes)


def test_a_branch_has_fewer_metrics_and_needs_its_project() -> None:
    client = Client()
    client.create()
    _projects(client, metrics="extra_branches_month,snapshot_storage_bytes_month")
    for name in ("extra_branches_month", "snapshot_storage_bytes_month"):
        _branches(client, 400, project_ids="p-1", metrics=name)
    _branches(client, 400)


@pytest.mark.parametrize(
    ("plan", "projects", "branches"), [("free", 403, 403), ("business", 200, 403), ("launch", 200, 200)]
)
def test_a_plan_has_history_or_not(plan: str, projects: int, branches: int) -> None:
    client = Client(plan=plan)
    _projects(client, projects)
    _branches(client, branches, project_ids="p-1")
