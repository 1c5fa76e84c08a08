"""What can go wrong, one kind at a time, and when it does."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core import effects as e
from tests.simulation.steps import ListAll, Step


class Kind(StrEnum):
    """A kind of fault at one step."""

    # The process. A crash is silence: nothing of it ever runs again. A stop gives the leases back.
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"
    PAUSE_BEFORE = "pause-before"
    PAUSE_AFTER = "pause-after"
    STOP_BEFORE = "stop-before"
    STOP_AFTER = "stop-after"
    # A request to Neon.
    NOT_SENT = "not-sent"
    LOST_BEFORE = "lost-before"
    LOST_AFTER = "lost-after"
    # A success that took effect, and cannot be read, or has words that nobody has heard of.
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    OTHER_SHAPE = "other-shape"
    NEW_WORDS = "new-words"
    # A refusal, or an answer of something in between.
    REDIRECTED = "302"
    REFUSED = "400"
    FORBIDDEN = "403"
    ABSENT = "404"
    CONFLICT = "409"
    INVALID = "422"
    LOCKED = "423"
    RATE_LIMITED = "429"
    RATE_LIMITED_BARE = "429-bare"
    RATE_LIMITED_ODD = "429-odd"
    ERROR = "500"
    ERROR_AFTER = "500-after"
    GATEWAY = "502"
    GATEWAY_AFTER = "502-after"
    UNAVAILABLE = "503"
    # A change that arrives after the client gave up: within the settle time, or far beyond it; or arrives twice.
    LATE = "late"
    BEYOND = "beyond-settle"
    DUPLICATED = "duplicated"
    # What Neon does about a change: an operation that fails at first, and one that runs for long.
    OPERATION_FAILS = "operation-fails"
    OPERATION_STUCK = "operation-stuck"
    # From now on and for a while.
    UNAUTHORIZED = "401-for-a-while"
    STALE = "stale-lists"
    PARTIAL = "partial-lists"
    # The app's database does not answer; no key opens the sealed URI.
    UNREACHABLE = "unreachable"
    UNOPENED = "unopened"
    # A statement of the catalog.
    CATALOG_REFUSED = "catalog-refused"
    CATALOG_LOST = "catalog-lost"


PROCESS = (
    Kind.CRASH_BEFORE,
    Kind.CRASH_AFTER,
    Kind.PAUSE_BEFORE,
    Kind.PAUSE_AFTER,
    Kind.STOP_BEFORE,
    Kind.STOP_AFTER,
)
BEFORE = (Kind.CRASH_BEFORE, Kind.PAUSE_BEFORE, Kind.STOP_BEFORE)
CRASHES = (Kind.CRASH_BEFORE, Kind.CRASH_AFTER)
UNREAD: Mapping[Kind, bytes] = {
    Kind.UNREADABLE: b"<!doctype html><html>",
    Kind.TRUNCATED: b'{"project": {"id": "aged-',
    Kind.OTHER_SHAPE: b'{"project": 1, "projects": {}, "branches": null, "endpoints": "", "operations": 2}',
}
"""A success whose body says nothing."""

ANSWERS: Mapping[Kind, tuple[int, bool]] = {
    Kind.REDIRECTED: (302, False),
    Kind.REFUSED: (400, False),
    Kind.FORBIDDEN: (403, False),
    Kind.ABSENT: (404, False),
    Kind.CONFLICT: (409, False),
    Kind.INVALID: (422, False),
    Kind.LOCKED: (423, False),
    Kind.RATE_LIMITED: (429, False),
    Kind.RATE_LIMITED_BARE: (429, False),
    Kind.RATE_LIMITED_ODD: (429, False),
    Kind.ERROR: (500, False),
    Kind.ERROR_AFTER: (500, True),
    Kind.GATEWAY: (502, False),
    Kind.GATEWAY_AFTER: (502, True),
    Kind.UNAVAILABLE: (503, False),
}
"""Status, and whether the request took effect all the same."""

RETRY_AFTER: Mapping[Kind, str] = {Kind.RATE_LIMITED: "3", Kind.UNAVAILABLE: "3", Kind.RATE_LIMITED_ODD: "-7"}
REQUEST = (Kind.NOT_SENT, Kind.LOST_BEFORE, Kind.LOST_AFTER, *UNREAD, Kind.NEW_WORDS, *ANSWERS, Kind.UNAUTHORIZED)
OPERATION = (Kind.OPERATION_FAILS, Kind.OPERATION_STUCK)
OF_SUCCESS = frozenset({*UNREAD, *OPERATION, Kind.DUPLICATED})
LATENESS = (Kind.LATE, Kind.BEYOND)
LISTS = (Kind.STALE, Kind.PARTIAL)
CATALOG = (Kind.CATALOG_REFUSED, Kind.CATALOG_LOST)

LOOKS = (e.Read, e.ListProjects, e.ListBranches, e.VerifyAccess, ListAll)


def applicable(step: Step | type[Step]) -> tuple[Kind, ...]:
    """The kinds of fault that a step, or any step of a class, can meet."""
    of = step if isinstance(step, type) else type(step)
    if issubclass(of, ListAll | e.ListProjects):
        return PROCESS + REQUEST + LISTS
    if issubclass(of, LOOKS):
        return PROCESS + REQUEST
    if issubclass(of, e.ProbeDatabase):
        return (*PROCESS, Kind.UNREACHABLE)
    if issubclass(of, e.DecryptCredentials):
        return (*PROCESS, Kind.UNOPENED)
    if not issubclass(of, e.Mutate):
        return PROCESS + CATALOG
    if issubclass(of, e.RecoverProject):
        # Beyond the settle time nothing tells it from a person's doing, and that is held.
        return (*PROCESS, *REQUEST, *OPERATION, Kind.DUPLICATED, Kind.LATE)
    if issubclass(of, e.UpdateProject | e.UnprotectBranch):
        # Neither starts an operation.
        return (*PROCESS, *REQUEST, Kind.DUPLICATED, *LATENESS)
    return (*PROCESS, *REQUEST, *OPERATION, Kind.DUPLICATED, *LATENESS)


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
        drawn = chance.random()
        for kind in applicable(step):
            drawn -= self.rates.get(kind, 0.0)
            if drawn < 0:
                self.most -= 1
                return kind
        return None


def random_plan(chance: random.Random) -> Plan:
    """A swarm: a random part of all kinds, each at a random rate."""
    kinds = [kind for kind in Kind if chance.random() < 0.3]
    rates = {kind: chance.choice((0.01, 0.03, 0.08)) for kind in kinds}
    return Plan(rates=rates, until=chance.uniform(30, 300), most=chance.randint(1, 12))
