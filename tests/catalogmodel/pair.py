"""The real catalog and its twin side by side: what is asked of one is asked of the other, and all is compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from psycopg.errors import UniqueViolation

from reconciler.catalog import database as module
from reconciler.catalog.apps import AppStore
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.database import Database
from reconciler.catalog.rate_limit import RateLimitStore
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkItem, WorkQueue
from reconciler.core.rate_limit import BucketConfig
from reconciler.errors import ReconcileError
from tests.catalogmodel.state import real_state, twin_state
from tests.catalogmodel.twin import Twin
from tests.catalogs import SEALER
from tests.simulation.clock import START, Clock
from tests.statements import Run, TappedConnection, tapped
from tests.stillclock import StillClock

LEASE = 60.0
WORKERS = ("worker-1", "worker-2")
TERMS = BucketConfig.from_limits(requests_per_minute=700, burst=40)
T = TypeVar("T")


def same(answer: Any) -> Any:
    """An answer that needs no other form to be compared."""
    return answer


@dataclass(frozen=True)
class Handle:
    """A lease as both know it, held or lost long ago."""

    real: WorkItem
    twin: WorkItem


class Pair:
    """One real catalog for many runs, each from an empty one.

    Attributes:
        ran: how often each named statement ran.
        met: how often each operation was answered, or refused with which error.
    """

    def __init__(self, clock: StillClock, loop: asyncio.Runner, ran: Counter[str]) -> None:
        self.still = clock
        self.ran = ran
        self.met: Counter[tuple[str, str]] = Counter()
        self._loop = loop
        self._database = Database(clock.url, max_size=1)
        self.apps = AppStore(self._database)
        self.records = StatusStore(self._database, SEALER, lease_seconds=LEASE)
        self.budget = RateLimitStore(self._database, TERMS)
        self.work = {owner: WorkQueue(self._database, owner=owner, lease_seconds=LEASE) for owner in WORKERS}
        self.fleets = {owner: ControlPlaneStore(self._database, owner=owner, lease_seconds=LEASE) for owner in WORKERS}
        self.begin()

    def begin(self) -> None:
        """Empty both, at the same moment."""
        self.clock = Clock()
        self.still.set(START)
        self.still.empty()
        self.twin = Twin(self.clock, LEASE)
        self.tokens = {0: 0}

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the real catalog answers."""
        return self._loop.run(coroutine)

    def advance(self, seconds: float) -> None:
        """Let time pass for both."""
        self.clock.now += seconds
        self.still.advance(seconds)

    def both(
        self,
        name: str,
        real: Awaitable[Any],
        twin: Callable[[], Any],
        *,
        seen: Callable[[Any], Any] = same,
        modelled: Callable[[Any], Any] = same,
    ) -> Any:
        """Ask both the same and hold the answers together; the twin's answer, None where it refused."""

        async def ask() -> Any:
            return seen(await real)

        got, _ = self._outcome(lambda: self.wait(ask()))
        wanted, answer = self._outcome(twin)
        if answer is not None:
            wanted = modelled(answer)
        assert got == wanted, f"{name}: the catalog says {got}, its twin {wanted}"
        self.met[name, got[1] if isinstance(got, tuple) and got[:1] == ("rejected",) else "answered"] += 1
        return answer

    def agree(self) -> None:
        """Hold all that stands in both together."""
        real, twin = real_state(self.still, self.tokens), twin_state(self.twin)
        for part, held in real.items():
            assert held == twin[part], f"{part}: the catalog holds {held}, its twin {twin[part]}"

    async def open(self) -> None:
        """Connect."""
        await self._database.open()

    async def close(self) -> None:
        """Leave."""
        await self._database.close()

    @staticmethod
    def _outcome(act: Callable[[], Any]) -> tuple[Any, Any]:
        try:
            answer = act()
        except ReconcileError as error:
            return ("rejected", type(error).__name__, str(error), sorted(vars(error).items())), None
        except (UniqueViolation, AssertionError) as error:
            if isinstance(error, AssertionError) and "is recorded for two apps" not in str(error):
                raise
            return ("rejected", "recorded twice"), None
        return answer, answer


@contextmanager
def paired(clock: StillClock) -> Iterator[Pair]:
    """A pair whose statements are counted."""
    with asyncio.Runner() as loop, pytest.MonkeyPatch.context() as patch:
        ran: Counter[str] = Counter()

        async def count(_connection: TappedConnection, statement: str, run: Run) -> None:
            ran[statement] += 1
            await run()

        patch.setattr(module, "Connection", tapped(count))
        pair = Pair(clock, loop, ran)
        loop.run(pair.open())
        try:
            yield pair
        finally:
            loop.run(pair.close())
