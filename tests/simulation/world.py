"""Everything that one simulated run has in common."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.catalog.work import Lease
from reconciler.core.snapshot import Plane
from specs.app import DesiredApp
from specs.names import app_id_from_bytes
from specs.settings import SEND_MARGIN_SECONDS
from tests.simulation.clock import START, Clock
from tests.simulation.faults import Kind, Plan
from tests.simulation.fleet import FleetCatalog
from tests.simulation.neon import PLANE_ID, SimulatedNeon
from tests.simulation.steps import Step, Violation

LEASE = 60.0
SETTLE = 30.0
TIMEOUT = 20.0
RESYNC = 300.0
SEND_WITHIN = LEASE - TIMEOUT - SEND_MARGIN_SECONDS


@dataclass
class World:
    """Clock, catalog, Neon, chance and the record of what happened.

    Attributes:
        active_until: after this moment no fault is under way.
        beyond: apps for which a create was delivered after its settle time.
        holders: the latest lease on each app, as granted, whatever the catalog believes.
        waiting: what happens once something is true: condition and act.
        fired: how often each kind of fault has struck.
        acts: how often a person has done something.
        step_owners: of each step, whether a pass took it and not a periodic round.
    """

    seed: int
    plan: Plan
    clock: Clock = field(default_factory=Clock)
    active_until: float = START
    beyond: set[str] = field(default_factory=set)
    holders: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[Callable[[], bool], Callable[[], None]]] = field(default_factory=list)
    fired: Counter[Kind] = field(default_factory=Counter)
    trace: list[tuple[float, str, int, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    step_owners: list[bool] = field(default_factory=list)
    mutations: int = 0
    acts: int = 0
    in_flight: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/schedule")
        self.misfortune = random.Random(f"{self.seed}/faults")
        self.catalog = FleetCatalog(self.clock, LEASE)
        self.catalog.on_write = self._check_holder
        self.neon = SimulatedNeon(self.clock, self.seed)
        self.plane = Plane(PLANE_ID, "catalog-1", SETTLE, (".neon.tech",))

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

    def next_step(self, who: str, step: Step, *, of_a_pass: bool) -> Kind | None:
        """Count a step, and say which fault it meets."""
        self.steps.append(step)
        self.step_owners.append(of_a_pass)
        number = len(self.steps) - 1
        kind = self.plan.pick(number, step, self.elapsed, self.misfortune)
        self.note(who, f"{type(step).__name__}{'' if kind is None else ' !' + kind}", number)
        if kind is not None:
            self.fired[kind] += 1
            self.busy()
        return kind

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
