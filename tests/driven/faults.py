"""What can go wrong around a real daemon, and how often in one run."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


class Fault(StrEnum):
    """A kind of fault."""

    # A process, at any step of its loop.
    CRASH = "crash"
    PAUSE = "pause"
    TERMINATE = "terminate"
    # The same, at the moment when a request of it arrives, or a statement takes effect.
    CRASH_ON_ARRIVAL = "crash-on-arrival"
    PAUSE_ON_ARRIVAL = "pause-on-arrival"
    TERMINATE_ON_ARRIVAL = "terminate-on-arrival"
    CRASH_ON_STATEMENT = "crash-on-statement"
    PAUSE_ON_STATEMENT = "pause-on-statement"
    # A request that Neon never carries out, or carries out without a word.
    REFUSED = "connection-refused"
    NO_CONNECTION = "connect-timeout"
    RESET_BEFORE = "reset-before"
    RESET_AFTER = "reset-after"
    SILENT_BEFORE = "silent-before"
    SILENT_AFTER = "silent-after"
    SLOW = "slow-answer"
    # An answer that is none.
    HTML = "html"
    TRUNCATED = "truncated-json"
    CUT = "cut-body"
    NEW_WORDS = "new-words"
    FIELD_MISSING = "field-missing"
    # A refusal; where it says so, of what was done all the same.
    S401 = "401-for-a-while"
    S403 = "403"
    S404 = "404"
    S423 = "423"
    S429 = "429"
    S429_SECONDS = "429-retry-after"
    S429_DATE = "429-retry-after-date"
    S500 = "500"
    S500_AFTER = "500-after"
    S502 = "502"
    S502_AFTER = "502-after"
    S503 = "503"
    # A change that arrives when nobody waits for it any more, or twice.
    LATE = "late"
    BEYOND = "beyond-settle"
    TWICE = "twice"
    # From now on and for a while.
    STALE = "stale-lists"
    PARTIAL = "partial-lists"
    # A statement of the catalog.
    CATALOG_REFUSED = "catalog-refused"
    CATALOG_LOST = "catalog-lost"
    CATALOG_SLOW = "catalog-slow"
    CATALOG_AWAY = "catalog-away-for-a-while"
    # For all of a run.
    SKEW = "skew"
    NO_HINTS = "no-hints"
    NARROW = "narrow-budget"


PROCESS = (Fault.CRASH, Fault.PAUSE, Fault.TERMINATE)
BEFALLS = {
    Fault.CRASH_ON_ARRIVAL: Fault.CRASH,
    Fault.PAUSE_ON_ARRIVAL: Fault.PAUSE,
    Fault.TERMINATE_ON_ARRIVAL: Fault.TERMINATE,
    Fault.CRASH_ON_STATEMENT: Fault.CRASH,
    Fault.PAUSE_ON_STATEMENT: Fault.PAUSE,
}
"""What befalls the process of a request or statement."""
WHOLE_RUN = (Fault.SKEW, Fault.NO_HINTS, Fault.NARROW)
STATEMENT = (
    Fault.CATALOG_REFUSED,
    Fault.CATALOG_LOST,
    Fault.CATALOG_SLOW,
    Fault.CATALOG_AWAY,
    Fault.CRASH_ON_STATEMENT,
    Fault.PAUSE_ON_STATEMENT,
)
LISTS = (Fault.STALE, Fault.PARTIAL)
CHANGES = (Fault.LATE, Fault.BEYOND, Fault.TWICE)
REQUEST = tuple(fault for fault in Fault if fault not in {*PROCESS, *WHOLE_RUN, *STATEMENT, *LISTS, *CHANGES})
STATUSES = {
    Fault.S403: 403,
    Fault.S404: 404,
    Fault.S423: 423,
    Fault.S429: 429,
    Fault.S429_SECONDS: 429,
    Fault.S429_DATE: 429,
    Fault.S500: 500,
    Fault.S500_AFTER: 500,
    Fault.S502: 502,
    Fault.S502_AFTER: 502,
    Fault.S503: 503,
}
WITHOUT_EFFECT = frozenset({*STATUSES, Fault.RESET_BEFORE, Fault.SILENT_BEFORE}) - {Fault.S500_AFTER, Fault.S502_AFTER}
"""Faults of a request that Neon does not carry out."""


@dataclass
class Swarm:
    """The faults of one run: a part of all kinds, each at its rate.

    Attributes:
        chance: which brings them.
        rates: how likely a request or statement meets a kind, or how often a minute it befalls a process.
        until: seconds from the start after which chance brings no more.
        most: how many it may bring.
        fired: how often each kind has struck.
    """

    chance: random.Random
    rates: dict[Fault, float] = field(default_factory=dict)
    until: float = 0.0
    most: int = 0
    fired: Counter[Fault] = field(default_factory=Counter)

    def pick(self, rates: tuple[tuple[Fault, float], ...], elapsed: float) -> Fault | None:
        """The fault that something meets, or None."""
        if not rates or elapsed > self.until or self.most <= 0:
            return None
        drawn = self.chance.random()
        for fault, rate in rates:
            drawn -= rate
            if drawn < 0:
                self.strike(fault)
                return fault
        return None

    def strike(self, fault: Fault) -> None:
        """Count a fault that happens."""
        self.most -= 1
        self.fired[fault] += 1

    @cached_property
    def of_reads(self) -> tuple[tuple[Fault, float], ...]:
        """What a request that changes nothing can meet."""
        return self._of(REQUEST)

    @cached_property
    def of_lists(self) -> tuple[tuple[Fault, float], ...]:
        """What a list of projects can meet."""
        return self._of(LISTS + REQUEST)

    @cached_property
    def of_changes(self) -> tuple[tuple[Fault, float], ...]:
        """What a change can meet."""
        return self._of(CHANGES + REQUEST)

    @cached_property
    def of_recoveries(self) -> tuple[tuple[Fault, float], ...]:
        """Beyond the settle time nothing tells a recovery from a person's doing, and that is held."""
        return self._of((Fault.LATE, *REQUEST))

    @cached_property
    def of_statements(self) -> tuple[tuple[Fault, float], ...]:
        """What a statement of the catalog can meet."""
        return self._of(STATEMENT)

    def _of(self, kinds: tuple[Fault, ...]) -> tuple[tuple[Fault, float], ...]:
        return tuple((kind, self.rates[kind]) for kind in kinds if kind in self.rates)


