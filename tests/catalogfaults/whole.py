"""A whole plane over a catalog with faults: API, worker, driver, rounds and budget as they are, local Neon in process.

The catalog's clock stands still while anybody works, and goes on to the next planned moment when nobody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import httpx

from reconciler.catalog.database import Database
from reconciler.catalog.rate_limit import RateLimitStore
from reconciler.core.context import ControlPlane
from reconciler.core.rate_limit import BucketConfig, Priority
from reconciler.errors import CatalogUnavailable
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.handlers.session import Dependencies
from reconciler.runtime.jobs.job import JobDependencies
from reconciler.runtime.jobs.registry import JOBS
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.rate_limiter import PriorityGate, RateLimiter
from reconciler.runtime.reconciler import Reconciler
from reconciler.runtime.worker import Worker
from reconciler.telemetry.recorder import Recorder
from specs.metadata import AppMetadata
from specs.status import AppStatus
from tests.catalogfaults.faults import Fault
from tests.catalogfaults.store import Store
from tests.catalogs import create
from tests.deceived.register import POST
from tests.deceived.stage import LEASE, ORG, PLANE_ID, SETTLE, Json, Stage
from tests.simulation.clock import START
from tests.stillclock import StillClock

TERMS = BucketConfig.from_limits(requests_per_minute=6e6, burst=1e6)
TRIES = 5
_END_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'morphik-apps'
"""
T = TypeVar("T")


class Whole(Stage):
    """The plane and its Neon.

    Attributes:
        fault: what the catalog does.
        on_create: happens once while a request to create is on its way to Neon.
    """

    def __init__(self, database: Database, clock: StillClock, fault: Fault) -> None:
        self.database = database
        self._clock = clock
        self.fault = fault
        self.on_create: Callable[[], Awaitable[object]] | None = None
        self._now = START
        clock.set(START)
        clock.empty()
        clock.rows(f"UPDATE neon_rate_limit SET tokens = {TERMS.capacity}")
        # The projects' annotations name another catalog, which would stop one that has created nothing.
        clock.rows("UPDATE catalog_identity SET last_create_seq = 1")
        super().__init__(database, clock.url)
        self.apps = self._apps
        self.neon_now = START - SETTLE - 100

    def start(self) -> None:
        """Begin a life of the daemon, which works from the next wait on."""
        plane = ControlPlane(PLANE_ID, "catalog-1", SETTLE, (".neon.tech", "127.0.0.1", "localhost"))
        self._budget = RateLimiter(RateLimitStore(self.database, TERMS), TERMS)
        client = self.client.with_gate(PriorityGate(self._budget, Priority.RESYNC))
        access = OrganizationGuard(
            client,
            self._fleet,
            org_id=ORG,
            neon_api_url="http://localhost",
            control_plane_id=PLANE_ID,
            clock=lambda: self._now,
        )
        world = Dependencies(self.client, self._budget, access, self._records, self._probe, LEASE - 21, Recorder())
        driver = Reconciler(world, plane)
        self._worker = Worker(self._work, driver, lease_seconds=LEASE)
        self.rounds = JobRunner(
            JobDependencies(client, access, self._fleet, driver, plane, 1e-6, Recorder()), lease_seconds=LEASE
        )
        self._running: asyncio.Task[None] | None = None

    async def end(self) -> None:
        """End the daemon's life as SIGTERM does."""
        await self.rounds.stop()
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await self._budget.aclose()

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What a client does: told that the catalog is away, it sends the same again."""
        for _ in range(TRIES - 1):
            with suppress(CatalogUnavailable):
                return await ask()
        return await ask()

    async def post(self, name: str = "shop", key: str = "first") -> str:
        """POST with an idempotency key, until it is acknowledged."""
        given: dict[str, Any] = {"idempotency_key": f"{key} of {name}", "fingerprint": b"body"}
        made = await self.patiently(lambda: create(self.apps, name, **given))
        self.own.setdefault(made.app.app_id, [])
        return made.app.app_id

    async def settle(self) -> None:
        """Until nothing is planned any more: from one planned moment to the next.

        Raises:
            AssertionError: there is always more to do, or something wrong was done.
        """
        if self._running is None:
            self._running = asyncio.create_task(self._worker.run())
        for _ in range(3000):
            asked = self.fault.asked
            await asyncio.sleep(0.002)
            if self._worker._tasks or self.fault.under_way or self.fault.asked != asked:
                continue
            self._judge()
            [due] = self._sql(
                "SELECT extract(epoch FROM min(due_at) - now())::float8 AS due FROM app_work WHERE due_at < 'infinity'"
            )
            if due["due"] is None:
                return
            self._advance(max(0.0, due["due"]))
            self._worker.wake()
        raise AssertionError(f"something is always planned: {self._sql('SELECT * FROM app_work')}")

    def let_lists_settle(self) -> None:
        """So long that what is recorded by now is missed where a list lacks it."""
        self._advance(SETTLE + 1)

    def snapshot(self) -> None:
        """From here on, what is committed is lost in a failover."""
        Store(self._clock).keep("standby")

    async def fail_over(self) -> None:
        """The standby takes over: all connections are lost, and what it never got; its clock goes on."""
        Store(self._clock).put_back("standby")
        self._sql(_END_CONNECTIONS)

    async def round(self) -> None:
        """A sweep, an audit, expired keys, and what they wake; a round that broke off has left its lease to expire."""
        for name in JOBS:
            self._advance(LEASE + 1)
            await self.rounds.run(name)
        await self.settle()

    def expect(self, app_id: str, status: AppStatus) -> None:
        """The app is what it was to be, and of its projects none is left over."""
        row, made = self.row(app_id), self.own[app_id]
        assert row.status == status, (row.status, [f"{c.reason}: {c.message}" for c in row.conditions])
        living = [each for each in made if self.lives(each)]
        assert living == ([row.project_id] if status is AppStatus.READY else []), (living, row.project_id)
        assert len(made) <= 1, made
        assert self.wrong == []

    def _advance(self, seconds: float) -> None:
        """Time passes for the catalog, and for whoever waits before Neon is asked again."""
        self._clock.advance(seconds)
        self._now += seconds

    def _judge_uri(self, row: AppMetadata, made: list[str]) -> None:
        """What Neon has forgotten has no passwords any more."""
        known = [each for each in made if each in self.machine._account.projects]
        if known:
            super()._judge_uri(row, known)

    def _sql(self, statement: str) -> list[Json]:
        return self._clock.rows(statement)

    async def _carry(self, asked: httpx.Request) -> httpx.Response:
        meanwhile = self.on_create
        if meanwhile is not None and f"{asked.method} /{asked.url.path.rpartition('/')[2]}" == POST:
            self.on_create = None
            await meanwhile()
        return await super()._carry(asked)


Story = Callable[[Whole, Callable[[], Any]], Awaitable[None]]
"""What happens; it calls its second argument where the faults may begin."""
