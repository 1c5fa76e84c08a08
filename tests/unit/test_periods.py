"""Periods by the monotonic clock, and the watch over the last resync."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any, cast

import apscheduler.schedulers.base
import pytest

from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.errors import CatalogUnavailable
from reconciler.runtime import daemon
from reconciler.runtime.jobs.registry import JOBS
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.periods import Every, MonotonicZone, ResyncWatch
from reconciler.telemetry.recorder import Recorder

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(days=-20_000), timedelta(hours=1), timedelta(0)])
def test_rounds_go_on_when_the_wall_clock_is_set(monkeypatch: pytest.MonkeyPatch, step: timedelta) -> None:
    """An hour back, as NTP does after a boot with a wrong clock; back to 1970; and ahead."""
    off = timedelta(0)

    class WallClock(datetime):
        """What APScheduler reads, wrong by ``off``."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            assert tz is not None
            return tz.fromutc((datetime.now(UTC) + off).replace(tzinfo=tz))

    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", WallClock)

    async def scenario() -> None:
        nonlocal off
        runs = {name: asyncio.Semaphore(0) for name in JOBS}

        async def run(name: str) -> None:
            runs[name].release()

        rounds = cast("JobRunner", SimpleNamespace(run=run))
        scheduler = daemon._schedule(rounds, 0.02)
        try:
            for each in runs.values():
                await each.acquire()
            off = step
            async with asyncio.timeout(10):
                for each in runs.values():
                    for _ in range(5):
                        await each.acquire()
        finally:
            scheduler.shutdown(wait=False)

    asyncio.run(scenario())


def test_a_period_counts_from_the_run_before_within_its_jitter() -> None:
    every, now = Every(300.0, jitter=30.0, first=1.0), datetime.now(MonotonicZone(lambda: 5.0))
    assert (now.year, now.second, now.utcoffset()) == (2000, 5, timedelta(0))
    assert every.get_next_fire_time(None, now) - now == timedelta(seconds=1)
    gaps = [(every.get_next_fire_time(now, now) - now).total_seconds() for _ in range(100)]
    assert min(gaps) >= 270
    assert max(gaps) <= 330
    assert len(set(gaps)) > 1


class _Fleet:
    """Whose last resync is set."""

    def __init__(self) -> None:
        self.finished: datetime | None = NOW
        self.is_there = True

    async def job_finished_at(self, name: str) -> datetime | None:
        assert name == "resync"
        if not self.is_there:
            raise CatalogUnavailable("not there")
        return self.finished


@pytest.mark.parametrize("cause", ["no round", "no catalog", "never a round"])
def test_a_resync_that_is_overdue_is_reported_and_its_return_too(cause: str, caplog: pytest.LogCaptureFixture) -> None:
    """After three periods without one, at ERROR; a clock of the catalog that is set back is a resync like any other."""
    caplog.set_level(logging.INFO)
    fleet, clock, witness = _Fleet(), [1000.0], Recorder()
    watch = ResyncWatch(cast("ControlPlaneStore", fleet), 300.0, witness, clock=lambda: clock[0])

    def looked(seconds: float) -> list[tuple[int, str]]:
        caplog.clear()
        clock[0] += seconds
        asyncio.run(watch.check())
        return [(record.levelno, record.getMessage()) for record in caplog.records]

    fleet.finished = None if cause == "never a round" else NOW
    assert looked(1) == []
    fleet.is_there = cause != "no catalog"
    assert looked(900) == []
    [(level, text)] = looked(2)
    assert level == logging.ERROR
    assert "RESYNC_SECONDS is 300" in text
    assert witness.metrics.resync_age._value.get() == 902
    assert looked(1) == []
    fleet.is_there, fleet.finished = True, NOW - timedelta(hours=1)
    assert looked(1) == [(logging.INFO, "The fleet was resynced.")]
    assert witness.metrics.resync_age._value.get() == 0
