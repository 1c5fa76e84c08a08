"""``python -m tests.mutation [options]``: change the core, and see who notices.

1 when fewer than 95 % of the mutants are noticed, or when one is neither noticed nor explained in ``survivors.toml``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.mutation.judge import Verdict, judge_all
from tests.mutation.killers import QUICK, TESTS_ONLY, WHOLE, Killer
from tests.mutation.mutants import Mutant, modules, mutants_of
from tests.mutation.session import with_killers
from tests.mutation.survivors import Explained

RESULT = Path(__file__).parents[2] / "build" / "mutation.json"
LEAST_PERCENT = 95.0
PROCESSES = 2


def main() -> int:
    """Judge the chosen mutants."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--module", choices=modules(), action="append", metavar="NAME")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no mutant after so long: a fair sample")
    parser.add_argument("--quick", action="store_true", help="fewer runs of the simulator: more mutants survive")
    parser.add_argument("--tests-only", action="store_true", help="no run of the simulator")
    parser.add_argument("--list", action="store_true", help="print the mutants only")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    chosen = parser.parse_args()
    names = chosen.module or modules()
    mutants = [mutant for name in names for mutant in mutants_of(name)]
    outdated = Explained().outdated(mutants)
    if chosen.list:
        sys.stdout.write("".join(f"{mutant}\n" for mutant in mutants))
        return 0
    random.Random("mutation").shuffle(mutants)
    verdicts: list[Verdict] = []

    def judge(killers: tuple[Killer, ...]) -> None:
        for verdict in judge_all(_while_there_is_time(mutants, chosen.minutes), killers, chosen.processes):
            verdicts.append(verdict)
            sys.stderr.write(
                f"\r{len(verdicts)} of {len(mutants)}, {sum(not each.killer for each in verdicts)} survived "
            )
            if not verdict.killer:
                sys.stdout.write(f"survived: {verdict.mutant}\n")
                sys.stdout.flush()

    depth = TESTS_ONLY if chosen.tests_only else QUICK if chosen.quick else WHOLE
    with_killers(judge, names, depth)
    return _report(verdicts, outdated)


def _while_there_is_time(mutants: list[Mutant], minutes: float | None) -> Iterator[Mutant]:
    began = time.monotonic()
    for mutant in mutants:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            return
        yield mutant


def _report(verdicts: list[Verdict], outdated: list[str]) -> int:
    explained = Explained()
    total = Counter(verdict.mutant.module for verdict in verdicts)
    killed = Counter(verdict.mutant.module for verdict in verdicts if verdict.killer)
    survived = [verdict.mutant for verdict in verdicts if not verdict.killer]
    open_ones = [mutant for mutant in survived if explained.reason(mutant) is None]
    for module in sorted(total):
        sys.stdout.write(f"{module:12} {killed[module]:4} of {total[module]:4}\n")
    percent = 100 * killed.total() / max(1, total.total())
    sys.stdout.write(f"killed {killed.total()} of {total.total()}: {percent:.1f} %\n")
    sys.stdout.write("".join(f"not explained: {mutant}\n" for mutant in open_ones))
    sys.stdout.write("".join(f"out of date: {entry}\n" for entry in outdated))
    _write(percent, killed, total, survived, open_ones)
    return 1 if percent < LEAST_PERCENT or open_ones or outdated else 0


def _write(
    percent: float, killed: Counter[str], total: Counter[str], survived: list[Mutant], open_ones: list[Mutant]
) -> None:
    figures = {
        "mutants": total.total(),
        "killed": killed.total(),
        "percent": round(percent, 2),
        "modules": {module: [killed[module], total[module]] for module in sorted(total)},
        "explained": [str(mutant) for mutant in survived if mutant not in open_ones],
        "unexplained": [mutant.key for mutant in open_ones],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
