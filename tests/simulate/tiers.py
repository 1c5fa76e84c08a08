"""The tiers of the simulation, each counted into the figures."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.driven import safeguards as of_driver
from tests.driven.parts import parts
from tests.driven.tier import schedules_at_once
from tests.model.blocks import LONG as BLOCKS
from tests.model.explore import Explored
from tests.model.mutants import MUTANTS as OF_MODEL
from tests.simulate.figures import Figures, Found
from tests.simulation import ledger
from tests.simulation.faults import PROCESS
from tests.simulation.matrix import PAIRED, by_chance, exhaustive, pairs
from tests.simulation.run import Run
from tests.simulation.safeguards import MUTANTS as OF_CORE
from tests.simulation.safeguards import runs_to_find
from tests.simulation.tally import Tally, tally_at_once

SEED = 1


def singles(figures: Figures) -> None:
    """One fault at a time: every kind at every step of every story, and so every cell of the ledger."""
    planned = list(exhaustive(SEED))
    total = tally_at_once(planned)
    missed = set(total.missed)
    cells = set(ledger.cells())
    points = [each for each in planned if each.faults[0][1] in PROCESS]
    figures.single_faults = len(planned) - len(missed)
    figures.single_cells = len(cells)
    figures.single_cells_covered = sum(total.struck[cell] > 0 for cell in cells)
    figures.crash_points = len(points)
    figures.crash_points_covered = sum(each.command not in missed for each in points)
    _take(figures, "single", total)
    figures.failures += [f"no run met {'/'.join(cell)}" for cell in sorted(cells) if not total.struck[cell]]


def two_faults(figures: Figures) -> None:
    """A crash and any other fault, in both orders, at all the steps of a create, a delete, and one during the other."""

    def planned() -> Iterator[Run]:
        for story in PAIRED:
            yield from pairs(Run(SEED, story))

    total = tally_at_once(planned())
    figures.pair_cells = total.runs
    figures.pair_cells_covered = total.runs - len(total.missed)
    _take(figures, "pairs", total)


def chance(figures: Figures, seeds: range) -> None:
    """Random schedules of the core."""
    total = tally_at_once(by_chance(seeds))
    figures.random_schedules += total.runs
    _take(figures, "random", total)


def driver(figures: Figures, seeds: range) -> None:
    """Random schedules of the real driver, worker, rounds, budget and client."""
    total = schedules_at_once(seeds)
    figures.driver_schedules += total.runs
    figures.slowest_seconds["driver"] = max(total.slowest, figures.slowest_seconds.get("driver", 0.0))
    figures.struck["driver"] = {str(kind): times for kind, times in sorted(total.fired.items())}
    figures.take_failures(total.failures)


def model(figures: Figures) -> None:
    """Every state of two daemons and one app, by blocks of so many faults of some kinds."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for found in pool.map(_block, range(len(BLOCKS))):
            figures.model_states += found.states
            figures.model_traps += found.traps
            figures.take_failures(found.violations)


def mutants(figures: Figures) -> None:
    """The program without one safeguard, which must not go unnoticed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        figures.take_mutants(list(pool.map(_of_core, range(len(OF_CORE)))))
        figures.take_mutants(list(pool.map(_of_driver, range(len(of_driver.MUTANTS)))))
        figures.take_mutants(list(pool.map(_of_model, range(len(OF_MODEL)))))


def _block(index: int) -> Explored:
    return BLOCKS[index].explore()


def _of_core(index: int) -> Found:
    mutant = OF_CORE[index]
    return Found(mutant.name, "simulation", runs_to_find(mutant))


def _of_driver(index: int) -> Found:
    mutant = of_driver.MUTANTS[index]
    with parts() as ambient:
        try:
            after = of_driver.runs_to_find(mutant, ambient)
        except AssertionError:
            return Found(mutant.name, "driver", None)
    return Found(mutant.name, "driver", after)


def _of_model(index: int) -> Found:
    mutant = OF_MODEL[index]
    found = mutant.explore()
    return Found(mutant.name, "model", found.states if mutant.is_found(found) else None)


def _take(figures: Figures, tier: str, total: Tally) -> None:
    figures.slowest_seconds[tier] = max(total.slowest, figures.slowest_seconds.get(tier, 0.0))
    figures.struck[tier] = {str(kind): times for kind, times in sorted(total.kinds.items())}
    figures.take_failures(total.failures)
