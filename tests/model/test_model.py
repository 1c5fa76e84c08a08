"""The small model: every state of two daemons and one app within so many faults, and what each safeguard is for."""

from __future__ import annotations

import pytest

from tests.model.blocks import SHORT, Block
from tests.model.catalog import STATEMENTS
from tests.model.explore import explore
from tests.model.mutants import MUTANTS, Mutant
from tests.model.neon import READS
from tests.model.passes import END, VERBS
from tests.model.replay import replay


@pytest.mark.parametrize("block", SHORT, ids=[block.name for block in SHORT])
def test_no_rule_breaks_and_no_state_is_a_trap(block: Block) -> None:
    """All rules hold at every step, and from every state fair moves alone lead to the goal."""
    found = block.explore()
    assert not found.failure, str(found)
    assert found.states > block.at_least
    assert found.goals > 0


def test_passes_do_everything() -> None:
    """Each effect that the model has a word for is met with one fault already."""
    assert explore(1).effects == {END, *VERBS, *READS, *STATEMENTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_missing_safeguard_is_found(mutant: Mutant) -> None:
    """Without a safeguard its rule breaks, or something never ends."""
    found = mutant.explore()
    assert mutant.is_found(found), str(found)


def test_two_explorations_are_one() -> None:
    """The same states in the same order, and the same number of moves."""
    one, other = explore(1), explore(1)
    assert (one.states, one.edges, one.goals, one.passes) == (other.states, other.edges, other.goals, other.passes)


def test_a_path_is_walked_again() -> None:
    """What a failure prints leads there again."""
    mutant = next(each for each in MUTANTS if each.name == "no settle wait")
    found = mutant.explore()
    lines = list(replay(found.path, mutant))
    assert lines[-1].endswith(f"BROKEN: {found.failure}")
