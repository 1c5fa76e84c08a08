"""Desired state in Neon's words: what a project must be given back, and how that is told."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.diff import changed_fields, compute_settings, diff_project, immutable_drift
from specs.neon import ComputeSettings, ComputeSettingsResponse, ProjectSettingsResponse, QuotaResponse
from specs.status import Reason
from tests.unit.test_core_recovering import app, project

APP = app(Reason.AVAILABLE)
LIMITED = app(Reason.AVAILABLE, quota={"active_time_seconds": 7})
SIZE = ComputeSettings(autoscaling_limit_min_cu=0.25, autoscaling_limit_max_cu=2, suspend_timeout_seconds=0)


def _sized(**changes: Any) -> dict[str, Any]:
    """A project's compute as Neon reports it."""
    fields = {"autoscaling_limit_min_cu": 0.25, "autoscaling_limit_max_cu": 2.0, "suspend_timeout_seconds": 300}
    return {"default_endpoint_settings": ComputeSettingsResponse(**fields | changes)}


def _limited(**amounts: int) -> dict[str, Any]:
    return {"settings": ProjectSettingsResponse(quota=QuotaResponse(**amounts))}


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"history_retention_seconds": 21_600},
        _sized(),
        _sized(suspend_timeout_seconds=0),
        _sized(autoscaling_limit_min_cu=None),
        _sized(autoscaling_limit_max_cu=None),
        _sized(suspend_timeout_seconds=None),
        _limited(),
        _limited(active_time_seconds=0),
        {"region_id": "aws-eu-central-1", "pg_version": 16},
    ],
)
def test_what_is_as_asked_for_or_not_reported_or_cannot_be_changed_is_no_drift(seen: dict[str, Any]) -> None:
    assert diff_project(APP, project(APP, **seen)) is None


@pytest.mark.parametrize(
    "seen",
    [
        _sized(autoscaling_limit_min_cu=0.5),
        _sized(autoscaling_limit_max_cu=4.0),
        _sized(suspend_timeout_seconds=301),
        _sized(suspend_timeout_seconds=-1),
        _sized(autoscaling_limit_max_cu=4.0, suspend_timeout_seconds=None),
        _sized(autoscaling_limit_min_cu=0.5, autoscaling_limit_max_cu=None, suspend_timeout_seconds=None),
    ],
)
def test_one_figure_of_the_compute_that_differs_puts_all_of_it_back(seen: dict[str, Any]) -> None:
    update = diff_project(APP, project(APP, **seen))
    assert update is not None
    assert update.model_dump(exclude_none=True) == {"default_endpoint_settings": SIZE.model_dump()}


@pytest.mark.parametrize(
    "seen",
    [
        {},
        _limited(active_time_seconds=8),
        _limited(active_time_seconds=7, written_data_bytes=1),
        _limited(compute_time_seconds=7),
    ],
)
def test_a_quota_that_differs_is_put_back_whole(seen: dict[str, Any]) -> None:
    update = diff_project(LIMITED, project(LIMITED, **seen))
    assert update is not None
    assert update.settings is not None
    quota = update.settings.quota.model_dump()
    assert {name: amount for name, amount in quota.items() if amount} == {"active_time_seconds": 7}
    assert changed_fields(update) == "settings"


def test_a_quota_that_is_as_asked_for_stays() -> None:
    assert diff_project(LIMITED, project(LIMITED, **_limited(active_time_seconds=7))) is None


def test_what_was_put_back_is_told_by_name_in_the_order_of_the_alphabet() -> None:
    seen = _sized(autoscaling_limit_max_cu=4.0) | _limited(active_time_seconds=1)
    renamed = diff_project(APP, project(APP, name="x"))
    everything = diff_project(APP, project(APP, name="x", history_retention_seconds=0, **seen))
    assert renamed is not None
    assert everything is not None
    assert changed_fields(renamed) == "name"
    assert changed_fields(everything) == "default_endpoint_settings, history_retention_seconds, name, settings"


@pytest.mark.parametrize(("wanted", "sent"), [(300, 0), (0, 0), (299, 299), (301, 301), (-1, -1)])
def test_neons_own_time_to_suspend_is_asked_for_as_its_default(wanted: int, sent: int) -> None:
    assert compute_settings(app(Reason.AVAILABLE, suspend_seconds=wanted)).suspend_timeout_seconds == sent


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({}, None),
        ({"region_id": "aws-eu-central-1"}, "the region is aws-eu-central-1, not aws-us-east-1"),
        ({"pg_version": 16}, "the Postgres version is 16, not 17"),
        (
            {"region_id": "azure-eastus2", "pg_version": 16},
            "the region is azure-eastus2, not aws-us-east-1; the Postgres version is 16, not 17",
        ),
    ],
)
def test_what_can_never_be_changed_in_place_is_named(seen: dict[str, Any], said: str | None) -> None:
    assert immutable_drift(APP, project(APP, **seen)) == said
