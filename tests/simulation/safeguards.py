"""The safeguards of the program, each switched off: a mutant that no run finds would mean that nobody looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.simulation import without_catalog, without_core
from tests.simulation.faults import Kind
from tests.simulation.matrix import by_chance, singles
from tests.simulation.run import Failure, Run, run

Mutate = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """A program without one safeguard.

    Attributes:
        broken: what the run that finds it says, as a regular expression.
        scenario: a story that it shows in, tried first.
        kinds: the single faults of that story that are tried before chance.
    """

    off: Mutate
    broken: str
    scenario: str = "mixed"
    kinds: tuple[Kind, ...] = ()

    @property
    def name(self) -> str:
        """The safeguard that is off."""
        return self.off.__name__


MUTANTS: tuple[Mutant, ...] = (
    Mutant(without_core.no_settle_wait, "projects of .* are alive", "late"),
    Mutant(without_core.one_look, "projects of .* are alive|2 projects", "late", (Kind.STALE,)),
    Mutant(without_core.nonce_not_checked, "no intent of it made it|not proven", "lookalikes"),
    Mutant(without_core.copies_are_surplus, "not proven", "copied-when-ready"),
    Mutant(without_catalog.no_fence, "stale writer"),
    Mutant(without_catalog.lease_not_asked_for, "whose lease is another's", "delete", (Kind.PAUSE_BEFORE,)),
    Mutant(without_catalog.lease_never_ends, "not converged"),
    Mutant(without_core.no_intent, "without a committed intent", "create"),
    Mutant(without_catalog.reopened_as_of_old, "too long after its intent"),
    Mutant(without_catalog.held_up_create_sent, "too long after its intent", "create"),
    Mutant(without_catalog.held_up_change_sent, "whose lease is another's", "delete", (Kind.PAUSE_AFTER,)),
    Mutant(without_core.create_sent_again, "projects of .* are alive|2 projects", "delete-unknown"),
    Mutant(without_catalog.delete_does_not_stop_a_create, "delete was acknowledged before", "delete-during-create"),
    Mutant(without_core.delete_unproven, "not proven", "unmarked"),
    Mutant(without_core.surplus_unproven, "not proven", "lookalikes"),
    Mutant(without_core.partial_lists_believed, "projects of .* are alive", "late", (Kind.PARTIAL,)),
    Mutant(without_core.absence_not_proven, "not converged|of a deleted app", "delete", (Kind.ABSENT,)),
    Mutant(without_core.no_mass_stop, "not converged|stopped", "fleet-vanished"),
    Mutant(without_catalog.stop_ignored, "everything is stopped", "fleet-vanished"),
    Mutant(without_core.lost_is_recreated, "replaced|stale writer|alive|not the recorded|made it", "vanished"),
    Mutant(without_core.no_tombstone, "projects of a deleted app|not converged", "late-after-delete"),
    Mutant(without_core.surplus_not_swept, "2 projects|not converged", "surplus"),
    Mutant(without_core.not_held, "deleted, and says", "held"),
    Mutant(without_core.late_recover_forgotten, "not converged|of a deleted app", "late-recover"),
    Mutant(without_catalog.orphans_forgotten, "look-alikes are not reported|not converged", "lookalikes"),
    Mutant(without_catalog.wake_lost, "not converged", "delete-during-create"),
    Mutant(without_core.not_connected_to, "never connected to", "create"),
    Mutant(without_core.uri_after_delete, "serves a URI after its delete", "delete"),
    Mutant(without_catalog.credentials_kept, "keeps credentials", "delete"),
    Mutant(without_core.secret_in_the_event, "credential is in a text", "create"),
    Mutant(without_core.observed_ahead, "was observed before", "create"),
    Mutant(without_core.written_again, "at the fixed point|not converged", "vanished"),
)

MOST_RUNS = 1000


def runs_to_find(mutant: Mutant) -> int | None:
    """How many runs it takes until one breaks the rule that the safeguard is there for; None if none does.

    Raises:
        AssertionError: a run breaks another rule first.
    """
    with pytest.MonkeyPatch.context() as patch:
        mutant.off(patch)
        for count, each in enumerate(_runs(mutant), start=1):
            try:
                run(each)
            except Failure as failure:
                assert re.search(mutant.broken, failure.reason), str(failure)  # noqa: PT017 - the first one is enough
                return count
    return None


def _runs(mutant: Mutant) -> Iterator[Run]:
    yield from (Run(seed, mutant.scenario) for seed in range(3))
    for seed in range(1, 6 if mutant.kinds else 1):
        for each in singles(Run(seed, mutant.scenario)):
            if each.faults[0][1] in mutant.kinds:
                yield each
    yield from by_chance(range(MOST_RUNS))
