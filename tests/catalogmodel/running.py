"""Runs of the machine, and what they met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.catalogmodel.pair import LEASE, WORKERS, Pair, paired
from tests.catalogmodel.passes import BOTH, Passes
from tests.catalogmodel.people import NAMES, OWNERS, People
from tests.catalogmodel.plane import ThePlane
from tests.catalogmodel.tour import Guided
from tests.postgres import TestServer
from tests.statements import statements
from tests.stillclock import still_clock

FILES = ("apps", "work_queue", "status_store", "control_plane_store", "rate_limit")
# By name, why a statement of these files need not run here.
_MANY_KEYS = "a thousand keys are too many for a run; tests/integration/test_owner_limits.py has them"
EXEMPT: Mapping[str, str] = {
    "apps.lock_owner": _MANY_KEYS,
    "apps.count_keys": _MANY_KEYS,
    "control_plane_store.job_finished_at": "read by the watch of the resync alone, which no simulation has",
    "control_plane_store.set_control_plane_id": "a daemon's first opening, which the pair does not have",
}
# What must have happened at least once for a run to have shown anything, by operation.
WANTED: Mapping[str, tuple[str, ...]] = {
    "create": ("answered", "IdempotencyKeyReused", "NameTaken", "LimitReached", "CreateLimitReached"),
    "permit": ("answered", "LeaseLost", "MutationsSuspended"),
    "open_intent": ("answered", "LeaseLost", "MutationsSuspended"),
    "settle_intent": ("answered", "LeaseLost"),
    "record": ("answered", "LeaseLost"),
    "record_project": ("answered", "LeaseLost", "recorded twice"),
    "record_credentials": ("answered", "LeaseLost"),
    "drop_surplus": ("answered", "LeaseLost"),
    "bury": ("buried",),
    "expire_keys": ("expired",),
}

_WAY = ("asked", "claimed", "creating", "recorded", "deleted", "buried")


@dataclass(frozen=True)
class Seen:
    """What a run met.

    Attributes:
        ran: how often each statement ran.
        met: how often each operation had which end.
    """

    ran: Counter[str]
    met: Counter[tuple[str, str]]

    def unmet(self) -> list[str]:
        """Statements that never ran, and ends that no operation had."""
        silent = [each for each in statements(*FILES) if not self.ran[each] and each not in EXEMPT]
        wanted = [(name, end) for name, ends in WANTED.items() for end in ends]
        return silent + [f"{name}: {end}" for name, end in wanted if not self.met[name, end]]


def machine_of(pair: Pair) -> type[People]:
    """The machine over this pair."""

    class Machine(People, Passes, ThePlane):
        """All rules together, from a few apps on that have come so far."""

        @initialize(asked=st.lists(st.tuples(OWNERS, NAMES), max_size=3), so_far=st.sampled_from(_WAY))
        def begin(self, asked: list[tuple[str, str]], so_far: str) -> None:
            """Apps that were asked for, and then all that comes before a point of their way."""
            for owner, name in asked:
                self.ask(owner=owner, name=name, version=17, key=None, most=9)
            done = _WAY[: _WAY.index(so_far) + 1]
            if "claimed" in done:
                self.claim(worker=WORKERS[0], limit=3)
            for which in range(len(self.handles)):
                if "creating" in done:
                    self.open_intent(which=which, again=None)
                if "recorded" in done:
                    self.record_project(which=which, project=f"project-{which}", held=BOTH, seq=0)
                if "deleted" in done:
                    self.delete(which=which, owner=self.handles[-1 - which].real.app.owner_id)
                    self.record_deleted(which=which, ends=30.0)
            if "recorded" in done:
                for worker in WORKERS:
                    self.pass_time(LEASE)
                    self.claim(worker=worker, limit=3)
            if "buried" in done:
                self.bury()

    Machine.pair = pair
    return Machine


def tour(pair: Pair) -> None:
    """The one run by hand. Raises AssertionError where the catalog and its twin differ."""
    Guided.pair = pair
    Guided().follow()


def run(server: TestServer, *, examples: int, steps: int, number: int | None = None) -> Seen:
    """The tour, and so many runs of so many steps by chance; without a number always the same ones.

    Raises:
        AssertionError: the catalog and its twin differ; the shortest run that shows it is printed.
    """
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=number is None,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with still_clock(server) as clock, paired(clock) as pair:
        tour(pair)
        machine = machine_of(pair)
        run_state_machine_as_test(machine if number is None else seed(number)(machine), settings=chosen)
        return Seen(pair.ran, pair.met)
