"""Many schedules through the real driver at once, and what they came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.driven.faults import Fault
from tests.driven.parts import parts
from tests.driven.run import Failure, run, shrunk
from tests.simulation.apart import apart

CHUNK = 200


@dataclass
class Tally:
    """What many runs came to.

    Attributes:
        slowest: the longest time to convergence after the last fault, in virtual seconds.
        fired: how often each kind of fault has struck.
        statements: of the catalog, by name.
        requests: to Neon, by method and route.
        failures: what broke, each with the command that replays it.
    """

    runs: int = 0
    slowest: float = 0.0
    fired: Counter[Fault] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in the tally of other runs."""
        self.runs += other.runs
        self.slowest = max(self.slowest, other.slowest)
        self.fired.update(other.fired)
        self.statements.update(other.statements)
        self.requests.update(other.requests)
        self.failures += other.failures


def schedules(seeds: range) -> Tally:
    """One run for each seed, in this process."""
    total = Tally()
    with parts() as ambient:
        for seed in seeds:
            total.runs += 1
            try:
                result = run(seed, ambient)
            except Failure as failure:
                total.failures.append(str(shrunk(failure, ambient)))
                world = failure.world
            else:
                total.slowest = max(total.slowest, result.seconds)
                world = result.world
            total.fired.update(world.swarm.fired)
            total.statements.update(world.statements)
            total.requests.update(world.requests)
    return total


def schedules_at_once(seeds: range) -> Tally:
    """One run for each seed, on all cores."""
    total = Tally()
    for part in apart(schedules, (seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK))):
        total.add(part)
    return total
