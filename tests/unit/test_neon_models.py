"""What is sent to Neon is refused here when it is wrong; what Neon says is read whatever it adds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from specs import neon

BRANCH = {"name": "main", "role_name": "app_1f_1", "database_name": "app"}
CREATE: dict[str, Any] = {"name": "shop-x", "region_id": "aws-us-east-2", "pg_version": 17, "branch": BRANCH}
PROJECT: dict[str, Any] = {
    "id": "gentle-river-1",
    "name": "shop-x",
    "region_id": "aws-us-east-2",
    "pg_version": 17,
    "created_at": "2025-01-15T10:30:00Z",
}


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (neon.ProjectCreate, {**CREATE, "name": ""}),
        (neon.ProjectCreate, {**CREATE, "name": "x" * 257}),
        (neon.ProjectCreate, {**CREATE, "org_id": "Org/1"}),
        (neon.ProjectCreate, {**CREATE, "region_id": "aws-us-east-2\n"}),
        (neon.ProjectCreate, {**CREATE, "pg_version": 13}),
        (neon.ProjectCreate, {**CREATE, "history_retention_seconds": 2_592_001}),
        (neon.ProjectCreate, {**CREATE, "tags": []}),
        (neon.DefaultBranchSpec, {**BRANCH, "role_name": "r" * 64}),
        (neon.DefaultBranchSpec, {**BRANCH, "annotations": {str(n): "" for n in range(51)}}),
        (neon.ComputeSettings, {"autoscaling_limit_min_cu": 0}),
        (neon.ComputeSettings, {"autoscaling_limit_min_cu": 2, "autoscaling_limit_max_cu": 1}),
        (neon.ComputeSettings, {"autoscaling_limit_max_cu": float("nan")}),
        (neon.ComputeSettings, {"suspend_timeout_seconds": -2}),
        (neon.Quota, {"active_time_seconds": -1}),
        (neon.Quota, {"quota_seconds": 1}),
        (neon.ProjectUpdate, {}),
        (neon.ProjectUpdate, {"name": None}),
        (neon.ProjectUpdate, {"region_id": "aws-us-east-2"}),
        (neon.BranchCreate, {"parent_timestamp": "2025-01-15T10:30:00"}),
        (neon.BranchCreate, {"parent_id": "../x"}),
        (neon.EndpointCreate, {}),
    ],
)
def test_what_is_wrong_is_not_sent(model: type[BaseModel], data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(data)


def test_what_is_sent_does_not_change() -> None:
    with pytest.raises(ValidationError):
        neon.Quota().active_time_seconds = 5  # type: ignore[misc]


def test_an_expiry_is_kept_in_whole_seconds() -> None:
    at = datetime(2025, 6, 9, 18, 2, 16, 999_999, tzinfo=UTC)
    assert neon.BranchCreate(expires_at=at).expires_at == at.replace(microsecond=0)


def test_a_project_is_read_from_its_least_and_from_nulls() -> None:
    optional = set(neon.Project.model_fields) - set(PROJECT)
    least = neon.Project.model_validate(PROJECT)
    assert neon.Project.model_validate({**PROJECT, **dict.fromkeys(optional)}) == least
    assert least.quota == neon.Quota()
    assert least.created_at == datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


def test_what_neon_adds_is_ignored() -> None:
    added = {"slug": "x", "pg_version": 99, "default_endpoint_settings": {"turbo": True}, "settings": {"x": 1}}
    project = neon.Project.model_validate({**PROJECT, **added})
    assert project.pg_version == 99
    assert not hasattr(project, "slug")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({"quota": None}, {}),
        ({"quota": {"active_time_seconds": None}}, {}),
        ({"quota": {"active_time_seconds": -1}}, {}),
        ({"quota": {"active_time_seconds": 7, "new_seconds": 1}}, {"active_time_seconds": 7}),
        ({"quota": {"logical_size_bytes": 2**53}}, {"logical_size_bytes": 2**53}),
    ],
)
def test_an_absent_quota_is_unlimited(settings: object, expected: dict[str, int]) -> None:
    project = neon.Project.model_validate({**PROJECT, "settings": settings})
    assert project.quota == neon.Quota(**expected)


def test_an_instant_without_a_zone_is_utc() -> None:
    project = neon.Project.model_validate({**PROJECT, "created_at": "2025-01-15T10:30:00"})
    elsewhere = neon.Project.model_validate({**PROJECT, "created_at": "2025-01-15T12:30:00+02:00"})
    assert project.created_at == elsewhere.created_at
    assert elsewhere.created_at == datetime(2025, 1, 15, 12, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("status", "settled", "ok"),
    [
        ("scheduling", False, False),
        ("running", False, False),
        ("cancelling", False, False),
        ("failed", False, False),
        ("from-the-future", False, False),
        ("", False, False),
        ("finished", True, True),
        ("skipped", True, True),
        ("error", True, False),
        ("cancelled", True, False),
    ],
)
def test_only_known_ends_settle_an_operation(status: str, settled: bool, ok: bool) -> None:
    operation = neon.Operation.model_validate({"id": "1", "action": "new_action", "status": status})
    assert (operation.is_terminal, operation.succeeded) == (settled, ok)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (neon.Role, {"name": "r", "password": "hidden-1"}),
        (neon.ConnectionDetails, {"connection_uri": "postgresql://u:hidden-1@h/d"}),
        (
            neon.ConnectionDetails,
            {"connection_uri": "hidden-1", "connection_parameters": {"password": "hidden-1"}},
        ),
    ],
)
def test_no_text_of_a_model_holds_a_secret(model: type[BaseModel], data: dict[str, Any]) -> None:
    read = model.model_validate(data)
    assert "hidden-1" not in f"{read!r} {read} {read.model_dump()} {read.model_dump_json()}"


def test_an_error_of_a_model_does_not_quote_what_it_read() -> None:
    with pytest.raises(ValidationError) as raised:
        neon.Role.model_validate({"password": ["hidden-1"]})
    assert "hidden-1" not in str(raised.value)


@pytest.mark.parametrize(
    ("unavailable", "repeated", "complete"),
    [((), (), True), (("gone-1",), (), False), ((), ("twice-1",), False)],
)
def test_a_listing_is_complete_only_without_doubt(
    unavailable: tuple[str, ...], repeated: tuple[str, ...], complete: bool
) -> None:
    listing = neon.ProjectListing(projects=(), unavailable_project_ids=unavailable, repeated_project_ids=repeated)
    assert listing.is_complete is complete
