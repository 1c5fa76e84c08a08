"""``python -m tests.simulation --seed N [--scenario NAME] [--fault STEP:KIND]``: one run with its trace."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.faults import Kind
from tests.simulation.run import Failure, run
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import World


def main(arguments: list[str] | None = None) -> int:
    """Replay one run; 1 when it breaks a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--scenario", choices=SCENARIOS, default="mixed")
    parser.add_argument("--fault", action="append", default=[], metavar="STEP:KIND")
    parser.add_argument("--hash", action="store_true", help="print the hash of the trace only")
    chosen = parser.parse_args(arguments)
    at = {int(number): Kind(kind) for number, _, kind in (each.partition(":") for each in chosen.fault)}
    try:
        result = run(chosen.seed, chosen.scenario, at)
    except Failure as failure:
        _print(failure.world)
        sys.stdout.write(f"FAILED: {failure}\n")
        return 1
    if chosen.hash:
        sys.stdout.write(f"{result.world.trace_hash()}\n")
        return 0
    _print(result.world)
    sys.stdout.write(f"kept all rules; converged {result.seconds:.1f} s after the last fault\n")
    return 0


def _print(world: World) -> None:
    for at, who, number, text in world.trace:
        sys.stdout.write(f"{at:10.3f}  {number:4}  {who:16} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
