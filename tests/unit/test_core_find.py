"""Finding what an unknown outcome left behind: which projects are proven, and what is said of several."""

from __future__ import annotations

from datetime import timedelta

from reconciler.core.context import CreateIntent, Result
from reconciler.core.stages.create_lookup import AmbiguousMatch, Match, find_created_project
from specs.neon import Project
from specs.status import Reason
from tests.unit.core_passes import ORG, Neon, driven, mark, snapshot
from tests.unit.test_core_recovering import NOW, app, project

NEW = app(Reason.QUEUED, project_id=None, project_recorded_at=None, connected_at=None)
FIRST, SECOND = (CreateIntent(seq, 1, f"n-{seq}", "open", NOW) for seq in (1, 2))


def _made(project_id: str, ago: float = 0.0) -> Project:
    return project(NEW, id=project_id, created_at=NOW - timedelta(seconds=ago))


def _found(alive: tuple[Project, ...], made_by: dict[str, CreateIntent]) -> object:
    """What a search for the second create finds."""
    marks = {project_id: mark(NEW, intent) for project_id, intent in made_by.items()}
    steps = find_created_project(snapshot(NEW, intents=(FIRST, SECOND)), ORG, SECOND)
    return driven(steps, Neon(alive=alive, marks=marks)).again


def test_copies_are_named_by_their_ids_in_order_whenever_they_were_made() -> None:
    """What is said must not change from one look to the next."""
    alive = (_made("p-3", 3), _made("p-1", 1), _made("p-2", 2))
    found = _found(alive, {"p-1": SECOND, "p-2": SECOND, "p-3": SECOND})
    assert found == AmbiguousMatch(("p-1", "p-2", "p-3"))
    said = AmbiguousMatch(("p-1", "p-2", "p-3")).condition
    assert "p-1, p-2, p-3" in str(said.operator_message)
    assert "p-1" not in said.message


def test_a_copy_of_one_create_is_not_the_project_of_another() -> None:
    alive = (_made("p-1", 3), _made("p-2", 2), _made("p-3", 1))
    assert _found(alive, {"p-1": FIRST, "p-2": SECOND, "p-3": SECOND}) == AmbiguousMatch(("p-2", "p-3"))
    assert AmbiguousMatch(("p-2", "p-3")).requeue == Result(60.0, backoff=True)


def test_where_each_create_made_one_the_oldest_project_is_found() -> None:
    alive = (_made("p-1", 1), _made("p-2", 2))
    assert _found(alive, {"p-1": SECOND, "p-2": FIRST}) == Match(alive[1], FIRST)
    same = (_made("p-2"), _made("p-1"))
    assert _found(same, {"p-1": SECOND, "p-2": FIRST}) == Match(same[1], SECOND)
