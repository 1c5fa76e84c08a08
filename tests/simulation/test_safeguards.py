"""With one safeguard switched off the simulator must fail, or it would not have seen that it was there."""

from __future__ import annotations

import pytest

from tests.simulation.safeguards import MUTANTS, Mutant, runs_to_find


@pytest.mark.parametrize("mutant", MUTANTS, ids=[each.name for each in MUTANTS])
def test_missing_safeguard_is_found(mutant: Mutant) -> None:
    """Some run breaks the rule that the safeguard is there for."""
    runs = runs_to_find(mutant)
    assert runs is not None, f"no run finds that {mutant.name}"
    print(f"{mutant.name}: run {runs}")  # noqa: T201
