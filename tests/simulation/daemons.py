"""Virtual daemons: they claim, run the real passes step by step, keep leases, crash, and are paused."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeAlias

from reconciler.catalog.work_queue import WorkItem
from reconciler.core.context import ReconcileContext
from reconciler.core.poll_interval import AdaptivePollInterval
from reconciler.core.reconcile import reconcile
from tests.simulation.access import Access
from tests.simulation.faults import Kind
from tests.simulation.rounds import deep_resync, resync
from tests.simulation.steps import Do, Held, Taken
from tests.simulation.tasks import Task
from tests.simulation.world import LEASE, RESYNC, Meeting, World

Round: TypeAlias = Callable[[World, str, Held], Generator[Any, Any, None]]
CONCURRENCY = 4
POLL_SECONDS = 1.0


def _nothing() -> None:
    """What is done is done by the daemon itself."""


class Daemon:
    """One process.

    Attributes:
        epoch: counts its lives; what belongs to an earlier one never runs again.
        tasks: what it is doing.
        pace: what this life has learned of Neon's times.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.epoch = 0
        self._alive = False
        self.tasks: list[Task] = []
        self._buried: list[Task] = []
        self._paused_until = 0.0
        self._poll_at = math.inf
        self.start()

    def start(self) -> None:
        """Begin a life."""
        world = self.world
        self._alive = True
        self.pace = AdaptivePollInterval()
        self.access = Access(lambda: world.clock.now, world.catalog.pin, world.chance)
        self._poll_at = math.inf
        self.poll_soon(0.01)
        self.later(LEASE / 3, self._renew)
        rounds: dict[str, Round] = {"resync": resync, "deep_resync": deep_resync}
        for name, work in rounds.items():
            self.later(1.0 + world.chance.uniform(0, RESYNC * 0.1), partial(self._round, name, work))

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Plan something that this life does."""
        self._at(self.world.clock.now + seconds, act)

    def _at(self, when: float, act: Callable[[], None]) -> None:
        epoch, clock = self.epoch, self.world.clock

        def happen() -> None:
            if self.epoch != epoch:
                return
            if clock.now < self._paused_until:
                clock.at(self._paused_until, happen)
            else:
                act()

        clock.at(when, happen)

    def crash(self) -> None:
        """Fall silent, and start again after a while."""
        self.world.note(self.name, "crashed")
        self._end()

    def stop(self) -> None:
        """Drop what is in flight, give the leases back, and start again after a while."""
        catalog = self.world.catalog
        self.world.note(self.name, "stopped")
        for task in self.tasks:
            if task.claimed is not None:
                catalog.give_back_lease(task.claimed.lease)
            elif task.held is not None and task.held.job is not None:
                catalog.give_back_job(*task.held.job)
        self._end()

    def _end(self) -> None:
        world = self.world
        for task in self.tasks:
            task.over = True
        self._buried += self.tasks
        self.tasks = []
        self.epoch += 1
        self._alive = False
        pause = world.chance.choice((0.5, 5.0, 90.0))
        world.busy(world.clock.now + pause)
        world.clock.after(pause, self.start)

    def pause(self) -> None:
        """Stand still for longer than a lease, or for a moment."""
        world = self.world
        seconds = world.chance.choice((3.0, LEASE + 10, LEASE + 45, 3 * LEASE))
        self._paused_until = world.clock.now + seconds
        world.note(self.name, f"paused for {seconds:g} s")
        world.busy(self._paused_until)

    @property
    def stands_still(self) -> bool:
        """Whether it is paused now."""
        return self.world.clock.now < self._paused_until

    def goes_on(self, met: Meeting) -> bool:
        """Whether the process lives to take a step; it may stand still first."""
        if met.strikes(Kind.CRASH_BEFORE):
            self.crash()
            return False
        if met.strikes(Kind.STOP_BEFORE):
            self.stop()
            return False
        if met.strikes(Kind.PAUSE_BEFORE):
            self.pause()
        return True

    def ended_after(self, met: Meeting) -> bool:
        """Whether the process ends when a step has taken effect; a pause is no end."""
        if met.strikes(Kind.CRASH_AFTER):
            self.crash()
            return True
        if met.strikes(Kind.STOP_AFTER):
            self.stop()
            return True
        if met.strikes(Kind.PAUSE_AFTER):
            self.pause()
        return False

    # Work

    def poll_soon(self, seconds: float) -> None:
        """Look for work then, unless that is planned earlier."""
        when = self.world.clock.now + seconds
        if self._alive and when < self._poll_at:
            self._poll_at = when
            self._at(when, lambda: self._poll(when))

    def _poll(self, planned: float) -> None:
        if planned != self._poll_at:
            return
        self._poll_at = math.inf
        room = CONCURRENCY - sum(task.claimed is not None for task in self.tasks)
        due = self.world.catalog.next_due()
        if room and due <= self.world.clock.now:
            if not self._claim(room):
                return
            due = self.world.catalog.next_due()
        if due != math.inf:
            self.poll_soon(max(0.01, due - self.world.clock.now) if room else POLL_SECONDS)

    def _claim(self, room: int) -> bool:
        """Take what is due; False where the process does not go on as planned."""
        met = self._meet("claim")
        if not self.goes_on(met):
            return False
        if self.stands_still:
            self.poll_soon(0.0)
            return False
        met.taken.asked = met.taken.completed = True
        if met.strikes(Kind.CATALOG_REFUSED):
            self.poll_soon(POLL_SECONDS)
            return False
        claims = self.world.catalog.claim(room)
        for claimed in claims:
            self.world.holders[claimed.lease.app_id] = claimed.lease.token
        if met.strikes(Kind.CATALOG_LOST):
            self.poll_soon(POLL_SECONDS)
            return False
        if self.ended_after(met):
            return False
        for claimed in claims:
            steps = reconcile(self._snapshot(claimed))
            self._begin(Task(self, f"{self.name}/{claimed.lease.token}", steps, claimed=claimed))
        return True

    def _meet(self, name: str) -> Meeting:
        """A statement that belongs to no pass."""
        return self.world.next_claim(self.name, Taken(Do(name, _nothing), "worker", of_a_pass=True))

    def _snapshot(self, claimed: WorkItem) -> ReconcileContext:
        chance = self.world.chance
        return ReconcileContext(
            app=claimed.app,
            control_plane=self.world.plane,
            now=claimed.at,
            attempts=claimed.attempts,
            jitter=chance.random(),
            nonce=chance.randbytes(16).hex(),
            intents=claimed.intents,
            confirmed_missing=claimed.confirmed_missing,
            duplicate_ids=claimed.duplicate_ids,
            poll_interval=self.pace,
        )

    def _begin(self, task: Task) -> None:
        self.tasks.append(task)
        self.later(self.world.chance.uniform(0.0, 0.01), task.begin)

    def _renew(self) -> None:
        self.later(LEASE / 3, self._renew)
        if not self.tasks:
            return
        met = self._meet("renew")
        if not self.goes_on(met):
            return
        met.taken.asked = met.taken.completed = True
        if met.strikes(Kind.CATALOG_REFUSED):
            return
        lost = met.strikes(Kind.CATALOG_LOST)
        for task in list(self.tasks):
            if task.claimed is not None:
                if not self.world.catalog.renew(task.claimed.lease) and not lost:
                    task.cancel()
            elif task.held is not None and task.held.job is not None:
                self.world.catalog.renew_job(*task.held.job)
        self.ended_after(met)

    def _round(self, name: str, work: Round) -> None:
        whole = f"{self.name}/{name}"
        if not any(task.name == whole for task in self.tasks):
            held = Held()
            self._begin(Task(self, whole, work(self.world, whole, held), held=held))
        self.later(RESYNC * self.world.chance.uniform(0.9, 1.1), lambda: self._round(name, work))
