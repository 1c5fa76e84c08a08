"""``python -m tests.driven --seed N [--only KIND...] [--trace]``: one run again, with what happened."""

from __future__ import annotations

import argparse
import sys

from tests.driven.faults import Fault, swarm
from tests.driven.parts import parts
from tests.driven.run import Failure, run


def main(arguments: list[str] | None = None) -> int:
    """Replay one run; 1 when it breaks a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.driven", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--only", nargs="+", choices=[*Fault, "none"], help="the kinds of faults that there are")
    parser.add_argument("--trace", action="store_true", help="print every request, fault and turn")
    parser.add_argument("--hash", action="store_true", help="print the hash of the trace only")
    chosen = parser.parse_args(arguments)
    faults = swarm(chosen.seed, chosen.only)
    with parts() as ambient:
        try:
            result = run(chosen.seed, ambient, faults)
            world, said, status = result.world, f"converged {result.seconds:.1f} s after the last fault", 0
        except Failure as failure:
            world, said, status = failure.world, f"FAILED: {failure}", 1
    if chosen.trace:
        for at, who, _, text in world.trace:
            sys.stdout.write(f"{at:10.3f}  {who:12} {text}\n")
    sys.stdout.write(f"{world.trace_hash() if chosen.hash else said}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
