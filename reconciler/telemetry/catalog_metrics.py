"""The catalog's stats as metrics, identical in every process.

An unavailable catalog neither fails nor blocks a scrape: ``catalog_up`` is 0, and the catalog's metrics are omitted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.catalog.database import Database
from reconciler.catalog.stats import FleetStats, JobStats, LaneStats, StatusStats, read_stats
from reconciler.errors import CatalogUnavailable
from reconciler.logging import RepeatSuppressor
from specs.status import AppStatus

CACHE_SECONDS = 5.0
WAIT_TIMEOUT_SECONDS = 2.0

LANES: Final = ((0, "user"), (1, "background"))
JOBS: Final = ("resync", "deep_resync")
UNCONVERGED: Final = tuple(status for status in AppStatus if status not in (AppStatus.READY, AppStatus.DELETED))
log = logging.getLogger(__name__)

_NOTHING = StatusStats(0, 0)
_NO_WORK = LaneStats(0, 0, 0)


class CatalogCollector(Collector):
    """Reads the catalog for scrapes, at most once per ``CACHE_SECONDS``.

    Args:
        registry: the registry of the process.
        database: the catalog; the caller opens it.
        clock: monotonic seconds.
        wait_timeout_seconds: how long a scrape waits for the catalog.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait_timeout_seconds: float = WAIT_TIMEOUT_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._wait_timeout_seconds = wait_timeout_seconds
        self._query: asyncio.Task[FleetStats] | None = None
        self._stats: FleetStats | None = None
        self._refreshed_at = 0.0
        self._issues = RepeatSuppressor(log)
        registry.register(self)

    async def refresh(self) -> None:
        """Read the stats unless they are cached. An unavailable catalog raises nothing.

        Concurrent scrapes share one query. A slow query is not cancelled, since its cancellation may take as long.
        """
        if self._stats is not None and self._clock() - self._refreshed_at < CACHE_SECONDS:
            return
        self._stats = None
        if self._query is None or self._query.done():
            self._query = asyncio.create_task(read_stats(self._database), name="read stats")
            self._query.add_done_callback(_consume_exception)
        done, _ = await asyncio.wait({self._query}, timeout=self._wait_timeout_seconds)
        if not done:
            self._issues.report(
                "metrics.catalog_unavailable",
                logging.WARNING,
                "The catalog's metrics are omitted: no response in time.",
            )
            return
        try:
            self._stats, self._refreshed_at = self._query.result(), self._clock()
        except CatalogUnavailable as error:
            self._issues.report(
                "metrics.catalog_unavailable", logging.WARNING, f"The catalog's metrics are omitted: {error}"
            )
        else:
            self._issues.resolve("metrics.catalog_unavailable", "The catalog's metrics are available.")

    async def close(self) -> None:
        """Cancel the query."""
        if self._query is not None:
            self._query.cancel()
            await asyncio.wait({self._query}, timeout=self._wait_timeout_seconds)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics of the last ``refresh``."""
        return _families(self._stats)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return all possible metrics."""
        return describe_all()


def describe_all() -> Iterator[GaugeMetricFamily]:
    """Return every metric of the catalog, for its name and description."""
    empty = FleetStats({}, {}, dict.fromkeys(JOBS, JobStats(0, 0)), stopped=False, orphans=0)
    return _families(empty)


def _consume_exception(query: asyncio.Task[FleetStats]) -> None:
    """Retrieve the exception; asyncio logs an exception that no scrape has retrieved."""
    if not query.cancelled():
        query.exception()


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"morphik_apps_{name}", text, labels=labels)


def _families(stats: FleetStats | None) -> Iterator[GaugeMetricFamily]:
    up = _gauge("catalog_up", "Whether the catalog responded; otherwise all metrics of the catalog are omitted.")
    up.add_metric((), stats is not None)
    yield up
    if stats is not None:
        yield from (*_app_metrics(stats), *_queue_metrics(stats), *_control_plane_metrics(stats))


def _app_metrics(stats: FleetStats) -> tuple[GaugeMetricFamily, ...]:
    apps = _gauge("apps", "Apps by status; deleted ones until their tombstone expires.", "status")
    oldest = _gauge(
        "oldest_unconverged_seconds",
        "How long the oldest app of each status has not matched its desired state; 0 without such an app.",
        "status",
    )
    for status in AppStatus:
        apps.add_metric((status,), stats.statuses.get(status, _NOTHING).apps)
    for status in UNCONVERGED:
        oldest.add_metric((status,), stats.statuses.get(status, _NOTHING).oldest_seconds)
    return apps, oldest


def _queue_metrics(stats: FleetStats) -> tuple[GaugeMetricFamily, ...]:
    depth = _gauge("queue_depth", "Apps that are due and not leased, by lane.", "lane")
    oldest = _gauge("queue_oldest_seconds", "How long the oldest of them has been due; 0 without one.", "lane")
    leases = _gauge("leases_held", "Apps that daemons have leased.")
    for lane, name in LANES:
        lane_stats = stats.lanes.get(lane, _NO_WORK)
        depth.add_metric((name,), lane_stats.due)
        oldest.add_metric((name,), lane_stats.oldest_seconds)
    leases.add_metric((), sum(lane_stats.leased for lane_stats in stats.lanes.values()))
    return depth, oldest, leases


def _control_plane_metrics(stats: FleetStats) -> tuple[GaugeMetricFamily, ...]:
    suspended = _gauge("mutations_suspended", "Whether all mutations are suspended until an operator acts.")
    suspended.add_metric((), stats.stopped)
    quarantined = _gauge(
        "catalog_quarantined",
        "Whether the catalog may lack commits or be a copy: restored, copied or failed over. Mutations are suspended "
        "until an operator promotes it.",
    )
    quarantined.add_metric((), stats.quarantined)
    orphans = _gauge("orphan_projects", "Projects at Neon with this control plane's annotations and without an app.")
    orphans.add_metric((), stats.orphans)
    age = _gauge(
        "job_age_seconds",
        "Time since the job last came through the whole fleet (before the first time: since the catalog was created): "
        "resync (Neon's list) or deep_resync (each project).",
        "job",
    )
    duration = _gauge("job_duration_seconds", "How long that took; 0 before the first time.", "job")
    for name in JOBS:
        age.add_metric((name,), stats.jobs[name].age_seconds)
        duration.add_metric((name,), stats.jobs[name].seconds)
    return suspended, quarantined, orphans, age, duration
