"""Daemons as processes: they are started, killed, stopped for a while and told to end, and begin again."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

from reconciler.runtime.daemon import Daemon
from tests.driven.faults import PROCESS, Fault
from tests.driven.parts import settings
from tests.driven.world import World
from tests.simulation.world import LEASE

MOST_SKEW_SECONDS = 300.0
HINTS_HEARD = 0.9
# Tenants' probes, requests and statements are dropped at once; giving back may meet a slow catalog, twice.
END_SECONDS = 10.0
# Of all steps of a loop few are in the middle of something; the first seconds of a story are.
FEW_STEPS, MANY_STEPS = 40, 600

_settings = cache(settings)


class Process:
    """One daemon, life after life.

    Attributes:
        host: of the present life; none of a life that has ended.
    """

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._life = 0
        self.host = ""
        self._ending = False
        self._troubles = 0
        self.start()

    def start(self) -> None:
        """Begin a life."""
        world = self._world
        self._life += 1
        self.host = host = f"{self._name}.{self._life}"
        self._ending = False
        world.say(f"{host} starts")
        self._set_clock()
        daemon = Daemon(*_settings(*world.limits))
        self._task = world.loop.spawn(host, daemon.run())
        self._task.add_done_callback(self._ended, context=world.loop.nobody)

    def crash(self) -> None:
        """Fall silent, and begin again after a while."""
        world = self._world
        world.say(f"{self.host} is killed")
        world.loop.kill(self.host)
        self._again()

    def pause(self) -> None:
        """Stand still for a moment, or for longer than a lease."""
        world = self._world
        if world.loop.is_paused(self.host):
            return
        seconds = world.chance.choice((0.7, 3.0, 25.0, LEASE + 10, LEASE + 45, 3 * LEASE))
        world.say(f"{self.host} stands still for {seconds:g} s")
        world.troubles[self.host] += 1
        world.busy(world.clock.now + seconds)
        world.loop.pause(self.host, seconds)
        self._set_clock()

    def _set_clock(self) -> None:
        """The clock on the wall is wrong, and set to something else while nobody looks."""
        world = self._world
        if Fault.SKEW in world.swarm.rates:
            world.loop.skew[self.host] = world.chance.uniform(-MOST_SKEW_SECONDS, MOST_SKEW_SECONDS)

    def terminate(self) -> None:
        """SIGTERM; a second one says nothing new."""
        world = self._world
        if self._ending:
            return
        world.say(f"{self.host} is told to end")
        self._ending = True
        self._troubles = -1 if world.loop.is_paused(self.host) else world.troubles[self.host]
        host = self.host
        self._task.cancel()
        world.busy(world.clock.now + END_SECONDS)

        def check() -> None:
            if host == self.host and self._ending and world.loop.lives(host) and self._is_undisturbed():
                world.violated(f"{host} does not end")

        world.loop.after(END_SECONDS, check)

    def _is_undisturbed(self) -> bool:
        return self._troubles == self._world.troubles[self.host]

    def _ended(self, task: asyncio.Task[None]) -> None:
        world, host = self._world, self.host
        world.say(f"{host} has ended")
        world.ended.add(host)
        if not self._ending:
            why = "it was cancelled" if task.cancelled() else repr(task.exception())
            world.violated(f"{host} has ended by itself: {why}")
            return
        if not task.cancelled():
            world.violated(f"{host} ended otherwise than it was told to: {task.exception()!r}")
        held = world.table.held_by(world.owner_of.get(host, ""))
        if held and self._is_undisturbed():
            world.violated(f"{host} has ended and holds {held}")
        self._again()

    def _again(self) -> None:
        world = self._world
        self.host = ""
        seconds = world.chance.choice((0.5, 5.0, 90.0))
        world.busy(world.clock.now + seconds)
        world.loop.after(seconds, self.start)


class Processes:
    """All daemons of a run, and what befalls them.

    Args:
        world: the run's.
        number: how many.
    """

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._all = [Process(world, f"daemon-{each}") for each in range(number)]
        world.befall = self._befall
        world.table.on_change = self._tell
        for fault in PROCESS:
            if fault in world.swarm.rates:
                self._plan(fault, world.swarm.rates[fault])

    def _befall(self, fault: Fault, host: str) -> None:
        for process in self._all:
            if process.host == host and host:
                act: Any = {Fault.CRASH: process.crash, Fault.PAUSE: process.pause, Fault.TERMINATE: process.terminate}
                act[fault]()

    def _tell(self) -> None:
        """A NOTIFY goes out; now and then one is lost."""
        world = self._world
        if Fault.NO_HINTS in world.swarm.rates:
            return
        for process in self._all:
            told = world.listeners.get(process.host)
            if told is not None and world.chance.random() < HINTS_HEARD:
                world.loop.after(world.chance.uniform(0.001, 0.02), told.set)

    def _plan(self, fault: Fault, a_minute: float) -> None:
        """Befall some process in the middle of its steps, soon and again."""
        world = self._world
        seconds = world.chance.expovariate(a_minute / 60 * len(self._all))
        if world.elapsed + seconds > world.swarm.until:
            return

        def strike() -> None:
            process = world.chance.choice(self._all)
            if process.host and world.swarm.most > 0 and not world.loop.is_paused(process.host):
                steps = world.chance.randrange(world.chance.choice((FEW_STEPS, MANY_STEPS)))
                host = process.host
                world.loop.at_step(host, steps, lambda: befall(host))
            self._plan(fault, a_minute)

        def befall(host: str) -> None:
            if world.swarm.most > 0 and world.elapsed <= world.swarm.until:
                world.swarm.strike(fault)
                world.busy()
                self._befall(fault, host)

        world.loop.after(seconds, strike)
