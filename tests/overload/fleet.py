"""A control plane of several daemons over one catalog and one Neon, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from reconciler.core.context import ControlPlane
from reconciler.core.rate_limit import BucketConfig, Priority
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.handlers.session import Dependencies
from reconciler.runtime.jobs.job import JobDependencies
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.rate_limiter import PriorityGate, RateLimiter
from reconciler.runtime.reconciler import Reconciler
from reconciler.runtime.worker import Worker
from reconciler.telemetry.recorder import Recorder
from specs.settings import NEON_BURST_PER_SECOND, NEON_REQUESTS_PER_MINUTE, SEND_MARGIN_SECONDS
from tests.overload.adapters import Records, Shared, Slices, Whole, Work
from tests.overload.catalog import LargeCatalog
from tests.overload.neon import BASE, ORG_ID, Neon
from tests.simulation.clock import Clock
from tests.simulation.world import LEASE, RESYNC, SETTLE, TIMEOUT
from tests.virtual.ambient import WALL_START
from tests.virtual.loop import VirtualLoop

PLANE_ID = "simulated"
PLANE = ControlPlane(PLANE_ID, "catalog-1", SETTLE, (".neon.tech",))
TERMS = BucketConfig.from_limits(requests_per_minute=NEON_REQUESTS_PER_MINUTE, burst=NEON_BURST_PER_SECOND)


class LoopClock(Clock):
    """The twin's clock, which goes with the loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._began = loop.time()

    @property
    def now(self) -> float:  # type: ignore[override]
        """Seconds since the epoch."""
        return WALL_START + self._loop.time() - self._began

    @property
    def date(self) -> datetime:
        """The same, as the catalog writes it."""
        return datetime.fromtimestamp(self.now, UTC)


class Fleet:
    """Catalog, Neon, and daemons that come and go.

    Attributes:
        clock: virtual time.
        chance: of the story; everything else has its own.
    """

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.clock = LoopClock(loop)
        self.chance = random.Random(f"{seed}/story")
        self.catalog = LargeCatalog(self.clock, LEASE, TERMS)
        self.neon = Neon(self.clock, seed)
        self.shared = Shared(self.clock, self.catalog)
        self._daemons: dict[str, tuple[asyncio.Task[None], Worker]] = {}
        self._lives = 0

    def start(self, number: int = 3) -> None:
        """Start daemons."""
        for _ in range(number):
            self._lives += 1
            host = f"daemon-{self._lives}"
            worker, life = self._composed(host)
            self._daemons[host] = (self.loop.spawn(host, life()), worker)

    async def stop(self) -> None:
        """Tell every daemon to stop, and wait for it."""
        tasks = [task for task, _ in self._daemons.values()]
        self._daemons.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def crash(self) -> None:
        """Every daemon falls silent."""
        for host in self._daemons:
            self.loop.kill(host)
        self._daemons.clear()

    @property
    def alive(self) -> bool:
        """Whether no daemon has ended by itself."""
        return not any(task.done() for task, _ in self._daemons.values())

    def hint(self) -> None:
        """What the API tells all daemons after a write; it may get lost."""
        for _, worker in self._daemons.values():
            worker.wake()

    def _composed(self, host: str) -> tuple[Worker, Callable[[], Coroutine[Any, Any, None]]]:
        """The parts of one process, as ``reconciler.runtime.daemon`` puts them together."""
        witness = Recorder()
        client = NeonClient(
            f"http://localhost{BASE}",
            "key",
            timeout_seconds=TIMEOUT,
            transport=self.neon,
            on_request=witness.on_neon_response,
        )
        budget = RateLimiter(Slices(self.shared), TERMS)
        whole: Any = Whole(self.shared, host)
        access = OrganizationGuard(
            client.with_gate(PriorityGate(budget, Priority.USER)),
            whole,
            org_id=ORG_ID,
            neon_api_url="http://localhost",
            control_plane_id=PLANE_ID,
        )
        records: Any = Records(self.shared)
        within = LEASE - TIMEOUT - SEND_MARGIN_SECONDS
        driver = Reconciler(Dependencies(client, budget, access, records, self.neon.probe, within, witness), PLANE)
        work: Any = Work(self.shared, host)
        worker = Worker(work, driver, lease_seconds=LEASE, recorder=witness)
        sweeping = client.with_gate(PriorityGate(budget, Priority.RESYNC))
        rounds = JobRunner(
            JobDependencies(sweeping, access, whole, driver, PLANE, RESYNC, witness), lease_seconds=LEASE
        )

        async def life() -> None:
            chance = random.Random(f"{host}/{self.chance.random()}")
            acts = [partial(rounds.run, name) for name in ("resync", "deep_resync")]
            timers = [asyncio.create_task(_every(RESYNC, act, chance)) for act in acts]
            try:
                await worker.run()
            finally:
                for timer in timers:
                    timer.cancel()
                await rounds.stop()
                await budget.aclose()

        return worker, life


async def _every(period: float, act: Callable[[], Coroutine[Any, Any, None]], chance: random.Random) -> None:
    """What the scheduler of a daemon does."""
    await asyncio.sleep(min(1.0, period))
    while True:
        began = asyncio.get_running_loop().time()
        # Told to stop, the round ends as its daemon has it end, and this at once.
        await asyncio.shield(asyncio.create_task(act()))
        jittered = period + chance.uniform(-0.1, 0.1) * period
        await asyncio.sleep(max(0.0, began + jittered - asyncio.get_running_loop().time()))
