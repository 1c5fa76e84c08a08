"""A product with something wrong in it is found out, within few examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.httpmodel.machine import machine_on
from tests.httpmodel.mutants import MUTANTS, Mutant, same_names
from tests.httpmodel.stage import Stage, staged
from tests.httpmodel.test_http_model import SETTINGS
from tests.postgres import TestServer

Note = Callable[[str, object], None]
MOST_EXAMPLES = 60
# The same examples each time, and the first that fails is enough.
FIND = settings(SETTINGS, max_examples=MOST_EXAMPLES, derandomize=True, database=None, phases=[Phase.generate])


@pytest.fixture(scope="module")
def stage(postgres: TestServer) -> Iterator[Stage]:
    """One stage for all of them."""
    with staged(postgres) as stage:
        yield stage


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_each_mutant_is_found(
    mutant: Mutant, stage: Stage, monkeypatch: pytest.MonkeyPatch, record_property: Note
) -> None:
    """And how many examples that took is kept with the result."""
    mutant.spoil(monkeypatch)
    _find(stage, record_property)


def test_names_that_are_not_unique_are_found(stage: Stage, record_property: Note) -> None:
    """What keeps them so is in the catalog's schema."""
    with same_names(stage):
        _find(stage, record_property)


def _find(stage: Stage, record_property: Note) -> None:
    begun = stage.begun
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine_on(stage), settings=FIND)
    # The one that failed was told once more.
    record_property("examples", stage.begun - begun - 1)
    print(f"found by example {stage.begun - begun - 1}")  # noqa: T201 - figures for whoever asks with -s
