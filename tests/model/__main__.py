"""``python -m tests.model``: explore, switch safeguards off, or replay a path.

``--faults N [--kinds CRASHES,CHANGES]`` counts; ``--long`` explores the long block instead; ``--mutants`` adds each
missing safeguard and what it breaks, ``--mutant NAME`` shows the path; ``--replay "A; B"`` walks the moves of these
labels and shows what changes.
"""

from __future__ import annotations

import argparse
import sys
from functools import reduce
from operator import or_

from tests.model.actions import Faults
from tests.model.blocks import explore_all
from tests.model.explore import Explored, explore
from tests.model.mutants import MUTANTS, Mutant
from tests.model.replay import replay


def main(arguments: list[str] | None = None) -> int:
    """Do what was asked for; 1 when a rule is broken, a trap is found or a mutant is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--faults", type=int, default=2)
    parser.add_argument("--kinds", type=_kinds, default=Faults.ALL, metavar="KIND,KIND")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--mutant", choices=[mutant.name for mutant in MUTANTS], metavar="NAME")
    parser.add_argument("--replay", metavar="PATH")
    chosen = parser.parse_args(arguments)
    mutant = next((each for each in MUTANTS if each.name == chosen.mutant), None)
    if chosen.replay is not None:
        return _replay(chosen.replay, mutant)
    if mutant is not None:
        return _judge(mutant, paths=True)
    failed = False
    for found in explore_all() if chosen.long else (explore(chosen.faults, chosen.kinds),):
        sys.stdout.write(f"{found}\n")
        failed = failed or bool(found.failure)
    missed = sum(_judge(each, paths=False) for each in MUTANTS) if chosen.mutants else 0
    return 1 if failed or missed else 0


def _kinds(text: str) -> Faults:
    return reduce(or_, (Faults[name.strip()] for name in text.split(",")))


def _replay(text: str, mutant: Mutant | None) -> int:
    labels = [label.strip() for label in text.split(";") if label.strip()]
    for line in replay(labels, mutant):
        sys.stdout.write(f"{line}\n")
    return 0


def _judge(mutant: Mutant, *, paths: bool) -> int:
    found: Explored = mutant.explore()
    right = mutant.is_found(found)
    sys.stdout.write(f"{'found' if right else 'MISSED'}: {mutant.name}: {found.failure} ({found.states} states)\n")
    if paths:
        sys.stdout.write("".join(f"  {label}\n" for label in found.path))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
