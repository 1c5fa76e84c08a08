"""RELIABILITY.md says what there is: every mutant has its line, every place that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deceived.register import Story, stories
from tests.driven.safeguards import MUTANTS as OF_DRIVER
from tests.model.mutants import MUTANTS as OF_MODEL
from tests.simulation.safeguards import MUTANTS as OF_CORE

STORIES = stories()
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "RELIABILITY.md").read_text()
MUTANTS = sorted(
    {*(each.name for each in OF_CORE), *(each.name for each in OF_DRIVER), *(each.name for each in OF_MODEL)}
)


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_has_its_line(name: str) -> None:
    """What was found by which tier, and after how many runs."""
    line = rf"\| {re.escape(name.replace('_', ' '))} \| (simulation|driver|model) \| [0-9,]+ (runs|states) \|"
    assert re.search(line, TEXT), f"{name} is not in the table: run `make simulate`"


@pytest.mark.parametrize("told", STORIES, ids=[each.tell.__name__ for each in STORIES])
def test_every_story_of_deceit_has_its_line(told: Story) -> None:
    """The safeguard that it is told without, and the wrong act that happens then."""
    assert f"| {told.off.__name__.replace('_', ' ')} | `{told.tell.__name__}` | {told.wrong} |" in TEXT


def test_what_it_names_is_there() -> None:
    """Files and folders in code marks."""
    named = set(re.findall(r"`((?:tests|reconciler|specs|api)/[\w/.]+)`", TEXT))
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_figures_are_as_promised() -> None:
    """The counts of the last whole run, as they stand in the text."""
    found = {name: int(value.replace(",", "")) for name, value in re.findall(r"\| `(\w+)` \| ([0-9,]+) \|", TEXT)}
    for cells in ("single_cells", "pair_cells", "crash_points"):
        assert found[cells] == found[f"{cells}_covered"] > 0
    assert found["random_schedules"] >= 100_000
    assert found["driver_schedules"] >= 20_000
    assert found["mutants"] == found["mutants_found"] >= 25
    assert (found["model_traps"], found["violations"]) == (0, 0)
