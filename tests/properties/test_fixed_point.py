"""Passes over apps, by hand and one at a time: how often and in which order they come makes no difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.reconcile import reconcile
from specs.status import AppStatus
from tests.simulation import people
from tests.simulation.daemons import Daemon
from tests.simulation.faults import Plan
from tests.simulation.invariants import Watch
from tests.simulation.people import App
from tests.simulation.run import differs
from tests.simulation.tasks import Task
from tests.simulation.world import World

FATES: tuple[people.Act | None, ...] = (
    None,
    people.rename,
    people.resize,
    people.delete_endpoint,
    people.rename_branch,
    people.delete_app,
)
PASSES = st.lists(st.integers(0, 2), max_size=30)


class Hand(Daemon):
    """A daemon that does nothing by itself."""

    def start(self) -> None:
        """Wait to be told."""
        super().start()
        self._alive = False
        self.epoch += 1

    def work_on(self, app_id: str, watch: Watch) -> None:
        """One pass over one app, due or not."""
        work, clock = self.world.catalog.work[app_id], self.world.clock
        others = {each: row.due_at for each, row in self.world.catalog.work.items() if each != app_id}
        clock.now = max(clock.now, clock.now if work.due_at == math.inf else work.due_at)
        for each in others:
            self.world.catalog.work[each].due_at = math.inf
        work.due_at = clock.now
        claimed = self.world.catalog.claim(1)[0]
        for each, due_at in others.items():
            self.world.catalog.work[each].due_at = due_at
        self.world.holders[app_id] = claimed.lease.token
        self._begin(Task(self, "by hand", reconcile(self._snapshot(claimed)), claimed=claimed))
        while self.tasks:
            clock.step()
            watch.look()


class Plane:
    """Three apps and a hand."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed, Plan())
        self.apps = [App(self.world, self.world.new_app(f"shop {number}")) for number in range(3)]
        self.hand = Hand(self.world, "hand")
        self.watch = Watch(self.world)

    def passes(self, order: list[int]) -> None:
        """Some passes."""
        for number in order:
            self.hand.work_on(self.apps[number].app_id, self.watch)

    def settle(self) -> None:
        """Passes over each app in turn, until none is due."""
        for _ in range(60):
            due = [n for n, app in enumerate(self.apps) if self.world.catalog.work[app.app_id].due_at < math.inf]
            if not due:
                return
            self.passes(due)
        raise AssertionError("it does not settle")

    def state(self) -> list[tuple[object, ...]]:
        """What matters of each app, without ids and times."""
        return [
            (
                app.row.status,
                [(each.type, each.status, each.reason) for each in app.row.conditions],
                app.row.can_expose_uri,
                [intent.state for intent in self.world.catalog.intents[app.app_id]],
                self.world.neon.living(app.row.project_id) is not None,
                differs(app),
            )
            for app in self.apps
        ]

    def written(self) -> tuple[int, ...]:
        """Counts of what was said, changed and sent."""
        return (self.world.catalog.told, self.world.neon.version, self.world.mutations)


def _lived(seed: int, fates: list[people.Act | None], before: list[int], after: list[int]) -> Plane:
    plane = Plane(seed)
    plane.passes(before)
    plane.settle()
    for app, fate in zip(plane.apps, fates, strict=True):
        if fate is not None:
            until_done(plane, partial(fate, app))
            plane.world.catalog.wake([app.app_id])
    plane.passes(after)
    plane.settle()
    return plane


def until_done(plane: Plane, act: Callable[[], bool]) -> None:
    """People try again while Neon is busy."""
    while not act():
        plane.world.clock.now += 1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.tuples(*[st.sampled_from(FATES)] * 3), PASSES, PASSES)
def test_order_and_repetition_of_passes_make_no_difference(
    seed: int, fates: tuple[people.Act | None, ...], before: list[int], after: list[int]
) -> None:
    """The end is that of the shortest way, with exactly one create for each app."""
    plane = _lived(seed, list(fates), before, after)
    assert plane.state() == _lived(0, list(fates), [], []).state()
    assert [method for method, path in plane.world.neon.applied if path == "/projects"] == ["POST"] * 3
    for app in plane.apps:
        assert differs(app) is None


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.sampled_from(FATES)] * 3), st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_a_pass_over_the_fixed_point_changes_nothing(fates: tuple[people.Act | None, ...], again: list[int]) -> None:
    """Reconcile twice is reconcile once: nothing is sent, nothing is written."""
    plane = _lived(1, list(fates), [], [])
    before = plane.written()
    plane.passes(again)
    assert plane.written() == before
    assert all(app.row.status in {AppStatus.READY, AppStatus.DELETED} for app in plane.apps)
