"""Projects of local Neon: lists, plans, limits, deletion and recovery."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.local.options import Organization, SeedKey
from tests.unit.local_neon_client import Client, Json


def _names(client: Client, **query: Any) -> list[str]:
    return [each["name"] for each in client.call("GET", "/projects", **query)["projects"]]


def _path(made: Json) -> str:
    return f"/projects/{made['project']['id']}"


def test_a_list_shows_ten_and_has_a_cursor_on_its_last_page() -> None:
    client = Client()
    made = sorted(client.create()["project"]["id"] for _ in range(11))
    first = client.call("GET", "/projects")
    assert [each["id"] for each in first["projects"]] == made[:10]
    last = client.call("GET", "/projects", cursor=first["pagination"]["cursor"])
    assert [each["id"] for each in last["projects"]] == made[10:]
    after = client.call("GET", "/projects", cursor=last["pagination"]["cursor"])
    assert after["projects"] == []
    assert after["pagination"]["cursor"] == made[-1]
    assert len(client.call("GET", "/projects", limit="400")["projects"]) == 11


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "401"}, {"limit": "²"}, {"timeout": "99"}, {"timeout": "30001"}]
)
def test_a_list_is_not_asked_for_out_of_its_ranges(query: Json) -> None:
    Client().call("GET", "/projects", status=400, **query)


def test_search_is_for_parts_of_names_and_ids_and_its_case_counts() -> None:
    client = Client()
    shop, _ = client.create(name="shop-1"), client.create(name="shop-10")
    assert _names(client, search="shop-1") in (["shop-1", "shop-10"], ["shop-10", "shop-1"])
    assert _names(client, search=shop["project"]["id"][3:-2]) == ["shop-1"]
    assert _names(client, search="SHOP") == []


def test_names_are_not_unique() -> None:
    client = Client()
    first, second = client.create(name="same"), client.create(name="same")
    assert first["project"]["id"] != second["project"]["id"]


def test_a_list_that_lags_does_not_show_what_is_new_and_shows_what_is_gone() -> None:
    client = Client(list_lag_seconds=60)
    path = _path(client.create(name="one"))
    client.call("GET", path)
    assert _names(client) == []
    client.wait(60)
    assert _names(client) == ["one"]
    client.call("DELETE", path)
    client.call("GET", path, status=404)
    (stale,) = client.call("GET", "/projects")["projects"]
    assert "deleted_at" not in stale
    assert _names(client, recoverable="true") == []
    client.wait(60)
    assert (_names(client), _names(client, recoverable="true")) == ([], ["one"])
    client.call("POST", f"{path}/recover")
    assert (_names(client), _names(client, recoverable="true")) == ([], ["one"])
    client.wait(60)
    assert (_names(client), _names(client, recoverable="true")) == (["one"], [])


def test_without_a_lag_a_list_shows_what_is() -> None:
    client = Client()
    path = _path(client.create(name="one"))
    assert _names(client) == ["one"]
    client.call("DELETE", path)
    assert _names(client) == []


def test_a_deleted_project_counts_until_it_is_gone() -> None:
    client = Client(project_limit=1)
    path = _path(client.create())
    client.call("DELETE", path)
    refused = client.call("POST", "/projects", {"project": {}}, status=422)
    assert (refused["code"], refused["message"]) == ("PROJECTS_LIMIT_EXCEEDED", "projects limit exceeded")
    client.wait(7 * 86400 + 1)
    client.call("GET", "/projects")
    client.wait()
    client.call("POST", "/projects", {"project": {}}, status=201)


def test_the_limit_of_projects_is_of_each_organization() -> None:
    keys = (SeedKey("a", "organization"), SeedKey("b", "organization", "org-b"))
    client = Client(project_limit=1, organizations=(Organization("org-b"),), keys=keys)
    client.call("POST", "/projects", {"project": {}}, key="a", status=201)
    client.call("POST", "/projects", {"project": {}}, key="b", status=201)
    client.call("POST", "/projects", {"project": {}}, key="a", status=422)


def test_a_deleted_project_answers_404_to_everything_but_recovery() -> None:
    client = Client()
    path = _path(client.create(name="gone"))
    deleted = client.call("DELETE", path)
    assert "operations" not in deleted
    assert "deleted_at" not in deleted["project"]
    client.wait()
    for method, tail in (("DELETE", ""), ("GET", ""), ("PATCH", ""), ("GET", "/operations"), ("POST", "/branches")):
        client.call(method, path + tail, {"project": {}}, status=404)
    client.call("POST", f"{path}/recover")
    client.wait()
    client.call("POST", f"{path}/recover", status=422)
    client.call("GET", path)


def test_recovery_waits_for_the_deletion_and_ends_after_a_week() -> None:
    client = Client(operation_seconds=(1.0, 1.0))
    path = _path(client.create())
    client.call("DELETE", path)
    client.call("POST", f"{path}/recover", status=423)
    client.wait(7 * 86400 - 1)
    client.call("POST", f"{path}/recover")
    client.wait()
    client.call("DELETE", path)
    client.wait(7 * 86400)
    client.call("POST", f"{path}/recover", status=404)


def test_what_settings_do_not_name_stays_and_what_they_name_is_replaced() -> None:
    client = Client()
    settings = {"quota": {"active_time_seconds": 5, "written_data_bytes": 6}, "allowed_ips": {"ips": ["10.0.0.1"]}}
    path = _path(client.create(settings=settings))
    changes: Json = {"settings": {"quota": {"written_data_bytes": 7}}, "history_retention_seconds": 3600}
    client.call("PATCH", path, {"project": changes})
    client.wait()
    project = client.call("GET", path)["project"]
    assert project["settings"]["quota"] == {"written_data_bytes": 7}
    assert project["settings"]["allowed_ips"] == {"ips": ["10.0.0.1"]}
    assert project["history_retention_seconds"] == 3600
    client.call("PATCH", path, {"project": {"default_endpoint_settings": {"suspend_timeout_seconds": 60}}})
    project = client.call("GET", path)["project"]
    assert project["default_endpoint_settings"]["suspend_timeout_seconds"] == 60
    assert project["default_endpoint_settings"]["autoscaling_limit_min_cu"] == 1.0


@pytest.mark.parametrize("field", ["region_id", "pg_version", "store_passwords", "org_id", "branch", "provisioner"])
def test_what_cannot_change_is_not_taken(field: str) -> None:
    client = Client()
    path = _path(client.create())
    client.call("PATCH", path, {"project": {field: None}}, status=400)


def test_new_defaults_leave_the_computes_that_are_there() -> None:
    client = Client()
    path = _path(client.create())
    client.call("PATCH", path, {"project": {"default_endpoint_settings": {"autoscaling_limit_max_cu": 2}}})
    (endpoint,) = client.call("GET", f"{path}/endpoints")["endpoints"]
    assert endpoint["autoscaling_limit_max_cu"] == 1.0


def test_logical_replication_suspends_and_stays() -> None:
    client = Client()
    path = _path(client.create())
    on, off = ({"project": {"settings": {"enable_logical_replication": value}}} for value in (True, False))
    operations = client.call("PATCH", path, on)["operations"]
    assert [each["action"] for each in operations] == ["suspend_compute"]
    client.wait()
    assert client.call("GET", f"{path}/endpoints")["endpoints"][0]["current_state"] == "idle"
    client.call("PATCH", path, off, status=422)
    client.call("PATCH", path, on)


@pytest.mark.parametrize(("plan", "most"), [("free", 21_600), ("launch", 604_800), ("scale", 2_592_000)])
def test_a_plan_limits_the_history(plan: str, most: int) -> None:
    client = Client(plan=plan)
    made = client.create()
    assert made["project"]["history_retention_seconds"] == min(most, 86_400)
    client.call("PATCH", _path(made), {"project": {"history_retention_seconds": most + 1}}, status=422)
    client.call("PATCH", _path(made), {"project": {"history_retention_seconds": most}})
    client.call("POST", "/projects", {"project": {"history_retention_seconds": most + 1}}, status=422)


def test_every_field_of_a_create_is_taken() -> None:
    client = Client()
    settings = {
        "quota": dict.fromkeys(
            (
                "active_time_seconds",
                "compute_time_seconds",
                "written_data_bytes",
                "data_transfer_bytes",
                "logical_size_bytes",
            ),
            0,
        ),
        "allowed_ips": {"ips": ["10.0.0.0/8"], "protected_branches_only": True},
        "enable_logical_replication": True,
        "maintenance_window": {"weekdays": [1, 7], "start_time": "01:00", "end_time": "02:00"},
        "block_public_connections": True,
        "block_vpc_connections": True,
        "audit_log_level": "base",
        "hipaa": False,
        "preload_libraries": {"use_defaults": True, "enabled_libraries": ["pg_stat_statements"]},
    }
    fields = {
        "name": "n" * 256,
        "org_id": "org-local-00000000",
        "region_id": "aws-eu-west-2",
        "pg_version": 18,
        "provisioner": "k8s-pod",
        "store_passwords": False,
        "history_retention_seconds": 0,
        "settings": settings,
        "default_endpoint_settings": {
            "pg_settings": {"work_mem": "8MB"},
            "pgbouncer_settings": {"x": "y"},
            "autoscaling_limit_min_cu": 0.25,
            "autoscaling_limit_max_cu": 0.5,
            "suspend_timeout_seconds": 60,
        },
    }
    branch = {"name": "b", "role_name": "r", "database_name": "d", "annotations": {"a": "b"}}
    made = client.create(**fields, branch=branch)
    project = client.call("GET", _path(made))["project"]
    assert {name: project[name] for name in fields} == fields
    assert (made["branch"]["name"], made["roles"][0]["name"], made["databases"][0]["name"]) == ("b", "r", "d")
    deprecated = client.create(autoscaling_limit_min_cu=2, autoscaling_limit_max_cu=3)
    assert deprecated["endpoints"][0]["autoscaling_limit_max_cu"] == 3
    client.call("POST", "/projects", {"project": {"provisioner": "of-tomorrow"}}, status=422)
