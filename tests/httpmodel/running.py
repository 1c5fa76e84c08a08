"""Running the machine: for so many examples, or until one fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture.engine import ConjectureRunner
from hypothesis.stateful import run_state_machine_as_test

from tests.httpmodel.machine import machine_on
from tests.httpmodel.stage import Stage

EXAMPLES = "MORPHIK_EXAMPLES"
MOST_EXAMPLES = 100
SETTINGS = settings(
    deadline=None,
    stateful_step_count=40,
    suppress_health_check=[*HealthCheck],
    print_blob=True,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


class NotFound(AssertionError):
    """A mutant that lives on."""


def asked_for(otherwise: int) -> int:
    """How many examples the environment asks for."""
    return int(os.environ.get(EXAMPLES, otherwise))


def explore(stage: Stage, examples: int, *, always_the_same: bool) -> None:
    """Run so many examples; one that fails is made small, and says how it can be told again.

    Args:
        stage: on which they take place.
        examples: how many.
        always_the_same: whether they are those of every other time.
    """
    chosen = settings(SETTINGS, max_examples=examples, derandomize=always_the_same)
    with _only_new_examples():
        run_state_machine_as_test(machine_on(stage), settings=chosen)


def examples_until_found(stage: Stage) -> int:
    """How many examples it takes until one fails, the same ones each time. Raises NotFound."""
    chosen = settings(SETTINGS, max_examples=MOST_EXAMPLES, derandomize=True, database=None, phases=[Phase.generate])
    begun = stage.begun
    try:
        with _only_new_examples():
            run_state_machine_as_test(machine_on(stage), settings=chosen)
    except AssertionError:
        # The one that failed was told once more.
        return stage.begun - begun - 1
    raise NotFound(f"it lives after {stage.begun - begun} examples")


@contextmanager
def _only_new_examples() -> Iterator[None]:
    """Let Hypothesis tell no example again with a part of it doubled: five in six would be of that kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConjectureRunner, "generate_mutations_from", lambda *_: None, raising=False)
        yield
