"""``python -m tests.simulation --seed N [--scenario NAME] [--fault STEP:KIND]``: one run with its trace."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.corpus import arguments, run_of
from tests.simulation.run import Failure, run
from tests.simulation.world import World


def main() -> int:
    """Replay one run; 1 when it breaks a rule."""
    parser = arguments(argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__))
    parser.add_argument("--hash", action="store_true", help="print the hash of the trace only")
    chosen = parser.parse_args()
    try:
        result = run(run_of(chosen))
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
