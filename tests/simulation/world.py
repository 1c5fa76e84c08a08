"""Everything that one simulated run has in common."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.catalog.work_queue import Lease
from reconciler.core.context import ControlPlane
from reconciler.runtime.handlers.catalog import MUTATION_WINDOW_SECONDS
from specs.app import DesiredApp
from specs.names import app_id_from_bytes
from specs.settings import SEND_MARGIN_SECONDS
from tests.simulation.clock import START, Clock
from tests.simulation.faults import Kind, Plan
from tests.simulation.fleet import FleetCatalog
from tests.simulation.neon import PLANE_ID, SimulatedNeon
from tests.simulation.steps import Taken, Violation

LEASE = 60.0
SETTLE = 30.0
TIMEOUT = 20.0
RESYNC = 300.0
CHANGE_WITHIN = min(MUTATION_WINDOW_SECONDS, LEASE - TIMEOUT - SEND_MARGIN_SECONDS)


@dataclass(slots=True)
class Meeting:
    """A step and the fault that it meets, if any."""

    world: World
    taken: Taken
    number: int
    kind: Kind | None

    def strikes(self, *kinds: Kind) -> bool:
        """Whether the fault is one of these; it takes effect now if it is."""
        if self.kind is None or self.kind not in kinds:
            return False
        self.world.struck.append((self.number, self.kind))
        return True

    def takes_back(self) -> None:
        """The fault met nothing that it could strike."""
        self.world.struck.pop()


@dataclass
class World:
    """Clock, catalog, Neon, chance and the record of what happened.

    Attributes:
        active_until: after this moment no fault is under way.
        beyond: apps for which a create was delivered after its settle time.
        holders: the latest lease on each app, as granted, whatever the catalog believes.
        waiting: what happens once something is true: condition and act.
        struck: the faults that took effect: the number of the step, and the kind.
        skew: seconds that Neon's clock is ahead of the catalog's.
        acts: how often a person has done something.
        duplicated: apps for which a create was delivered twice.
    """

    seed: int
    plan: Plan
    skew: float = 0.0
    clock: Clock = field(default_factory=Clock)
    active_until: float = START
    beyond: set[str] = field(default_factory=set)
    holders: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[Callable[[], bool], Callable[[], None]]] = field(default_factory=list)
    struck: list[tuple[int, Kind]] = field(default_factory=list)
    duplicated: set[str] = field(default_factory=set)
    trace: list[tuple[float, str, int, str]] = field(default_factory=list)
    steps: list[Taken] = field(default_factory=list)
    claims: list[Taken] = field(default_factory=list)
    mutations: int = 0
    acts: int = 0
    in_flight: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/schedule")
        self.misfortune = random.Random(f"{self.seed}/faults")
        self.catalog = FleetCatalog(self.clock, LEASE)
        self.catalog.on_write = self._check_holder
        self.neon = SimulatedNeon(self.clock, self.seed, self.skew)
        self.plane = ControlPlane(PLANE_ID, "catalog-1", SETTLE, (".neon.tech",))

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock.now - START

    def note(self, who: str, text: str, number: int = 0) -> None:
        """Add a line to the trace."""
        self.trace.append((self.elapsed, who, number, text))

    def trace_hash(self) -> str:
        """The same for the same run."""
        return hashlib.sha256(repr(self.trace).encode()).hexdigest()[:16]

    def busy(self, until: float | None = None) -> None:
        """A fault is, or will be, under way."""
        self.active_until = max(self.active_until, self.clock.now if until is None else until)

    def next_step(self, who: str, taken: Taken) -> Meeting:
        """Count a step, and say which fault it meets."""
        self.steps.append(taken)
        return self._meet(who, taken, len(self.steps) - 1)

    def next_claim(self, who: str, taken: Taken) -> Meeting:
        """Count a claim or a renewal, which belongs to no pass; their numbers are negative, from -1 on."""
        self.claims.append(taken)
        return self._meet(who, taken, -len(self.claims))

    def taken(self, number: int) -> Taken:
        """The step, or the claim, of a number."""
        return self.steps[number] if number >= 0 else self.claims[-number - 1]

    def _meet(self, who: str, taken: Taken, number: int) -> Meeting:
        taken.place = len(self.trace)
        kind = self.plan.pick(number, taken.step, self.elapsed, self.misfortune)
        self.note(who, f"{taken.name}{'' if kind is None else ' !' + kind}", number)
        if kind is not None:
            self.busy()
        return Meeting(self, taken, number, kind)

    def new_app(self, name: str) -> str:
        """A client's POST."""
        app_id = app_id_from_bytes(self.chance.randbytes(15))
        desired = DesiredApp(app_name=name, region="aws-us-east-1", pg_version=17)
        self.catalog.create_app(app_id, "owner-1", desired)
        self.note("client", f"POST {app_id}")
        self.busy()
        return app_id

    def once(self, condition: Callable[[], bool], act: Callable[[], None]) -> None:
        """Act when something has become true."""
        self.waiting.append((condition, act))

    def settle_waiting(self) -> None:
        """Let happen what waited for this."""
        due = [pair for pair in self.waiting if pair[0]()]
        for pair in due:
            self.waiting.remove(pair)
            self.busy()
            pair[1]()

    def _check_holder(self, lease: Lease) -> None:
        if self.holders.get(lease.app_id) != lease.token:
            raise Violation(f"a stale writer changed {lease.app_id}")
