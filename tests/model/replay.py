"""Walking a path again, move by move, with the state after each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.model.actions import Actions
from tests.model.explore import initial
from tests.model.mutants import Mutant
from tests.model.passes import Program
from tests.model.rules import Broken
from tests.model.state import State


def replay(labels: Iterable[str], mutant: Mutant | None = None) -> Iterator[str]:
    """The moves of these labels from the beginning, each with what it changes.

    Raises:
        ValueError: a move is not possible where it stands.
    """
    if mutant is None:
        yield from _walk(labels, Actions(Program()))
        return
    with mutant.applied():
        yield from _walk(labels, Actions(Program(), mutant.safe))


def _walk(labels: Iterable[str], actions: Actions) -> Iterator[str]:
    state = initial(actions.program)
    for label in labels:
        try:
            moves = actions.moves(state)
        except Broken as broken:
            yield f"{label}\n    BROKEN: {broken}"
            return
        after = next((move.state for move in moves if move.label == label), None)
        if after is None:
            raise ValueError(f"not possible here: {label}; possible: {'; '.join(move.label for move in moves)}")
        yield label
        yield from _differences(state, after, actions)
        state = after


def _differences(before: State, after: State, actions: Actions) -> Iterator[str]:
    for name in State._fields:
        if getattr(before, name) != getattr(after, name):
            yield f"    {name}: {getattr(after, name)}"
    if before.row.said != after.row.said:
        status, conditions, _ = actions.program.sayings.said(after.row.said)
        said = ", ".join(f"{each.type}={each.status} {each.reason}" for each in conditions)
        yield f"    says: {status}: {said}"
