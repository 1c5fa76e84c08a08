"""Which runs there are: every fault at every step of every story, every pair with a crash, and chance."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from tests.simulation.faults import BEFORE, CRASHES, OF_SUCCESS, PROCESS, Kind, applicable
from tests.simulation.run import Result, Run, run
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.steps import Taken

SAMPLED = ("mixed", "fleet-vanished")
"""Stories that chance drives, or that would be the same ten times over."""

BRIEF = ("resized", "lookalikes-and-no-project")
"""Stories whose steps are another's too, up to few: what they add is the moments at which a process can end."""

OF_ROUNDS = ("fleet-vanished", "surplus", "orphan", "vanished", "endpoint-deleted")
"""Stories in which the rounds find something: there they meet every fault, and elsewhere what ends a process."""

PAIRED = ("create", "delete", "delete-during-create")


def exhaustive(seed: int) -> Iterator[Run]:
    """Each fault that each step of each story can meet, one at a time."""
    for scenario in SCENARIOS:
        if scenario not in SAMPLED:
            yield from singles(Run(seed, scenario))
    yield from singles(Run(seed, "fleet-vanished"), passes=False)


def singles(story: Run, *, passes: bool = True) -> Iterator[Run]:
    """Each fault that each step of one story can meet; without its passes, those of the rounds."""
    for number, taken in _steps(run(story)):
        if taken.of_a_pass and not passes:
            continue
        whole = story.scenario not in BRIEF if taken.of_a_pass else story.scenario in OF_ROUNDS
        kinds = _kinds(taken)
        for kind in kinds if whole else PROCESS:
            if kind in kinds:
                yield Run(story.seed, story.scenario, ((number, kind),))


def pairs(story: Run) -> Iterator[Run]:
    """Each fault at each step of the passes, and a crash at each later step; and the other way round."""
    for first in singles(story):
        (number, kind), result = first.faults[0], run(first)
        met = result.world.taken(number)
        if not met.of_a_pass:
            continue
        for later, taken in _steps(result):
            if not taken.of_a_pass or taken.place <= met.place:
                continue
            kinds = _kinds(taken)
            for second in kinds if kind in CRASHES else CRASHES:
                if second in kinds:
                    yield Run(story.seed, story.scenario, (first.faults[0], (later, second)))


def by_chance(seeds: Iterable[int]) -> Iterator[Run]:
    """Runs in which chance decides about everything: stories, faults, daemons, clocks."""
    for seed in seeds:
        chance = random.Random(f"{seed}/run")
        scenario = "fleet-vanished" if chance.random() < 0.004 else "mixed"
        skew = round(chance.uniform(-90, 90), 1) if chance.random() < 0.3 else 0.0
        yield Run(seed, scenario, chance=True, daemons=chance.choice((1, 2, 2, 2, 3, 4)), skew=skew)


def _steps(result: Result) -> Iterator[tuple[int, Taken]]:
    """The steps until convergence, with their numbers; a claim's is negative."""
    yield from enumerate(result.world.steps[: result.steps])
    for index, taken in enumerate(result.world.claims[: result.claims], start=1):
        yield -index, taken


def _kinds(taken: Taken) -> tuple[Kind, ...]:
    if not taken.completed:
        return BEFORE
    if not taken.asked:
        return PROCESS
    kinds = applicable(taken.step)
    # What Neon refuses has no answer to spoil, and starts nothing.
    return kinds if taken.done else tuple(kind for kind in kinds if kind not in OF_SUCCESS)
