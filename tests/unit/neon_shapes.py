"""What Neon's published specification requires of the answers that local Neon gives."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PROJECT_ITEM = [
    "active_time",
    "id",
    "platform_id",
    "region_id",
    "name",
    "pg_version",
    "proxy_host",
    "branch_logical_size_limit",
    "branch_logical_size_limit_bytes",
    "provisioner",
    "store_passwords",
    "cpu_used_sec",
    "creation_source",
    "created_at",
    "updated_at",
    "owner_id",
]
PROJECT = [name for name in PROJECT_ITEM if name != "active_time"] + [
    "consumption_period_end",
    "consumption_period_start",
    "active_time_seconds",
    "compute_time_seconds",
    "written_data_bytes",
    "data_transfer_bytes",
    "data_storage_bytes_hour",
    "history_retention_seconds",
]
BRANCH = [
    "id",
    "project_id",
    "name",
    "current_state",
    "state_changed_at",
    "creation_source",
    "created_at",
    "updated_at",
    "default",
    "protected",
    "cpu_used_sec",
    "active_time_seconds",
    "compute_time_seconds",
    "written_data_bytes",
    "data_transfer_bytes",
]
ENDPOINT = [
    "host",
    "id",
    "project_id",
    "branch_id",
    "region_id",
    "autoscaling_limit_max_cu",
    "autoscaling_limit_min_cu",
    "type",
    "current_state",
    "pooler_enabled",
    "pooler_mode",
    "disabled",
    "passwordless_access",
    "creation_source",
    "created_at",
    "updated_at",
    "settings",
    "proxy_host",
    "suspend_timeout_seconds",
    "provisioner",
]
ROLE = ["branch_id", "name", "created_at", "updated_at"]
DATABASE = ["id", "branch_id", "name", "owner_name", "created_at", "updated_at"]
OPERATION = ["id", "project_id", "action", "status", "failures_count", "created_at", "updated_at", "total_duration_ms"]
ANNOTATION = ["object", "value", "created_at", "updated_at"]
API_KEY = ["id", "name", "created_at", "created_by", "last_used_from_addr"]
ORGANIZATION = ["id", "name", "handle", "plan", "created_at", "updated_at", "managed_by"]
SNAPSHOT = ["id", "name", "created_at"]
ERROR = ["request_id", "code", "message"]

_ONE = {
    "branch": BRANCH,
    "endpoint": ENDPOINT,
    "role": ROLE,
    "database": DATABASE,
    "operation": OPERATION,
    "annotation": ANNOTATION,
    "snapshot": SNAPSHOT,
}
_MANY = {
    "branches": BRANCH,
    "endpoints": ENDPOINT,
    "roles": ROLE,
    "databases": DATABASE,
    "operations": OPERATION,
    "organizations": ORGANIZATION,
    "regions": ["region_id", "name", "default", "geo_lat", "geo_long"],
    "snapshots": SNAPSHOT,
}


def check(status: int, body: object) -> None:
    """Fail when an answer lacks a field that Neon's specification requires."""
    if body is None:
        assert status == 204
        return
    if isinstance(body, list):
        for item in body:
            _has(item, API_KEY)
        return
    assert isinstance(body, dict)
    if status >= 400:
        assert sorted(body) == sorted(ERROR)
        return
    if "project" in body:
        _has(body["project"], PROJECT)
    for item in body.get("projects", []):
        _has(item, PROJECT_ITEM)
    for name, fields in _ONE.items():
        if name in body:
            _has(body[name], fields)
    for name, fields in _MANY.items():
        for item in body.get(name, []):
            _has(item, fields)
    for details in body.get("connection_uris", []):
        _has(details, ["connection_uri", "connection_parameters"])
        _has(details["connection_parameters"], ["database", "password", "role", "host", "pooler_host"])


def _has(document: Json, fields: list[str]) -> None:
    # What projects and branches consumed is listed under the names of the things themselves.
    fields = ["project_id", "periods"] if "periods" in document else fields
    missing = [field for field in fields if field not in document]
    assert not missing, missing
