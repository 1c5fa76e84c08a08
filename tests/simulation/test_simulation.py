"""The simulator's own tests: the corpus, every fault at every step, many seeds, and the same trace every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.core import effects as e
from reconciler.core.effects import Effect
from tests.simulation.faults import Kind
from tests.simulation.matrix import Cell, exhaustive, tally, tally_at_once
from tests.simulation.run import Failure, run
from tests.simulation.scenarios import SCENARIOS

RANDOM_SEEDS = 2000
FLEETS = 40
EXHAUSTIVE_SEED = 1
ROOT = Path(__file__).parents[2]


def corpus() -> list[Cell]:
    """The runs that once failed."""
    lines = (Path(__file__).parent / "corpus.txt").read_text().splitlines()
    return [_cell(line.split()) for line in lines if line and not line.startswith("#")]


def _cell(words: list[str]) -> Cell:
    seed, scenario, fault = (*words, "mixed", "")[:3] if len(words) == 1 else (*words, "")[:3]
    number, _, kind = fault.partition(":")
    return Cell(int(seed), scenario, (int(number), Kind(kind)) if kind else None)


def test_corpus() -> None:
    """What failed once never fails again."""
    assert tally(corpus()).failures == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_story_without_faults(scenario: str) -> None:
    """Each story ends as it must when only its own faults strike."""
    for seed in range(3):
        run(seed, scenario)


def test_each_fault_at_each_step() -> None:
    """One fault at a time, at every step of every story; a kind that never struck would be a blind spot."""
    cells = exhaustive(EXHAUSTIVE_SEED)
    assert len(cells) > 4000
    total = tally_at_once(cells)
    assert total.failures[:3] == []
    assert total.runs == len(cells)
    assert {kind for kind in Kind if total.fired[kind] < 10} == set()
    assert {name for name in _effects() if not total.effects[name]} == set()


def test_random_schedules() -> None:
    """Many seeds; each kind of fault strikes often, and no run takes longer than its bound."""
    cells = [Cell(seed) for seed in range(RANDOM_SEEDS)]
    total = tally_at_once(cells + [Cell(seed, "fleet-vanished") for seed in range(FLEETS)])
    assert total.failures[:3] == []
    assert total.runs == RANDOM_SEEDS + FLEETS
    assert {kind for kind in Kind if total.fired[kind] < 30} == set()
    assert {name for name in _effects() if not total.effects[name]} == set()


def test_same_seed_same_trace() -> None:
    """One seed is one run, whatever the hash seed of the interpreter is."""
    seen = set()
    for hash_seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "7", "--hash"],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout)
    assert seen == {f"{run(7).world.trace_hash()}\n"}


def test_other_seed_other_trace() -> None:
    """Seeds do differ."""
    assert len({run(seed).world.trace_hash() for seed in range(20)}) == 20


def test_failure_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure can be replayed with one line."""
    monkeypatch.setattr("tests.simulation.invariants.SEND_MARGIN_SECONDS", -1.0)
    with pytest.raises(Failure, match=r"python -m tests\.simulation --seed 3 --scenario create --fault 4:503"):
        run(3, "create", {4: Kind.UNAVAILABLE})


def _effects() -> set[str]:
    """The closed list."""
    named = {name: each for name, each in vars(e).items() if isinstance(each, type) and issubclass(each, Effect)}
    return set(named) - {"Effect"}
