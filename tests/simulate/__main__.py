"""``python -m tests.simulate [--minutes M]``: everything that is simulated, counted into ``build/simulate.json``.

With ``--minutes`` it goes on with random schedules of new seeds for so long.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.simulate import tiers
from tests.simulate.figures import DRIVER_SCHEDULES, RANDOM_SCHEDULES, Figures

RESULT = Path(__file__).parents[2] / "build" / "simulate.json"
BLOCK = 5_000


def main() -> int:
    """Run all tiers; 1 when something is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with new seeds for so long")
    minutes = parser.parse_args().minutes
    logging.disable(logging.CRITICAL)
    began, figures = time.monotonic(), Figures()
    whole: dict[str, Callable[[Figures], None]] = {
        "the small model": tiers.model,
        "single faults": tiers.singles,
        "pairs with a crash": tiers.two_faults,
        "mutants": tiers.mutants,
        "schedules of the driver": partial(tiers.driver, seeds=range(DRIVER_SCHEDULES)),
        "random schedules": partial(tiers.chance, seeds=range(RANDOM_SCHEDULES)),
    }
    for name, tier in whole.items():
        started = time.monotonic()
        tier(figures)
        _say(f"{name}: {time.monotonic() - started:.0f} s, {figures.violations} rules broken so far")
    until = time.monotonic() + 60 * minutes
    first = RANDOM_SCHEDULES
    while time.monotonic() < until:
        tiers.chance(figures, range(first, first + BLOCK))
        tiers.driver(figures, range(first, first + BLOCK // 5))
        first += BLOCK
        _say(f"seeds up to {first}: {figures.violations} rules broken so far")
    figures.seconds = round(time.monotonic() - began, 1)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures.as_json(), indent=2) + "\n")
    return _judge(figures)


def _judge(figures: Figures) -> int:
    for failure in figures.failures[:20]:
        _say(failure)
    counts = {name: value for name, value in figures.as_json().items() if isinstance(value, int | float)}
    for name, value in counts.items():
        _say(f"{name:22} {value:>10,}")
    wrong = figures.wrong()
    for said in wrong:
        _say(f"WRONG: {said}")
    return 1 if wrong else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
