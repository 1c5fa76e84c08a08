"""The runs that once failed, each as the arguments of the command that replays it."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.simulation.faults import Kind
from tests.simulation.run import Run
from tests.simulation.scenarios import SCENARIOS

PATH = Path(__file__).parent / "corpus.txt"


def corpus() -> list[Run]:
    """All of them, in the order in which they were found."""
    parser = arguments(argparse.ArgumentParser())
    lines = PATH.read_text().splitlines()
    return [run_of(parser.parse_args(line.split())) for line in lines if line and not line.startswith("#")]


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """What says which run is meant."""
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--scenario", choices=SCENARIOS, default=Run.scenario)
    parser.add_argument("--daemons", type=int, default=Run.daemons)
    parser.add_argument("--skew", type=float, default=Run.skew, help="seconds that Neon's clock is ahead")
    parser.add_argument("--chance", action="store_true", help="chance brings the faults")
    parser.add_argument("--fault", action="append", default=[], metavar="STEP:KIND", type=_fault)
    return parser


def run_of(chosen: argparse.Namespace) -> Run:
    """The run that was meant."""
    return Run(chosen.seed, chosen.scenario, tuple(chosen.fault), chosen.chance, chosen.daemons, chosen.skew)


def _fault(text: str) -> tuple[int, Kind]:
    number, _, kind = text.partition(":")
    return int(number), Kind(kind)
