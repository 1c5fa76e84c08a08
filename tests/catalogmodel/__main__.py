"""``python -m tests.catalogmodel [--seed N] [--examples N] [--steps N]``: runs by chance, and how much they met."""

from __future__ import annotations

import argparse
import sys

from tests.catalogmodel.running import run
from tests.postgres import running_server


def main(arguments: list[str] | None = None) -> int:
    """Run; a difference between the catalog and its twin ends it with the shortest run that shows it."""
    parser = argparse.ArgumentParser(prog="python -m tests.catalogmodel", description=__doc__)
    parser.add_argument("--seed", type=int, help="which runs; the block of the tests where it is not given")
    parser.add_argument("--examples", type=int, default=40)
    parser.add_argument("--steps", type=int, default=50)
    chosen = parser.parse_args(arguments)
    with running_server() as server:
        seen = run(server, examples=chosen.examples, steps=chosen.steps, number=chosen.seed)
    operations, ends = sum(seen.met.values()), len(seen.met)
    text = f"{operations} operations of {ends} kinds, {len(seen.ran)} statements ran {sum(seen.ran.values())} times"
    sys.stdout.write(f"{text}; unmet: {seen.unmet()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
