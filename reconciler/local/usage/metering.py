"""Counts what projects consume while time passes. Periods are calendar months of UTC.

A compute consumes from its start until it idles; counting is done at every moment at which that could change, so
that between two counts all is linear.
"""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.local.state.computes import active_until
from reconciler.local.state.models import Project
from reconciler.local.state.usage import Amount, Amounts

HOUR = 3600
DAY = 86400
_RETENTION_HOURS = 8 * 24
_RETENTION_DAYS = 366


def period_start(moment: float) -> float:
    """Return the beginning of the month in which a moment lies."""
    when = datetime.fromtimestamp(moment, UTC)
    return datetime(when.year, when.month, 1, tzinfo=UTC).timestamp()


def period_end(moment: float) -> float:
    """Return the beginning of the next month."""
    when = datetime.fromtimestamp(moment, UTC)
    year, month = (when.year, when.month + 1) if when.month < 12 else (when.year + 1, 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()


def meter(project: Project, now: float) -> None:
    """Count what was consumed until now."""
    usage = project.usage
    since = project.created_at if usage.metered_at is None else usage.metered_at
    while since < now:
        hour_end = (since // HOUR + 1) * HOUR
        until = min(now, hour_end if _consumes(project, since) else period_end(since))
        _count(project, since, until)
        if until >= period_end(since):
            usage.begin_period()
        since = until
    usage.metered_at = since


def consume(project: Project, now: float, branch_id: str, amount: Amount) -> None:
    """Count an amount for a branch, as of the hour that is now."""
    _bucket(project.usage.hours, int(now // HOUR), _RETENTION_HOURS, branch_id).add(amount)
    _bucket(project.usage.days, int(now // DAY), _RETENTION_DAYS, branch_id).add(amount)


def _consumes(project: Project, since: float) -> bool:
    ends = (active_until(endpoint) for endpoint in project.endpoints.values())
    return any(project.usage.sizes.values()) or any(end is not None and end > since for end in ends)


def _count(project: Project, since: float, until: float) -> None:
    usage = project.usage
    for endpoint in project.endpoints.values():
        end = active_until(endpoint)
        seconds = 0.0 if end is None else min(until, end) - max(since, endpoint.last_active or since)
        if seconds > 0:
            usage.active_time_seconds += seconds
            usage.compute_time_seconds += seconds * endpoint.min_cu
            consume(project, since, endpoint.branch_id, Amount(compute_unit_seconds=seconds * endpoint.min_cu))
    for branch_id, size in usage.sizes.items():
        if size:
            usage.byte_hours += size * (until - since) / HOUR
            consume(project, since, branch_id, Amount(byte_seconds=size * (until - since)))


def _bucket(kept: dict[int, Amounts], number: int, how_many: int, branch_id: str) -> Amount:
    if number not in kept:
        for old in [each for each in kept if each <= number - how_many]:
            del kept[old]
        kept[number] = {}
    return kept[number].setdefault(branch_id, Amount())
