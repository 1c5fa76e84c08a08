"""Many runs, on all cores, and what they came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from tests.simulation.apart import apart
from tests.simulation.faults import Kind
from tests.simulation.ledger import Cell
from tests.simulation.run import Failure, Run, run

CHUNK = 200
SILENCE = 1.3
"""Rounds of silence where runs are many: one sweep and one look in depth at least."""


@dataclass
class Tally:
    """What many runs came to.

    Attributes:
        slowest: the longest time to convergence after the last fault, in virtual seconds.
        struck: how often each cell of the ledger did.
        missed: planned faults that met nothing, by the command of their run.
        failures: what broke, with the command that replays it.
    """

    runs: int = 0
    slowest: float = 0.0
    struck: Counter[Cell] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def kinds(self) -> Counter[Kind]:
        """How often each kind of fault struck."""
        total: Counter[Kind] = Counter()
        for cell, times in self.struck.items():
            total[cell.kind] += times
        return total

    def add(self, other: Tally) -> None:
        """Take in the tally of other runs."""
        self.runs += other.runs
        self.slowest = max(self.slowest, other.slowest)
        self.struck.update(other.struck)
        self.missed += other.missed
        self.failures += other.failures


def tally(work: Iterable[Run], rounds_of_silence: float = SILENCE) -> Tally:
    """Make some runs."""
    total = Tally()
    for each in work:
        _count(total, each, rounds_of_silence)
    return total


def _count(total: Tally, each: Run, rounds_of_silence: float) -> None:
    total.runs += 1
    try:
        result = run(each, rounds_of_silence)
    except Failure as failure:
        total.failures.append(str(failure))
        return
    total.slowest = max(total.slowest, result.seconds)
    world = result.world
    for number, kind in world.struck:
        taken = world.taken(number)
        total.struck[Cell(taken.verb, taken.name, kind)] += 1
    if not set(each.faults) <= set(world.struck):
        total.missed.append(each.command)


def tally_at_once(work: Iterable[Run]) -> Tally:
    """Make many runs on all cores."""
    total = Tally()
    for part in apart(tally, _chunks(work)):
        total.add(part)
    return total


def _chunks(work: Iterable[Run]) -> Iterator[list[Run]]:
    left = iter(work)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
