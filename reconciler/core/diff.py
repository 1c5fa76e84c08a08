"""Desired state as Neon requests: all of it for a create, the part that differs for an update or a repair."""

from __future__ import annotations

from typing import Any

from reconciler.core.context import ControlPlane, CreateIntent
from reconciler.core.ownership import build_annotations
from specs.metadata import AppMetadata
from specs.names import BRANCH_NAME
from specs.neon import (
    ComputeSettings,
    ComputeSettingsResponse,
    DefaultBranchSpec,
    EndpointCreate,
    Project,
    ProjectCreate,
    ProjectSettings,
    ProjectUpdate,
    Quota,
)

# 0 selects Neon's default, which is 300 seconds (Neon API reference, Projects); both count as equal.
NEON_DEFAULT_SUSPEND_SECONDS = 300


def compute_settings(app: AppMetadata) -> ComputeSettings:
    """Return the size and the suspend timeout of an app's compute."""
    return ComputeSettings(
        autoscaling_limit_min_cu=app.spec.min_cu,
        autoscaling_limit_max_cu=app.spec.max_cu,
        suspend_timeout_seconds=_normalize_suspend(app.spec.suspend_seconds),
    )


def project_to_create(
    app: AppMetadata, control_plane: ControlPlane, intent: CreateIntent, org_id: str
) -> ProjectCreate:
    """Return the request that creates a project with all its settings."""
    return ProjectCreate(
        name=app.project_name,
        org_id=org_id,
        region_id=app.spec.region,
        pg_version=app.spec.pg_version,
        store_passwords=True,
        history_retention_seconds=app.spec.history_retention_seconds,
        default_endpoint_settings=compute_settings(app),
        settings=ProjectSettings(quota=Quota(**app.spec.quota)),
        branch=DefaultBranchSpec(
            name=BRANCH_NAME,
            role_name=app.role,
            database_name=app.database,
            annotations=build_annotations(app, control_plane, intent),
        ),
    )


def endpoint_to_create(app: AppMetadata, branch_id: str) -> EndpointCreate:
    """Return the request for the read-write compute of a branch that has none."""
    return EndpointCreate(branch_id=branch_id, **compute_settings(app).model_dump())


def diff_project(app: AppMetadata, project: Project) -> ProjectUpdate | None:
    """Return the update that brings the project to the desired state, or None.

    Only fields that the reconciler sets are compared. A field that Neon does not report counts as equal, except the
    quota: an absent one is unlimited.
    """
    update: dict[str, Any] = {}
    if project.name != app.project_name:
        update["name"] = app.project_name
    if project.history_retention_seconds not in (None, app.spec.history_retention_seconds):
        update["history_retention_seconds"] = app.spec.history_retention_seconds
    if not _compute_matches(app, project.default_endpoint_settings):
        update["default_endpoint_settings"] = compute_settings(app)
    if project.quota != Quota(**app.spec.quota):
        update["settings"] = ProjectSettings(quota=Quota(**app.spec.quota))
    return ProjectUpdate(**update) if update else None


def changed_fields(update: ProjectUpdate) -> str:
    """Return the names of the fields that an update sets."""
    return ", ".join(sorted(field for field in type(update).model_fields if getattr(update, field) is not None))


def immutable_drift(app: AppMetadata, project: Project) -> str | None:
    """Return a description of drift in immutable fields, or None."""
    drift = [
        f"{name} is {actual}, not {wanted}"
        for name, actual, wanted in (
            ("the region", project.region_id, app.spec.region),
            ("the Postgres version", project.pg_version, app.spec.pg_version),
        )
        if actual != wanted
    ]
    return "; ".join(drift) or None


def _compute_matches(app: AppMetadata, observed: ComputeSettingsResponse) -> bool:
    return (
        observed.autoscaling_limit_min_cu in (None, app.spec.min_cu)
        and observed.autoscaling_limit_max_cu in (None, app.spec.max_cu)
        and (
            observed.suspend_timeout_seconds is None
            or _normalize_suspend(observed.suspend_timeout_seconds) == _normalize_suspend(app.spec.suspend_seconds)
        )
    )


def _normalize_suspend(seconds: int) -> int:
    return 0 if seconds == NEON_DEFAULT_SUSPEND_SECONDS else seconds
