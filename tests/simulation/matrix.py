"""Every fault at every step of every story, one at a time; and many runs at once on all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.faults import PROCESS, Kind, applicable
from tests.simulation.run import Failure, run
from tests.simulation.scenarios import SCENARIOS

SAMPLED = ("mixed", "fleet-vanished")
"""Stories that chance drives, or that would be the same ten times over."""

BRIEF = ("resized", "late", "lookalikes-and-no-project", "branch-renamed")
"""Stories whose steps are another's too, up to few: what they add is the moments at which a process can end."""

CHUNK = 50


@dataclass(frozen=True)
class Cell:
    """One run to be made."""

    seed: int
    scenario: str = "mixed"
    fault: tuple[int, Kind] | None = None


@dataclass
class Tally:
    """What many runs came to.

    Attributes:
        slowest: the longest time to convergence after the last fault, in virtual seconds.
        effects: steps by the name of their class.
    """

    runs: int = 0
    slowest: float = 0.0
    fired: Counter[Kind] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in the tally of other runs."""
        self.runs += other.runs
        self.slowest = max(self.slowest, other.slowest)
        self.fired += other.fired
        self.effects += other.effects
        self.failures += other.failures


def cells(scenario: str, seed: int) -> Iterator[Cell]:
    """Each fault that each step can meet; of the periodic rounds, and in brief stories, what befalls the process."""
    whole = run(seed, scenario)
    for number, step in enumerate(whole.world.steps[: whole.steps]):
        every = whole.world.step_owners[number] and scenario not in BRIEF
        for kind in applicable(step) if every else PROCESS:
            yield Cell(seed, scenario, (number, kind))


def tally(work: Iterable[Cell]) -> Tally:
    """Make some runs."""
    total = Tally()
    for cell in work:
        total.runs += 1
        try:
            result = run(cell.seed, cell.scenario, dict([cell.fault]) if cell.fault else None)
        except Failure as failure:
            total.failures.append(str(failure))
            continue
        total.slowest = max(total.slowest, result.seconds)
        total.fired += result.world.fired
        total.effects.update(type(step).__name__ for step in result.world.steps)
    return total


def tally_at_once(work: Iterable[Cell]) -> Tally:
    """Make many runs on all cores."""
    whole = list(work)
    chunks = [whole[start : start + CHUNK] for start in range(0, len(whole), CHUNK)]
    total = Tally()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(chunks), os.cpu_count() or 1), mp_context=context) as pool:
        for part in pool.map(tally, chunks):
            total.add(part)
    return total


def exhaustive(seed: int) -> list[Cell]:
    """All cells of all stories that are not sampled."""
    return [cell for scenario in SCENARIOS if scenario not in SAMPLED for cell in cells(scenario, seed)]
