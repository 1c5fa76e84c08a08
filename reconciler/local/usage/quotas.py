"""Quotas: which are set, and when one is used up.

Over a quota all computes are suspended and nothing starts them, until the quota is raised or lifted, or the period
ends (Neon OpenAPI document, ProjectQuota). ``logical_size_bytes`` counts each branch's size and suspends nothing.
"""

from __future__ import annotations

from typing import cast

from reconciler.local.state.computes import active_until
from reconciler.local.state.models import Json, Project

QUOTA_LABELS = {
    "active_time_seconds": "active time",
    "compute_time_seconds": "compute time",
    "written_data_bytes": "written data",
    "data_transfer_bytes": "data transfer",
}
# Seconds and bytes: less than this is nothing, and more than the times of a float can blur.
_TOLERANCE = 1e-3


def quota_of(project: Project) -> dict[str, int]:
    """Return the limits that are set; 0 and absent are no limit."""
    quota = cast("Json", project.settings.get("quota") or {})
    return {name: value for name in QUOTA_LABELS if isinstance(value := quota.get(name), int) and value > 0}


def exceeded(project: Project) -> str | None:
    """Name a quota that is used up, by what has been metered."""
    for name, limit in quota_of(project).items():
        if getattr(project.usage, name) >= limit - _TOLERANCE:
            return name
    return None


def next_exceeded(project: Project) -> tuple[str, float] | None:
    """Say which quota will be used up first, and when, if nobody does anything."""
    since = project.usage.metered_at or project.created_at
    used_up = exceeded(project)
    if used_up is not None:
        return used_up, since
    times = []
    for name, limit in quota_of(project).items():
        if name in {"active_time_seconds", "compute_time_seconds"}:
            by_size = name == "compute_time_seconds"
            moment = _exceeded_at(project, since, limit - getattr(project.usage, name), by_size=by_size)
            if moment is not None:
                times.append((moment, name))
    if not times:
        return None
    moment, name = min(times)
    return name, moment


def _exceeded_at(project: Project, since: float, left: float, *, by_size: bool) -> float | None:
    """Say when the active computes together have used what is left."""
    running = sorted(
        (end, endpoint.min_cu if by_size else 1.0)
        for endpoint in project.endpoints.values()
        if (end := active_until(endpoint)) is not None and end > since
    )
    rate = sum(each for _, each in running)
    for end, own in running:
        if since + left / rate <= end:
            return since + left / rate
        left -= rate * (end - since)
        since, rate = end, rate - own
    return None
