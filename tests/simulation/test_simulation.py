"""The simulator's own tests: the corpus, a block of each tier, and the same trace every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.corpus import PATH, corpus
from tests.simulation.faults import Kind
from tests.simulation.ledger import Cell, cells
from tests.simulation.matrix import PAIRED, by_chance, exhaustive, pairs
from tests.simulation.run import Failure, Run, run
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.shrink import shrunk
from tests.simulation.tally import tally, tally_at_once

RANDOM = range(1500)
SEED = 1
# Every so many of the pairs; `make simulate` has all of them.
PART_OF_PAIRS = 60
ROOT = Path(__file__).parents[2]


def test_corpus() -> None:
    """What failed once never fails again."""
    assert tally(corpus()).failures == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_story_without_faults(scenario: str) -> None:
    """Each story ends as it must when only its own faults strike."""
    for seed in range(3):
        run(Run(seed, scenario))


def test_each_fault_at_each_step() -> None:
    """Every fault that is planned strikes, and no cell of the ledger is without a run."""
    total = tally_at_once(exhaustive(SEED))
    assert total.failures[:3] == []
    assert total.missed == []
    assert {cell for cell in cells() if not total.struck[cell]} == set()
    assert {cell.kind for cell in cells()} == set(Kind)


def test_pairs_with_a_crash() -> None:
    """Some of the pairs."""
    total = tally_at_once([each for story in PAIRED for each in pairs(Run(SEED, story))][::PART_OF_PAIRS])
    assert total.runs > 300
    assert total.failures[:3] == []
    assert total.missed == []


def test_random_schedules() -> None:
    """Many seeds; each kind of fault strikes often."""
    total = tally_at_once(by_chance(RANDOM))
    assert total.failures[:3] == []
    assert total.runs == len(RANDOM)
    assert {kind for kind in Kind if total.kinds[kind] < 5} == set()


def test_same_seed_same_trace() -> None:
    """One seed is one run, whatever the hash seed of the interpreter is."""
    seen = set()
    for hash_seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "7", "--chance", "--hash"],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout)
    assert seen == {f"{run(Run(7, chance=True)).world.trace_hash()}\n"}


def test_other_seed_other_trace() -> None:
    """Seeds do differ."""
    assert len({run(Run(seed)).world.trace_hash() for seed in range(20)}) == 20


def test_failure_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure can be replayed with one line."""
    monkeypatch.setattr("tests.simulation.invariants.SEND_MARGIN_SECONDS", -1.0)
    with pytest.raises(Failure, match=r"python -m tests\.simulation --seed 3 --scenario create --fault 4:503"):
        run(Run(3, "create", ((4, Kind.UNAVAILABLE),)))


def test_failure_is_shrunk_to_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that a failure does not need are left out of its command."""
    monkeypatch.setattr("reconciler.core.stages.create.NeonRetryable", Exception)
    failure = next(found for each in by_chance(range(4000)) if (found := _failure(each)) is not None)
    small = shrunk(failure)
    assert not small.of.chance
    assert len(small.of.faults) <= min(2, len(failure.world.struck))
    assert _failure(small.of) is not None


def _failure(of: Run) -> Failure | None:
    try:
        run(of)
    except Failure as failure:
        return failure
    return None


def test_corpus_is_written_as_commands() -> None:
    """A line of the corpus is what comes after the module's name in the command that a failure prints."""
    lines = [line for line in PATH.read_text().splitlines() if not line.startswith("#")]
    assert [each.line for each in corpus()] == lines


def test_every_kind_is_a_cell_somewhere() -> None:
    """No fault is defined that nothing can meet."""
    assert set(Kind) == {cell.kind for cell in cells()}
    assert len(set(cells())) == len(list(cells()))
    assert Cell("create", "CreateProject", Kind.DUPLICATED) in set(cells())
