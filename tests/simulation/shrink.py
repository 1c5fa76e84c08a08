"""From a failing run to the smallest that fails."""

from __future__ import annotations

import re

from tests.simulation.run import Failure, Run, run


def shrunk(failure: Failure) -> Failure:
    """A run that fails like this one, with as few faults and daemons as it takes."""
    struck = tuple(dict(failure.world.struck).items())
    least = _fails(_with(failure.of, struck), failure)
    if least is None:
        return failure  # what chance brings after the last fault matters too
    again = True
    while again:
        again = False
        for smaller in _smaller(least.of):
            found = _fails(smaller, failure)
            if found is not None:
                least, again = found, True
                break
    return least


def _with(of: Run, faults: tuple[tuple[int, object], ...]) -> Run:
    return Run(of.seed, of.scenario, faults, daemons=of.daemons, skew=of.skew)  # type: ignore[arg-type]


def _smaller(of: Run) -> list[Run]:
    fewer = [_with(of, of.faults[:index] + of.faults[index + 1 :]) for index in range(len(of.faults))]
    alone = [Run(of.seed, of.scenario, of.faults, daemons=daemons, skew=of.skew) for daemons in range(1, of.daemons)]
    together = [Run(of.seed, of.scenario, of.faults, daemons=of.daemons)] if of.skew else []
    return fewer + alone + together


def _fails(of: Run, like: Failure) -> Failure | None:
    try:
        run(of)
    except Failure as failure:
        return failure if _sort(failure) == _sort(like) else None
    return None


def _sort(failure: Failure) -> str:
    """What was broken, without the ids and times of one run."""
    return re.sub(r"[a-z0-9]{20,}|[a-z]+-[a-z]+-\d+|\d+(\.\d+)?", "*", failure.reason)[:60]
