"""``python -m tests.catalogfaults [--story NAME] [--statement NAME] [--kind KIND] [--use N] [--uses N]``.

Tells every story with every fault at the first use of every statement (at the first ``--uses`` ones), or one of them,
and says how many cells there are and how many of them were run and ended well.
"""

from __future__ import annotations

import argparse
import logging
import sys

from tests.catalogfaults.faults import Kind
from tests.catalogfaults.stories import STORIES
from tests.catalogfaults.telling import Teller, command, teller
from tests.postgres import running_server


def main(arguments: list[str] | None = None) -> int:
    """Run the cells; 1 when one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.catalogfaults", description=__doc__)
    parser.add_argument("--story", choices=STORIES)
    parser.add_argument("--statement")
    parser.add_argument("--kind", choices=[*Kind])
    parser.add_argument("--use", type=int)
    parser.add_argument("--uses", type=int, default=1)
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    with running_server() as server, teller(server) as told:
        cells = [
            (story, statement, kind, use)
            for story in STORIES
            if chosen.story in (None, story)
            for statement, times in told.used(story).items()
            if chosen.statement in (None, statement)
            for kind in Kind
            if chosen.kind in (None, kind)
            for use in ([chosen.use] if chosen.use else range(1, min(times, chosen.uses) + 1))
        ]
        failed = sum(not _ends_well(told, *cell) for cell in cells)
    sys.stdout.write(f"{len(cells)} cells, {len(cells) - failed} ended well\n")
    return 1 if failed or not cells else 0


def _ends_well(told: Teller, story: str, statement: str, kind: Kind, use: int) -> bool:
    try:
        told.tell(story, statement, kind, use)
    except (AssertionError, TimeoutError) as error:
        sys.stdout.write(f"{command(story, statement, kind, use)}\n    {error}\n")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
