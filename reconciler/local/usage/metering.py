"""Metering of the consumption of projects. Periods are calendar months of UTC.

A compute consumes from its start until it is suspended. Metering runs at every time at which consumption can change, so
between two runs it is linear.
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
    """Return the beginning of the month of a time."""
    date = datetime.fromtimestamp(moment, UTC)
    return datetime(date.year, date.month, 1, tzinfo=UTC).timestamp()


def period_end(moment: float) -> float:
    """Return the beginning of the next month."""
    date = datetime.fromtimestamp(moment, UTC)
    year, month = (date.year, date.month + 1) if date.month < 12 else (date.year + 1, 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()


def meter(project: Project, now: float) -> None:
    """Add the consumption until ``now``."""
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
    """Add an amount to a branch, in the current hour and day."""
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


def _bucket(buckets: dict[int, Amounts], number: int, retention: int, branch_id: str) -> Amount:
    if number not in buckets:
        for old in [bucket for bucket in buckets if bucket <= number - retention]:
            del buckets[old]
        buckets[number] = {}
    return buckets[number].setdefault(branch_id, Amount())
