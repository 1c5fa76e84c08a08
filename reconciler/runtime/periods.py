"""Periods that no change of the wall clock stretches, and a watch over the age of the last resync."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from apscheduler.triggers.base import BaseTrigger

from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.errors import ReconcileError
from reconciler.logging import RepeatSuppressor
from reconciler.telemetry.recorder import Recorder

OVERDUE_PERIODS: Final = 3
_MAX_CHECK_SECONDS: Final = 60.0
_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - the zone below is added
log = logging.getLogger(__name__)


class MonotonicZone(tzinfo):
    """A time zone whose ``datetime.now(zone)`` counts monotonic seconds from a fixed date.

    APScheduler 3 reads the time with ``datetime.now`` of its scheduler's zone and nothing else. With UTC every job
    waits for as long as the wall clock was set back; with this zone none does.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def fromutc(self, _when: datetime) -> datetime:
        """Return the moment by the monotonic clock, whatever the wall clock reads."""
        return _EPOCH.replace(tzinfo=self) + timedelta(seconds=self._clock())

    def utcoffset(self, _when: datetime | None) -> timedelta:
        """Return zero, so that differences are plain seconds."""
        return timedelta(0)

    def dst(self, _when: datetime | None) -> timedelta:
        """Return zero."""
        return timedelta(0)

    def tzname(self, _when: datetime | None) -> str:
        """Return its name in APScheduler's records."""
        return "monotonic"


class Every(BaseTrigger):  # type: ignore[misc] # APScheduler ships no types
    """A period with jitter. APScheduler's own interval goes through time stamps, which ``MonotonicZone`` has none of.

    Args:
        seconds: the period.
        jitter: seconds by which each period is shorter or longer at most.
        first: seconds until the first run.
    """

    def __init__(self, seconds: float, *, jitter: float, first: float) -> None:
        self.seconds = seconds
        self.jitter = jitter
        self.first = first

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return when the job runs next."""
        if previous_fire_time is None:
            return now + timedelta(seconds=self.first)
        spread = random.uniform(-self.jitter, self.jitter)  # noqa: S311 - nothing secret depends on it
        return previous_fire_time + timedelta(seconds=self.seconds + spread)


class ResyncWatch:
    """Reports that the fleet has not been resynced for ``OVERDUE_PERIODS`` periods, whatever the reason.

    It shares nothing with the scheduler that starts resyncs. The age counts by the monotonic clock of this process from
    the moment at which it saw the last resync, by any daemon, in the catalog.

    Args:
        fleet: the catalog.
        period: seconds between two resyncs.
        recorder: its metrics contain the age.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        fleet: ControlPlaneStore,
        period: float,
        recorder: Recorder,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._period = period
        self._age = recorder.metrics.resync_age
        self._clock = clock
        self._issues = RepeatSuppressor(log, clock=clock)
        self._last: datetime | None = datetime.min.replace(tzinfo=UTC)
        self._since = clock()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(min(self._period / 2, _MAX_CHECK_SECONDS))
            await self.check()

    async def check(self) -> None:
        """Check once. An unavailable catalog raises nothing."""
        try:
            last = await self._fleet.job_finished_at("resync")
        except ReconcileError:
            last = self._last
        if last != self._last:
            self._last, self._since = last, self._clock()
        age = self._clock() - self._since
        self._age.set(age)
        if age > OVERDUE_PERIODS * self._period:
            text = (
                f"The last resync of the fleet finished more than {age:.0f} s ago; RESYNC_SECONDS is {self._period:g}."
            )
            self._issues.report("resync.overdue", logging.ERROR, f"{text} Operator action required.")
        else:
            self._issues.resolve("resync.overdue", "The fleet was resynced.")
