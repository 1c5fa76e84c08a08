"""The judge itself: a change that matters is noticed, and one that changes nothing is not."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.effects import AuthorizeMutation
from tests.mutation.judge import judge_all
from tests.mutation.killers import Killer, measured
from tests.mutation.mutants import Mutant, modules, mutants_of
from tests.mutation.survivors import Explained
from tests.simulation.run import Failure, Run, run


def _story_fails() -> bool:
    try:
        run(Run(0, "create"))
    except Failure:
        return True
    return False


KILLERS = measured(iter([Killer("create", _story_fails)]))


def _who_notices(mutant: Mutant) -> str:
    return next(judge_all([mutant], KILLERS, processes=1)).killer


def _in_perform() -> Mutant:
    """The mutant that hands no answer of the outside world on to the core."""
    return next(each for each in mutants_of("effects") if each.function == "perform")


def test_a_change_that_matters_is_noticed() -> None:
    assert _who_notices(_in_perform()) == "create"


def test_a_change_in_the_body_of_a_class_is_made_too() -> None:
    mutant = next(each for each in mutants_of("effects") if each.text == "automatic: bool = False")
    looked = Killer("automatic", lambda: AuthorizeMutation().automatic, frozenset({("effects", "perform")}))
    assert next(judge_all([mutant], [looked], processes=1)).killer == "automatic"


def test_no_change_is_not_noticed() -> None:
    mutant = _in_perform()
    assert _who_notices(replace(mutant, _node=mutant._original)) == ""


def test_what_nobody_calls_is_not_looked_at() -> None:
    assert not any(KILLERS[0].may_notice(mutant) for mutant in mutants_of("recovery.promotion"))


def test_every_mutant_can_be_compiled_and_differs() -> None:
    for module in modules():
        mutants = mutants_of(module)
        plain = {replace(each, _node=each._original).compiled() for each in mutants[:1]}
        assert all(mutant.compiled() not in plain for mutant in mutants), module


def test_what_is_explained_names_mutants_that_exist() -> None:
    """Lines may move; an entry for a text that is no more is told."""
    backoff = [*mutants_of("backoff")]
    explained = Explained()
    assert explained.outdated([mutant for module in modules() for mutant in mutants_of(module)]) == []
    [moved] = [replace(each, line=1) for each in backoff if (each.function, each.now) == ("full_jitter", "15")]
    assert "Equivalent" in str(explained.reason(moved))
    assert explained.outdated([each for each in backoff if each.function != "full_jitter"]) != []
