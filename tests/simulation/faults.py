"""What can go wrong, one kind at a time, and when it does."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core import effects as e
from tests.simulation.steps import Do, ListAll, Release, Step


class Kind(StrEnum):
    """A kind of fault at one step."""

    # The process. A crash is silence: nothing of it ever runs again.
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"
    PAUSE_BEFORE = "pause-before"
    PAUSE_AFTER = "pause-after"
    # A request to Neon.
    NOT_SENT = "not-sent"
    LOST_BEFORE = "lost-before"
    LOST_AFTER = "lost-after"
    UNREADABLE = "unreadable"
    LOCKED = "423"
    RATE_LIMITED = "429"
    UNAVAILABLE = "503"
    ERROR = "500"
    ERROR_AFTER = "500-after"
    GATEWAY = "502"
    GATEWAY_AFTER = "502-after"
    # A change that arrives after the client gave up: within the settle time, or far beyond it.
    LATE = "late"
    BEYOND = "beyond-settle"
    # From now on and for a while.
    UNAUTHORIZED = "401-for-a-while"
    STALE = "stale-lists"
    PARTIAL = "partial-lists"
    # A statement of the catalog.
    CATALOG_REFUSED = "catalog-refused"
    CATALOG_LOST = "catalog-lost"


PROCESS = (Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.PAUSE_BEFORE, Kind.PAUSE_AFTER)
ANSWERS: Mapping[Kind, tuple[int, bool]] = {
    Kind.LOCKED: (423, False),
    Kind.RATE_LIMITED: (429, False),
    Kind.UNAVAILABLE: (503, False),
    Kind.ERROR: (500, False),
    Kind.ERROR_AFTER: (500, True),
    Kind.GATEWAY: (502, False),
    Kind.GATEWAY_AFTER: (502, True),
}
"""Status, and whether the request took effect all the same."""
REQUEST = (Kind.NOT_SENT, Kind.LOST_BEFORE, Kind.LOST_AFTER, Kind.UNREADABLE, *ANSWERS, Kind.UNAUTHORIZED)
LATENESS = (Kind.LATE, Kind.BEYOND)
LISTS = (Kind.STALE, Kind.PARTIAL)
CATALOG = (Kind.CATALOG_REFUSED, Kind.CATALOG_LOST)

_LOOKS = (
    e.ListProjects,
    e.GetProject,
    e.ListBranches,
    e.ListEndpoints,
    e.ListOperations,
    e.GetConnectionURI,
    e.ConfirmAccess,
    ListAll,
)
_LOCAL = (e.OpenSeal, e.ProbeDatabase)


def applicable(step: Step) -> tuple[Kind, ...]:
    """The kinds of fault that one step can meet."""
    if isinstance(step, ListAll | e.ListProjects):
        return PROCESS + REQUEST + LISTS
    if isinstance(step, _LOOKS):
        return PROCESS + REQUEST
    if isinstance(step, _LOCAL):
        return PROCESS
    if isinstance(step, Do | Release) or not step.mutates:
        return PROCESS + CATALOG
    if isinstance(step, e.RecoverProject):
        # Beyond the settle time nothing tells it from a person's doing, and that is held.
        return (*PROCESS, *REQUEST, Kind.LATE)
    return PROCESS + REQUEST + LATENESS


@dataclass
class Plan:
    """Which step meets which fault.

    Attributes:
        at: by the number of the step.
        first: by the class of the step, the first time that one is met.
        rates: by chance, how often.
        until: seconds from the start after which chance brings no more faults.
        most: how many faults chance may bring.
    """

    at: dict[int, Kind] = field(default_factory=dict)
    first: dict[type, Kind] = field(default_factory=dict)
    rates: dict[Kind, float] = field(default_factory=dict)
    until: float = 0.0
    most: int = 0

    def pick(self, number: int, step: Step, elapsed: float, chance: random.Random) -> Kind | None:
        """The fault that this step meets, or None."""
        if number in self.at:
            return self.at[number]
        scripted = self.first.pop(type(step), None)
        if scripted is not None:
            return scripted
        if not self.rates or elapsed > self.until or self.most <= 0:
            return None
        possible = [kind for kind in applicable(step) if kind in self.rates]
        drawn = chance.random()
        for kind in possible:
            drawn -= self.rates[kind]
            if drawn < 0:
                self.most -= 1
                return kind
        return None


def random_plan(chance: random.Random) -> Plan:
    """A swarm: a random part of all kinds, each at a random rate."""
    kinds = [kind for kind in Kind if chance.random() < 0.4]
    rates = {kind: chance.choice((0.01, 0.03, 0.08)) for kind in kinds}
    return Plan(rates=rates, until=chance.uniform(30, 700), most=chance.randint(1, 12))
