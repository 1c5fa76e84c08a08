"""``python -m tests.overload [--shape NAME] [--seed N] [--size small|full]``: runs, with what they showed."""

from __future__ import annotations

import argparse
import sys

from tests.overload.tier import FULL, SIZES, Outcome, run, tier


def main(arguments: list[str] | None = None) -> int:
    """Run one shape, or all of them; 1 when a rule is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.overload", description=__doc__)
    parser.add_argument("--shape", choices=FULL)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args(arguments)
    if chosen.shape is not None:
        outcomes = [run(chosen.shape, chosen.seed, chosen.size)]
    else:
        outcomes = tier((chosen.seed,), chosen.size, chosen.processes).outcomes
    for outcome in outcomes:
        sys.stdout.write(_line(outcome))
    return int(any(outcome.failure for outcome in outcomes))


def _line(outcome: Outcome) -> str:
    if outcome.failure is not None:
        return f"FAILED {outcome.failure}\n"
    told = ", ".join(f"{name} {value:g}" for name, value in outcome.figures.items())
    return f"{outcome.shape}: {told}\n"


if __name__ == "__main__":
    sys.exit(main())
