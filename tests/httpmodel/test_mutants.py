"""A product with something wrong in it is found out, within few examples; the quick ones each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.httpmodel.mutants import MUTANTS, QUICK, Mutant
from tests.httpmodel.running import asked_for, examples_until_found
from tests.httpmodel.stage import Stage, staged
from tests.postgres import TestServer


@pytest.fixture(scope="module")
def stage(postgres: TestServer) -> Iterator[Stage]:
    """One stage for all of them."""
    with staged(postgres) as stage:
        yield stage


@pytest.mark.parametrize("mutant", MUTANTS if asked_for(0) else QUICK, ids=str)
def test_each_mutant_is_found(mutant: Mutant, stage: Stage) -> None:
    """By an answer that the model does not know."""
    with mutant.alive(stage):
        assert examples_until_found(stage) > 0
