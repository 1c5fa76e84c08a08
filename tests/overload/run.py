"""One run of one shape: the story, what is sampled on the way, and the rules that hold in every shape."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from reconciler.catalog.work_queue import Lease
from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.stages.create_lookup import RECHECK_FRACTION
from reconciler.neon.codec import PROJECTS_PER_PAGE
from reconciler.runtime.jobs.deep_resync import DEEP_RESYNC_PERIODS
from specs.settings import NEON_REQUESTS_PER_MINUTE
from specs.status import AppStatus
from tests.overload.fleet import Fleet
from tests.overload.neon import MINUTE
from tests.overload.people import People
from tests.simulation.world import RESYNC, SETTLE, TIMEOUT
from tests.virtual.ambient import ambient
from tests.virtual.loop import VirtualLoop

RATE = NEON_REQUESTS_PER_MINUTE / MINUTE
SAMPLE_SECONDS = 10.0
CALM_SECONDS = RESYNC
QUIET_SECONDS = 2.3 * RESYNC
AUDIT_REQUESTS = 4
# Of the period; a daemon whose turn comes a little early takes it.
SHORTEST_ROUND = 0.8
# After the last fault: the longest remembered refusal, the longest back-off, a request that is given up, and a create
# of unknown outcome that settles and is looked for twice.
BOUND_SECONDS = 2 * CAP_SECONDS + TIMEOUT + (1 + RECHECK_FRACTION) * SETTLE


class Broken(Exception):
    """A rule was broken."""


class Run:
    """A fleet, its people, and what is watched.

    Attributes:
        apps: how many apps are ready from the start.
        old: those.
        figures: what the run has shown.
    """

    def __init__(self, loop: VirtualLoop, seed: int, apps: int, daemons: int = 3) -> None:
        self.loop = loop
        self.fleet = Fleet(loop, seed)
        self.people = People(self.fleet)
        self.chance = self.fleet.chance
        self.figures: dict[str, float] = {}
        self.apps = apps
        self.old = self.people.found(apps)
        self._daemons = daemons
        self.fleet.catalog.on_write = self._check_row

    async def begin(self) -> None:
        """Start the daemons; they send what is usual when nothing is to be done."""
        self.fleet.start(self._daemons)
        await self.sleep(CALM_SECONDS)
        self.note("usual_per_minute", self.usual(3600.0) / 60)

    def note(self, name: str, value: float) -> None:
        """Keep a figure for the report."""
        self.figures[name] = round(value, 2)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    @property
    def now(self) -> float:
        """The moment."""
        return self.fleet.clock.now

    @property
    def sent(self) -> int:
        """How many requests were sent so far."""
        return self.fleet.neon.sent.total()

    def usual(self, seconds: float) -> float:
        """The most requests when all is done: the pages of each sweep, and four for each app that an audit looks at."""
        ready = sum(status == AppStatus.READY for status in self.people.wanted.values())
        each_round = AUDIT_REQUESTS * math.ceil(ready / DEEP_RESYNC_PERIODS) + ready / PROJECTS_PER_PAGE + 3
        return each_round * (seconds // (SHORTEST_ROUND * RESYNC) + 1)

    def peak(self, since: float) -> int:
        """The most requests of a whole minute since then."""
        first, last = math.ceil(since / MINUTE), int(self.now // MINUTE)
        return max((self.fleet.neon.sent[minute] for minute in range(first, last)), default=0)

    def left(self) -> list[str]:
        """The apps that are not yet as they must end."""
        rows = self.fleet.catalog.rows
        return [app_id for app_id, status in self.people.wanted.items() if rows[app_id].status != status]

    async def drain(self, requests: float, bound: float = BOUND_SECONDS) -> None:
        """Wait until all is done; it must not take longer than so many requests do at Neon's rate.

        Args:
            requests: that the backlog needs.
            bound: seconds that it may take besides.
        """
        began, most = self.now, 1.2 * requests / RATE + bound
        backlog = len(self.left())
        self.note("backlog", backlog)
        while self.left():
            if self.now > began + most:
                raise Broken(f"{len(self.left())} of {backlog} are left after {most:.0f} s: {self._why()}")
            await self.sleep(SAMPLE_SECONDS)
            now = len(self.left())
            if now > backlog:
                raise Broken(f"the backlog grows from {backlog} to {now} by itself")
            backlog = now
        self.note("drain_seconds", self.now - began)
        self.note("drain_most", most)

    def _why(self) -> str:
        app_id = self.left()[0]
        row = self.fleet.catalog.rows[app_id]
        said = [f"{each.type} {each.status} {each.reason}" for each in row.conditions]
        return f"{app_id} is {row.status} ({said}), {self.fleet.catalog.work[app_id]}"

    async def end(self) -> None:
        """Load is what it was before, everything is as asked for, and nothing more is changed or written."""
        await self.sleep(RESYNC)
        state = self._state()
        before = self.sent
        await self.sleep(QUIET_SECONDS)
        if self._state() != state:
            raise Broken("something was written or changed when all was done")
        after = self.sent - before
        self.note("after_per_minute", after / (QUIET_SECONDS / MINUTE))
        if after > self.usual(QUIET_SECONDS):
            raise Broken(f"{after} requests in the quiet afterwards, {self.usual(QUIET_SECONDS):.0f} are usual")
        self._check_end()

    def _state(self) -> tuple[int, ...]:
        catalog = self.fleet.catalog
        return (catalog.version, catalog.told, self.fleet.neon.changes)

    def _check_end(self) -> None:
        neon = self.fleet.neon
        if self.left():
            raise Broken(f"it did not last: {self._why()}")
        living = neon.living()
        for app_id, status in self.people.wanted.items():
            projects = living.get(app_id, [])
            if len(projects) != (status == AppStatus.READY):
                raise Broken(f"{app_id} is {status} and has {len(projects)} projects")
        if neon.beyond or neon.machine.rejected_count:
            raise Broken(f"{neon.beyond} requests were beyond Neon's limits, {neon.machine.rejected_count} it refused")
        if not self.fleet.alive or self.loop.complaints:
            raise Broken(f"a daemon has ended, or a task has failed unseen: {self.loop.complaints[:1]}")
        self.note("requests", self.sent)

    def _check_row(self, lease: Lease) -> None:
        status = self.fleet.catalog.rows[lease.app_id].status
        if status in {AppStatus.FAILED, AppStatus.LOST} and self.people.wanted[lease.app_id] != status:
            self.loop.fail(Broken(f"{lease.app_id} is called {status}"))


Story = Callable[[Run], Awaitable[None]]


def tell(story: Story, seed: int, apps: int, daemons: int = 3) -> Run:
    """One run.

    Raises:
        Broken: a rule was broken.
    """
    loop = VirtualLoop(f"overload/{seed}", shuffled=False)
    with _quiet(), ambient(loop):
        run = Run(loop, seed, apps, daemons)
        try:
            loop.run(_whole(run, story))
        finally:
            loop.abandon()
    return run


async def _whole(run: Run, story: Story) -> None:
    await run.begin()
    await story(run)
    await run.end()
    await run.fleet.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """No records and no collector; both take longer than the runs."""
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
