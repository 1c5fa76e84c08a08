"""What a run of real daemons has in common with a simulated one, on a virtual loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from reconciler.core.rate_limit import BucketConfig, Grant
from tests.driven.faults import Fault, Swarm
from tests.driven.table import Table
from tests.simulation import world
from tests.simulation.clock import START, Clock
from tests.simulation.faults import Plan
from tests.simulation.invariants import Watch
from tests.simulation.neon import PLANE_ID, SimulatedNeon
from tests.simulation.people import App
from tests.simulation.steps import Violation
from tests.simulation.world import LEASE, SETTLE
from tests.virtual.loop import HOST, VirtualLoop

WIDE = (700, 40)
"""Neon's documented limits: requests a minute, and at once."""
NARROW = (60, 8)


class LoopClock(Clock):
    """The catalog's and Neon's time, by a loop's."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._began = loop.time()
        self.then: Callable[[], None] = lambda: None

    @property
    def now(self) -> float:  # type: ignore[override]
        """Seconds since the epoch."""
        return START + self._loop.time() - self._began

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Plan an event, after which the world is looked at."""

        def happen() -> None:
            event()
            self.then()

        self._loop.after(max(0.0, when - self.now), happen)


class World(world.World):
    """One run.

    Attributes:
        loop: whose time it is.
        swarm: what goes wrong.
        statements, requests: how often each statement was asked for, and each method and route.
        ended: hosts of processes that have ended by themselves.
        owner_of: the name under which each host holds leases.
        catalog_away_until: no statement is carried out before.
        troubles: how often something befell each host, or a statement of it: what it was about to do may not be done.
        limits: requests a minute and at once that Neon allows.
        apps: the story's.
        listeners: of each host, what is set when it is told that there is work.
        befall: lets what befalls processes befall a host.
        on_grant, on_permit: told when a host is granted requests, and when a change for an app is permitted.
    """

    def __init__(self, seed: int, loop: VirtualLoop, swarm: Swarm) -> None:
        self.loop = loop
        self.swarm = swarm
        self.statements: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.ended: set[str] = set()
        self.owner_of: dict[str, str] = {}
        self.catalog_away_until = 0.0
        self.troubles: Counter[str] = Counter()
        self.limits = WIDE
        self.apps: list[App] = []
        self.listeners: dict[str, asyncio.Event] = {}
        self.befall: Callable[[Fault, str], None] = lambda _fault, _host: None
        self.on_grant: Callable[[str, Grant], None] = lambda _host, _grant: None
        self.on_permit: Callable[[str], None] = lambda _: None
        super().__init__(seed, Plan(), clock=LoopClock(loop))
        if Fault.NARROW in swarm.rates:
            self.limits = NARROW
        self.terms = BucketConfig.from_limits(requests_per_minute=self.limits[0], burst=self.limits[1])
        self.table = Table(self.clock, LEASE, self.terms)
        self.table.on_write = self._check_holder
        self.catalog = self.table
        self.neon = SimulatedNeon(self.clock, seed)
        self.watch = Watch(self)
        self.clock.then = self.judge  # type: ignore[attr-defined]

    def judge(self) -> None:
        """Look at everything if anything has changed; a broken rule ends the run."""
        try:
            if self.watch.look():
                self.settle_waiting()
        except Violation as broken:
            self.loop.fail(broken)

    def meets(self, rates: tuple[tuple[Fault, float], ...]) -> Fault | None:
        """The fault that a request or a statement meets."""
        fault = self.swarm.pick(rates, self.elapsed)
        if fault is not None:
            self.busy()
        return fault

    def catalog_is_away(self, seconds: float) -> None:
        """From now on, and for so long; as often as not its server is another process afterwards."""
        self.catalog_away_until = self.clock.now + seconds
        if self.chance.random() < 0.5:
            self.loop.after(seconds, self.table.restart)
        self.busy(self.catalog_away_until)

    def say(self, text: str) -> None:
        """Add a line to the trace, of the present host."""
        self.note(HOST.get() or "world", text)

    def violated(self, text: str) -> Any:
        """End the run; what is returned is awaited for ever."""
        self.loop.fail(Violation(text))
        return self.loop.never()


__all__ = ["LEASE", "PLANE_ID", "SETTLE", "World"]
