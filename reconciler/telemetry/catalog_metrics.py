"""The catalog's figures as metrics: the same ones from whichever process is asked.

A scrape never fails or hangs because the catalog is away: it says so, and leaves out what only the catalog knows.
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
    """Asks the catalog when it is scraped, at most every few seconds.

    Args:
        registry: where the metrics are registered.
        database: the catalog; opened by somebody else.
        clock: monotonic seconds.
        patience_seconds: how long a scrape waits for the catalog.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience_seconds: float = WAIT_TIMEOUT_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._query: asyncio.Task[FleetStats] | None = None
        self._stats: FleetStats | None = None
        self._refreshed_at = 0.0
        self._troubles = RepeatSuppressor(log)
        registry.register(self)

    async def refresh(self) -> None:
        """Have the figures of now, or of some seconds ago, ready to be collected; never raises for the catalog's sake.

        One question at a time is asked, however many scrape. It is left alone when it takes too long: breaking it off
        may take as long itself.
        """
        if self._stats is not None and self._clock() - self._refreshed_at < CACHE_SECONDS:
            return
        self._stats = None
        if self._query is None or self._query.done():
            self._query = asyncio.create_task(read_stats(self._database), name="figures for metrics")
            self._query.add_done_callback(_consume_exception)
        done, _ = await asyncio.wait({self._query}, timeout=self._patience_seconds)
        if not done:
            self._troubles.report(
                "metrics.catalog_unavailable",
                logging.WARNING,
                "Metrics lack the catalog's figures: no response in time.",
            )
            return
        try:
            self._stats, self._refreshed_at = self._query.result(), self._clock()
        except CatalogUnavailable as error:
            self._troubles.report(
                "metrics.catalog_unavailable", logging.WARNING, f"Metrics lack the catalog's figures: {error}"
            )
        else:
            self._troubles.resolve("metrics.catalog_unavailable", "Metrics have the catalog's figures.")

    async def close(self) -> None:
        """Stop asking."""
        if self._query is not None:
            self._query.cancel()
            await asyncio.wait({self._query}, timeout=self._patience_seconds)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What ``look`` saw."""
        return _families(self._stats)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """All that there may be."""
        return describe_all()


def describe_all() -> Iterator[GaugeMetricFamily]:
    """Every metric that is made of the catalog's figures, for its name and text."""
    nothing = FleetStats({}, {}, dict.fromkeys(JOBS, JobStats(0, 0)), stopped=False, orphans=0)
    return _families(nothing)


def _consume_exception(asked: asyncio.Task[FleetStats]) -> None:
    """Whoever asked may be gone: an error that nobody hears would be logged when the task is forgotten."""
    if not asked.cancelled():
        asked.exception()


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"morphik_apps_{name}", text, labels=labels)


def _families(health: FleetStats | None) -> Iterator[GaugeMetricFamily]:
    answers = _gauge("catalog_up", "Whether the catalog answered; without it, all figures of the catalog are left out.")
    answers.add_metric((), health is not None)
    yield answers
    if health is not None:
        yield from (*_app_metrics(health), *_queue_metrics(health), *_control_plane_metrics(health))


def _app_metrics(health: FleetStats) -> tuple[GaugeMetricFamily, ...]:
    apps = _gauge("apps", "Apps by status; deleted ones while they are known.", "status")
    oldest = _gauge(
        "oldest_unconverged_seconds",
        "For how long the oldest app of each status has not been as it was asked for; 0 without such an app.",
        "status",
    )
    for status in AppStatus:
        apps.add_metric((status,), health.statuses.get(status, _NOTHING).apps)
    for status in UNCONVERGED:
        oldest.add_metric((status,), health.statuses.get(status, _NOTHING).oldest_seconds)
    return apps, oldest


def _queue_metrics(health: FleetStats) -> tuple[GaugeMetricFamily, ...]:
    depth = _gauge("queue_depth", "Apps that are due and that no daemon works on, by lane.", "lane")
    oldest = _gauge("queue_oldest_seconds", "For how long the oldest of them has been due; 0 without one.", "lane")
    held = _gauge("leases_held", "Apps that daemons work on.")
    for lane, name in LANES:
        figures = health.lanes.get(lane, _NO_WORK)
        depth.add_metric((name,), figures.due)
        oldest.add_metric((name,), figures.oldest_seconds)
    held.add_metric((), sum(figures.leased for figures in health.lanes.values()))
    return depth, oldest, held


def _control_plane_metrics(health: FleetStats) -> tuple[GaugeMetricFamily, ...]:
    stopped = _gauge("mutations_suspended", "Whether every change at Neon is stopped until a person acts.")
    stopped.add_metric((), health.stopped)
    doubted = _gauge(
        "catalog_quarantined",
        "Whether the catalog may not be the right one, or lacks commits: restored, copied or failed over. Nothing is "
        "changed at Neon until a person claims it.",
    )
    doubted.add_metric((), health.quarantined)
    orphans = _gauge("orphan_projects", "Projects at Neon that carry our mark and that no app names.")
    orphans.add_metric((), health.orphans)
    age = _gauge(
        "job_age_seconds",
        "Since the whole fleet was last looked at (before the first time: since the catalog was made), by round: sweep "
        "(Neon's list) or audit (each project in depth).",
        "job",
    )
    took = _gauge("job_duration_seconds", "How long the last such look took; 0 before the first.", "job")
    for name in JOBS:
        age.add_metric((name,), health.jobs[name].age_seconds)
        took.add_metric((name,), health.jobs[name].seconds)
    return stopped, doubted, orphans, age, took
