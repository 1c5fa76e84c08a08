"""What a real ``reconciler.runtime.daemon.Daemon`` is put together from here: its own parts, but for the sockets.

The stand-ins are put into the daemon's module once; each run says to them which world it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from reconciler.neon.client import NeonClient
from reconciler.runtime import daemon, worker
from reconciler.runtime.periods import Every
from reconciler.telemetry.reconcile_metrics import ReconcileMetrics
from specs.settings import CatalogSettings, ControlPlaneSettings, EncryptionSettings, ReconcilerSettings
from tests.driven import catalog
from tests.driven.database import Database
from tests.driven.network import BASE, Network
from tests.driven.wires import Transport, Wire
from tests.driven.world import World
from tests.simulation.neon import PLANE_ID
from tests.simulation.world import LEASE, RESYNC, SETTLE, TIMEOUT
from tests.virtual.ambient import Ambient
from tests.virtual.loop import HOST

POLL_SECONDS = 60.0
"""Polling is the truth behind hints; between two looks at nothing there is nothing to see."""
THROUGH_HTTPX = 20
"""One run of so many goes through ``httpx.AsyncClient``, the others straight to what is behind it."""


class Parts:
    """The stand-ins of one process of the test.

    Attributes:
        world: the run's.
        network: the run's.
        ambient: the clocks of all runs.
    """

    ambient: ClassVar[Ambient]
    world: ClassVar[World]
    network: ClassVar[Network]

    @classmethod
    def of_run(cls, world: World) -> None:
        """These daemons are of this run."""
        cls.world, cls.network = world, Network(world)

    @classmethod
    def database(cls, _url: str) -> Database:
        """``Database``."""
        return Database(cls.world)

    @classmethod
    def client(cls, *args: Any, **named: Any) -> NeonClient:
        """``NeonClient``, the real one, over this network."""
        client = NeonClient(*args, **named, transport=Transport(cls.network))
        if cls.world.seed % THROUGH_HTTPX:
            client._transport._http = Wire(cls.network)  # type: ignore[assignment]
        return client

    @classmethod
    async def schema(cls, database: Database) -> None:
        """``require_current_schema``."""
        await database.run("schema", lambda: None)

    @classmethod
    async def probe(cls, uri: CheckedURI) -> None:
        """``app_database.probe``."""
        world = cls.world
        await asyncio.sleep(world.chance.uniform(0.05, 0.5))
        if not world.neon.connects(uri.get_secret_value()):
            raise AppDatabaseUnreachable("ConnectionTimeout")


class NotificationListener:
    """``NotificationListener``: who listens is told, mostly."""

    def __init__(self, _url: str, on_work: Callable[[], None]) -> None:
        self._on_work = on_work
        self._world = Parts.world

    async def run(self) -> None:
        """Listen until cancelled."""
        listeners, host = self._world.listeners, HOST.get()
        told = asyncio.Event()
        listeners[host] = told
        while True:
            await told.wait()
            told.clear()
            self._on_work()


class Scheduler:
    """``AsyncIOScheduler`` as the daemon uses it: one run of a job at a time, each period with jitter."""

    def __init__(self, timezone: object) -> None:
        del timezone
        self._world = Parts.world
        self._jobs: list[tuple[Callable[[], Awaitable[None]], float, float, float]] = []
        self._clocks: list[asyncio.Task[None]] = []

    def add_job(
        self,
        job: Callable[[], Awaitable[None]],
        trigger: Every,
        *,
        coalesce: bool,
        max_instances: int,
        misfire_grace_time: float | None,
        **_named: object,
    ) -> None:
        """A job at an interval."""
        assert (coalesce, max_instances, misfire_grace_time) == (True, 1, None)
        self._jobs.append((job, trigger.first, trigger.seconds, trigger.jitter))

    def start(self) -> None:
        """Begin."""
        self._clocks = [asyncio.create_task(self._keep(*job)) for job in self._jobs]

    def pause(self) -> None:
        """Start no further run."""
        for each in self._clocks:
            each.cancel()

    def shutdown(self, *, wait: bool) -> None:
        """As ``pause``."""
        assert not wait
        self.pause()

    async def _keep(self, job: Callable[[], Any], first: float, seconds: float, jitter: float) -> None:
        await asyncio.sleep(first)
        while True:
            running = asyncio.create_task(job())
            await asyncio.wait([running])
            if not running.cancelled() and running.exception() is not None:
                await self._world.violated(f"a round raised {running.exception()!r}")
            await asyncio.sleep(seconds + self._world.chance.uniform(-jitter, jitter))


class ResyncWatch:
    """Only reports, and has tests of its own."""

    def __init__(self, *_arguments: object) -> None:
        pass

    async def run(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()


@contextmanager
def parts() -> Iterator[Ambient]:
    """Daemons that are made within are made of these parts, and of the clocks of the loop that is followed."""
    patch, ambient = pytest.MonkeyPatch(), Ambient()
    Parts.ambient = ambient
    ambient.put()
    metrics = ReconcileMetrics(CollectorRegistry())
    for name, stand_in in {
        "Database": Parts.database,
        "require_current_schema": Parts.schema,
        "NeonClient": Parts.client,
        "probe": SimpleNamespace(probe=Parts.probe),
        "NotificationListener": NotificationListener,
        "AsyncIOScheduler": Scheduler,
        "ResyncWatch": ResyncWatch,
        "WorkQueue": catalog.WorkQueue,
        "StatusStore": catalog.StatusStore,
        "ControlPlaneStore": catalog.ControlPlaneStore,
        "RateLimitStore": catalog.RateLimitStore,
        "Sealer": lambda _keys: None,
        "ReconcileMetrics": lambda _registry, _terms: metrics,
        "CollectorRegistry": lambda: None,
    }.items():
        patch.setattr(daemon, name, stand_in)
    patch.setattr(worker, "POLL_SECONDS", POLL_SECONDS)
    logging.disable(logging.CRITICAL)
    try:
        yield ambient
    finally:
        logging.disable(logging.NOTSET)
        patch.undo()
        ambient.take_away()


def settings(
    per_minute: int, burst: int
) -> tuple[CatalogSettings, EncryptionSettings, ControlPlaneSettings, ReconcilerSettings]:
    """What a daemon is told."""
    return (
        CatalogSettings(database_url=SecretStr("postgresql://catalog.invalid/one"), database_direct_url=None),
        EncryptionSettings(encryption_keys=(SecretStr("A" * 43),)),
        ControlPlaneSettings(control_plane_id=PLANE_ID),
        ReconcilerSettings(
            neon_api_key=SecretStr("key"),
            neon_api_url=BASE,
            neon_org_id=None,
            neon_host_suffixes=(".neon.tech",),
            neon_timeout_seconds=TIMEOUT,
            lease_seconds=LEASE,
            settle_seconds=SETTLE,
            resync_seconds=RESYNC,
            neon_requests_per_minute=per_minute,
            neon_burst_per_second=burst,
        ),
    )
