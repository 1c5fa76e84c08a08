"""The closed list of what the core can ask for, and which of it changes something at Neon."""

from __future__ import annotations

from reconciler.core import effects as e
from specs.status import Reason
from tests.unit.core_passes import Neon, passed
from tests.unit.test_core_recovering import NOW, app, project

CHANGES = {
    "CreateProject",
    "UpdateProject",
    "RecoverProject",
    "CreateEndpoint",
    "UnprotectBranch",
    "DeleteProject",
}


def _effects() -> list[type[e.Effect[object]]]:
    return [each for each in vars(e).values() if isinstance(each, type) and issubclass(each, e.Effect)]


def test_an_effect_changes_nothing_at_neon_unless_it_says_so() -> None:
    """The audit ends at the first effect that does; one that hid it would be carried out by a look."""
    assert {each.__name__ for each in _effects() if each.mutates} == CHANGES


def test_the_key_is_looked_at_again_only_where_that_is_asked_for() -> None:
    of = app(Reason.AVAILABLE)
    assert e.VerifyAccess(fresh=False) in passed(of, Neon(alive=(project(of),))).effects


def test_a_change_is_counted_as_the_sweeps_only_where_that_is_said() -> None:
    of = app(Reason.AVAILABLE, delete_requested_at=NOW)
    assert e.AuthorizeMutation(automatic=False) in passed(of, Neon(alive=(project(of),))).effects