def swarm(seed: int, only: Collection[Fault] | None = None) -> Swarm:
    """The faults of a run by its seed; a few runs meet none, and what is not in ``only`` is left out."""
    chance = random.Random(f"{seed}/swarm")
    if chance.random() < 0.02:
        return Swarm(chance)
    often = chance.choice((0.15, 0.3, 0.5))
    kinds = [fault for fault in Fault if chance.random() < often]
    rates = {kind: chance.choice(_rates(kind)) for kind in kinds}
    rates[chance.choice((*REQUEST, *CHANGES))] = 0.5
    most = chance.randint(1, 16)
    return made_of({kind: rate for kind, rate in rates.items() if only is None or kind in only}, chance, most)


def made_of(rates: dict[Fault, float], chance: random.Random, most: int) -> Swarm:
    """The faults of a run from how often each strikes, and how many there may be."""
    made = Swarm(chance, rates, until=chance.uniform(20, 500), most=most)
    made.fired.update(kind for kind in rates if kind in WHOLE_RUN)
    return made


def _rates(kind: Fault) -> tuple[float, float, float]:
    """A pass sends a few requests, fewer lists and changes, and ten times as many statements."""
    if kind in PROCESS:
        return (1.0, 3.0, 8.0)
    if kind in STATEMENT:
        return (0.002, 0.006, 0.02)
    return (0.1, 0.2, 0.3) if kind in {*LISTS, *CHANGES} else (0.02, 0.06, 0.15)
