"""The reconciler as the daemon puts it together, whose passes are run one by one."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkItem, WorkQueue
from reconciler.core.context import ControlPlane
from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from reconciler.neon import client as client_module
from reconciler.neon.client import NeonClient
from reconciler.runtime import rate_limiter as budget_module
from reconciler.runtime import reconciler as driver_module
from reconciler.runtime.guards import organization as access_module
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.handlers import session
from reconciler.runtime.handlers.session import Dependencies
from reconciler.runtime.jobs import deep_resync
from reconciler.runtime.jobs.job import JobDependencies
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.reconciler import Reconciler
from reconciler.runtime.worker import Worker
from reconciler.telemetry.recorder import Recorder
from specs.settings import SEND_MARGIN_SECONDS
from tests.catalogs import SEALER
from tests.httpmodel.catalog import CATALOG_ID, SharedClock
from tests.httpmodel.neon import Door
from tests.httpmodel.turns import TurnDatabase
from tests.plenty import plenty
from tests.simulation.neon import ORG_ID, PLANE_ID

NEON_URL = "http://localhost/api/v2"
NEON_KEY = "napi_the_key_of_the_plane"
LEASE, TIMEOUT, SETTLE = 60.0, 20.0, 30.0
# A sweep is due whenever it is asked for.
PERIOD = 1e-6


class Daemon:
    """One life of a daemon.

    Args:
        database: the catalog.
        clock: the time of everybody.
        door: the way to Neon.
        name: which daemon it is.
    """

    def __init__(self, database: TurnDatabase, clock: SharedClock, door: Door, name: str) -> None:
        self.clock, self._door = clock, door
        self.witness = Recorder()
        client = NeonClient(
            NEON_URL,
            NEON_KEY,
            timeout_seconds=TIMEOUT,
            transport=httpx.MockTransport(door.carry),
            request_ids=lambda: f"{name}-{len(door.sent)}",
            on_request=self.witness.on_neon_response,
        )
        fleet = ControlPlaneStore(database, owner=name, lease_seconds=LEASE)
        plane = ControlPlane(PLANE_ID, CATALOG_ID, SETTLE, (".neon.tech",))
        access = OrganizationGuard(
            client,
            fleet,
            org_id=ORG_ID,
            neon_api_url=NEON_URL,
            control_plane_id=PLANE_ID,
            clock=lambda: clock.now,
        )
        records = StatusStore(database, SEALER, lease_seconds=LEASE)
        within = LEASE - TIMEOUT - SEND_MARGIN_SECONDS
        driver = Reconciler(Dependencies(client, plenty(), access, records, self._probe, within, self.witness), plane)
        self.work = WorkQueue(database, owner=name, lease_seconds=LEASE)
        self.worker = Worker(self.work, driver, lease_seconds=LEASE, recorder=self.witness)
        self.rounds = JobRunner(
            JobDependencies(client, access, fleet, driver, plane, PERIOD, self.witness), lease_seconds=LEASE
        )

    async def step(self) -> bool:
        """One pass over what is due first; False when nothing is. Raises Crash."""
        claimed = await self.work.claim(1)
        for one in claimed:
            await self._pass(one)
        return bool(claimed)

    async def _job(self, name: str) -> None:
        """A job; a crash within its group of tasks is one of the process."""
        try:
            await self.rounds.run(name)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _pass(self, claimed: WorkItem) -> None:
        await self.worker._reconcile_one(claimed)
        defects = self.witness.metrics.reconciles.labels("internal_error")._value.get()
        assert not defects, "a pass failed by a defect"

    async def round(self) -> None:
        """A sweep over the fleet, and a look at all of it in depth. Raises Crash."""
        await self._job("resync")
        await self._job("deep_resync")

    async def _probe(self, uri: CheckedURI) -> None:
        if not self._door.neon.connects(uri.get_secret_value()):
            raise AppDatabaseUnreachable("no database answers there")


class Chance:
    """Stands for ``random`` and ``secrets`` in the product's modules; begun again, it gives the same."""

    def __init__(self) -> None:
        self.begin_again()

    def begin_again(self) -> None:
        """From the start."""
        self._random = random.Random("chance")

    def random(self) -> float:
        """As ``random.random``."""
        return self._random.random()

    def randbelow(self, most: int) -> int:
        """As ``secrets.randbelow``."""
        return self._random.randrange(most)

    def token_bytes(self, length: int) -> bytes:
        """As ``secrets.token_bytes``."""
        return self._random.randbytes(length)

    def token_hex(self, length: int) -> str:
        """As ``secrets.token_hex``."""
        return self._random.randbytes(length).hex()


def without_time_and_chance(patch: pytest.MonkeyPatch, clock: SharedClock) -> Chance:
    """Let the reconciler's own pauses, times and random numbers be ours, and an audit look at the whole fleet."""
    chance = Chance()

    async def sleep(seconds: float) -> None:
        clock.pass_by(seconds)

    ours: Any = SimpleNamespace(monotonic=lambda: clock.now)
    patch.setattr(client_module, "asyncio", SimpleNamespace(sleep=sleep))
    patch.setattr(client_module, "time", ours)
    patch.setattr(client_module, "random", chance)
    patch.setattr(session, "time", ours)
    patch.setattr(driver_module, "secrets", chance)
    patch.setattr(budget_module, "time", ours)
    patch.setattr(access_module, "random", chance)
    patch.setattr(access_module, "secrets", chance)
    patch.setattr(deep_resync, "DEEP_RESYNC_PERIODS", 1)
    return chance
