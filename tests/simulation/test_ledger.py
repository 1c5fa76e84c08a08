"""The ledger follows the code: what is added to the program is in it without anybody's doing."""

from __future__ import annotations

import ast
import inspect

import pytest

from reconciler.core import effects as e
from reconciler.core import reconcile as order
from reconciler.core.context import ReconcileContext, Result
from reconciler.runtime.jobs import deep_resync, resync, runner
from tests.simulation.faults import Kind
from tests.simulation.ledger import ABSTRACT, IMPOSSIBLE, cells, effects, pass_verbs

TWINS = {"wake_missing": "wake", "clock": "clock"}
# Said or done by the daemon, around the round or beside it.
NOT_OF_A_ROUND = {"renew_job", "release_jobs", "purge_tombstones", "stop_overridden", "expire_keys"}


def rotate(s: ReconcileContext) -> e.EffectGenerator[Result]:
    """A verb that does not exist."""
    yield e.AuthorizeMutation()
    yield e.DeleteProject(s.nonce)
    return Result(None)


def test_every_effect_belongs_to_a_verb() -> None:
    """The closed list of effects, and the verbs' effects together, are the same."""
    listed = {name for name, each in vars(e).items() if isinstance(each, type) and issubclass(each, e.Effect)}
    assert {name for of_verb in effects().values() for name in of_verb} >= listed - ABSTRACT


def test_a_new_verb_has_its_cells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage is a verb, with all that it asks for."""
    monkeypatch.setattr(order, "STAGES", (*order.STAGES, rotate))
    for each in (pass_verbs, effects):
        each.cache_clear()
    try:
        assert set(effects()["rotate"]) == {"AuthorizeMutation", "DeleteProject"}
        kinds = {cell.kind for cell in cells() if (cell.verb, cell.effect) == ("rotate", "DeleteProject")}
        assert kinds >= {Kind.LATE, Kind.CRASH_AFTER}
    finally:
        monkeypatch.undo()
        for each in (pass_verbs, effects):
            each.cache_clear()


def test_rounds_ask_the_catalog_what_their_twins_ask() -> None:
    """Every statement of the real rounds is a step of the simulated ones."""
    asked = {
        node.attr
        for module in (deep_resync, resync, runner)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "_store"
    }
    twins = {TWINS.get(name, name) for verb in ("resync", "deep_resync") for name in effects()[verb]}
    assert asked - NOT_OF_A_ROUND <= twins


def test_what_is_impossible_is_in_the_code() -> None:
    """An exception for what is not there any more is taken away."""
    for verb, effect in IMPOSSIBLE:
        assert effect in effects()[verb]
