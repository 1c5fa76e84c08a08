"""Quotas of projects, and the time at which one is exceeded.

Over a quota all computes are suspended, and none starts until the quota is raised or removed, or the period ends (Neon
OpenAPI document, ProjectQuota). ``logical_size_bytes`` counts each branch's size and suspends nothing.
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
# In seconds or bytes: negligible, and larger than the rounding error of float times.
_TOLERANCE = 1e-3


def quota_of(project: Project) -> dict[str, int]:
    """Return the limits by quota name; 0 and absent are no limit."""
    quota = cast("Json", project.settings.get("quota") or {})
    return {name: value for name in QUOTA_LABELS if isinstance(value := quota.get(name), int) and value > 0}


def exceeded(project: Project) -> str | None:
    """Return the name of an exceeded quota, as of the last metering; None if none is exceeded."""
    for name, limit in quota_of(project).items():
        if getattr(project.usage, name) >= limit - _TOLERANCE:
            return name
    return None


def next_exceeded(project: Project) -> tuple[str, float] | None:
    """Return the quota that is exceeded next without further requests, and the time; None if none is."""
    since = project.usage.metered_at or project.created_at
    exceeded_now = exceeded(project)
    if exceeded_now is not None:
        return exceeded_now, since
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


def _exceeded_at(project: Project, since: float, remaining: float, *, by_size: bool) -> float | None:
    """Return when the active computes together consume the remaining amount; None if they are suspended before."""
    running = sorted(
        (end, endpoint.min_cu if by_size else 1.0)
        for endpoint in project.endpoints.values()
        if (end := active_until(endpoint)) is not None and end > since
    )
    rate = sum(rate for _, rate in running)
    for end, own in running:
        if since + remaining / rate <= end:
            return since + remaining / rate
        remaining -= rate * (end - since)
        since, rate = end, rate - own
    return None
