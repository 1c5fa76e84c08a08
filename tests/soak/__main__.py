"""``python -m tests.soak [--seed N] [--seconds S]``: one soak, ``build/soak.json``, and 1 when a figure is wrong."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Outcome, soak
from tests.soak.schedule import Size

BUILD = Path(__file__).resolve().parents[2] / "build"
SECONDS = 500.0
_SHOWN = 60


def main(arguments: list[str] | None = None) -> int:
    """Soak once."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="default: a new one, printed")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"how long things go wrong (default {SECONDS:g})"
    )
    parser.add_argument("--out", type=Path, default=BUILD / "soak.json", help="where the figures go")
    chosen = parser.parse_args(arguments)
    again = f"make soak SEED={chosen.seed} SECONDS={chosen.seconds:g}"
    sys.stderr.write(f"soak: the same again: {again}\n")
    folder = Path(tempfile.mkdtemp(prefix="morphik-soak-"))
    folder.chmod(0o711)
    try:
        outcome = asyncio.run(soak(chosen.seed, Size.of(chosen.seconds), folder))
        _publish(outcome, chosen.out)
        if outcome.wrong:
            kept = _keep_logs(folder, chosen.seed)
            shown = "\n".join(outcome.wrong[:_SHOWN])
            sys.stdout.write(
                f"{len(outcome.wrong)} things are wrong:\n{shown}\nlogs: {kept}\nthe same again: {again}\n"
            )
    except BaseException:
        sys.stderr.write(f"soak: broken off; logs: {_keep_logs(folder, chosen.seed)}; the same again: {again}\n")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if outcome.wrong else 0


def _publish(outcome: Outcome, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(outcome.figures, indent=2) + "\n")
    for name, value in outcome.figures.items():
        sys.stdout.write(f"{name:<24}{value}\n")


def _keep_logs(folder: Path, seed: int) -> Path:
    kept = BUILD / f"soak-{seed}"
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, kept)
    return kept


if __name__ == "__main__":
    sys.exit(main())
