"""``python -m tests.httpmodel [EXAMPLES]``: the model for so many examples, then every mutant; figures as JSON."""

from __future__ import annotations

import json
import sys
import time

from tests.httpmodel.mutants import MUTANTS
from tests.httpmodel.running import examples_until_found, explore
from tests.httpmodel.stage import staged
from tests.postgres import running_server


def main() -> None:
    """Run it all."""
    examples, began = int(sys.argv[1]) if len(sys.argv) > 1 else 25, time.monotonic()
    with running_server() as server, staged(server) as stage:
        explore(stage, examples, always_the_same=len(sys.argv) < 2)
        figures: dict[str, object] = {"http_examples": stage.begun, "http_trace": stage.trace.hexdigest()}
        found: dict[str, int] = {}
        for mutant in MUTANTS:
            with mutant.alive(stage):
                found[mutant.name] = examples_until_found(stage)
            sys.stderr.write(f"{mutant.name}: example {found[mutant.name]}\n")
    figures |= {
        "http_mutants": len(MUTANTS),
        "http_mutants_found": found,
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
