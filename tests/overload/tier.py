"""All shapes of overload, small as a part of every build or as large as they are promised to be."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from tests.overload import shapes
from tests.overload.run import Broken, Story, tell

DAY, HOUR, MINUTE = 86_400.0, 3600.0, 60.0


@dataclass(frozen=True)
class Shape:
    """A story, and how many apps there are when it begins."""

    apps: int
    story: Story


SMALL = {
    "outage": Shape(60, shapes.outage(10 * MINUTE, (60, 20), (0, 0))),
    "outage-day": Shape(60, shapes.outage(2 * HOUR, (4, 2), (30, 10))),
    "refusals": Shape(60, shapes.refusals(20 * MINUTE, None, 30)),
    "refusals-retry-after": Shape(60, shapes.refusals(20 * MINUTE, 5, 30)),
    "catalog-away": Shape(60, shapes.catalog_away(5 * MINUTE, 60)),
    "hot-owner": Shape(60, shapes.hot(90)),
    "poison": Shape(60, shapes.poison(0.2, 60, 20 * MINUTE)),
    "slow": Shape(60, shapes.slow(30, 5 * MINUTE, 40)),
    "restart": Shape(60, shapes.restart(100, 30, crash=False)),
    "crash": Shape(60, shapes.restart(100, 30, crash=True)),
}
"""For every build."""

FULL = {
    "outage": Shape(5000, shapes.outage(10 * MINUTE, (300, 100), (0, 0))),
    "outage-day": Shape(5000, shapes.outage(DAY, (8, 2), (300, 100))),
    "refusals": Shape(500, shapes.refusals(HOUR, None, 120)),
    "refusals-retry-after": Shape(500, shapes.refusals(HOUR, 5, 120)),
    "catalog-away": Shape(500, shapes.catalog_away(5 * MINUTE, 200)),
    "hot-owner": Shape(500, shapes.hot(5 * MINUTE)),
    "poison": Shape(500, shapes.poison(0.2, 400, 40 * MINUTE)),
    "slow": Shape(500, shapes.slow(30, 5 * MINUTE, 150)),
    "restart": Shape(5000, shapes.restart(300, 100, crash=False)),
    "crash": Shape(5000, shapes.restart(300, 100, crash=True)),
}
"""As large as promised."""

SIZES = {"small": SMALL, "full": FULL}


@dataclass
class Outcome:
    """What came of one run: its figures, or why it failed and how to see it again."""

    shape: str
    seed: int
    figures: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass
class Tally:
    """What came of many.

    Attributes:
        runs: how many.
        failures: of those that broke a rule, why, with the command that replays it.
        requests: sent to Neon in all of them.
        outcomes: each one.
    """

    runs: int = 0
    failures: list[str] = field(default_factory=list)
    requests: int = 0
    outcomes: list[Outcome] = field(default_factory=list)


def run(shape: str, seed: int, size: str = "small") -> Outcome:
    """One run of one shape."""
    chosen = SIZES[size][shape]
    try:
        told = tell(chosen.story, seed, chosen.apps)
    except Exception as error:  # noqa: BLE001 - whatever it is, the command that shows it again is told
        why = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
        command = f"python -m tests.overload --shape {shape} --seed {seed} --size {size}"
        return Outcome(shape, seed, failure=f"{shape}: {why}\nreplay: {command}")
    return Outcome(shape, seed, told.figures)


def tier(seeds: Iterable[int] = (1,), size: str = "full", processes: int = 1) -> Tally:
    """Every shape for each seed.

    Args:
        seeds: of chance.
        size: ``small`` or ``full``.
        processes: how many run at once; 1 is this one.
    """
    asked = [(shape, seed) for seed in seeds for shape in SIZES[size]]
    names, numbers = [shape for shape, _ in asked], [seed for _, seed in asked]
    if processes == 1:
        return _tally(map(partial(run, size=size), names, numbers))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return _tally(pool.map(partial(run, size=size), names, numbers))


def _tally(outcomes: Iterable[Outcome]) -> Tally:
    total = Tally()
    for each in outcomes:
        total.runs += 1
        total.outcomes.append(each)
        total.requests += int(each.figures.get("requests", 0))
        if each.failure is not None:
            total.failures.append(each.failure)
    return total
