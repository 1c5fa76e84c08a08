"""What the pure core makes of words that only a later version knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.catalog.rows import app_from_row
from reconciler.catalog.work_queue import intent_from_row
from reconciler.core import effects as e
from reconciler.core.context import ControlPlane, CreateIntent, ReconcileContext
from reconciler.core.ownership import build_annotations
from reconciler.core.reconcile import reconcile
from reconciler.errors import CatalogUnavailable
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes, format_project_name
from specs.neon import BranchList, Project, ProjectListing
from specs.status import Condition, ConditionType, Reason, find_condition, set_condition
from tests.catalogs import SPEC

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
PLANE = ControlPlane("morphik", "catalog", 30, ())


def _app(**changes: Any) -> AppMetadata:
    wanted = {"app_name": "app", "spec": SPEC}
    app_id = app_id_from_bytes(bytes(15))
    return AppMetadata(app_id=app_id, owner_id="o", created_at=LONG_AGO, updated_at=LONG_AGO, **wanted | changes)


def _intent(state: str) -> CreateIntent:
    row = {"create_seq": 1, "incarnation": 1, "nonce": "n", "state": state, "sent_at": LONG_AGO}
    return intent_from_row(row | {"first_absent_at": None})


def _performed(app: AppMetadata, intent: CreateIntent, *, surplus: tuple[str, ...] = ()) -> list[str]:
    """The effects of a pass over an app whose every project is the one that the intent made; at most six."""
    snapshot = ReconcileContext(app, PLANE, NOW, 0, 0.5, "nonce", intents=(intent,), duplicate_ids=surplus)
    project = Project.model_validate(
        {"id": "p-1", "name": format_project_name(app.app_name, app.app_id), "created_at": LONG_AGO, "org_id": "org-1",
         "region_id": app.spec.region, "pg_version": 17}
    )  # fmt: skip
    answers: dict[type, Any] = {
        e.VerifyAccess: "org-1",
        e.ListProjects: ProjectListing(projects=(project,)),
        e.GetProject: project,
        e.ListBranches: BranchList(branches=(), annotations={"b": build_annotations(app, PLANE, intent)}),
    }
    steps, answer = reconcile(snapshot), None
    done: list[str] = []
    try:
        while len(done) < 6:
            effect = steps.send(answer)
            done.append(type(effect).__name__)
            answer = answers.get(type(effect))
    except StopIteration:
        pass
    finally:
        steps.close()
    return done


@pytest.mark.parametrize("changes", [{}, {"delete_requested_at": NOW}], ids=["create", "delete"])
def test_an_intent_in_a_later_state_may_have_taken_effect(changes: dict[str, Any]) -> None:
    """It is looked for, and its project adopted: no second one is made, and none is left behind by a delete."""
    done = _performed(_app(**changes), _intent("entrusted"))
    assert done == ["VerifyAccess", "ListProjects", "ListBranches", "RecordProject"]


def test_what_a_later_state_made_is_no_proven_surplus() -> None:
    """It is left alone and reported; one that is known to be unrecorded would be deleted."""
    app = _app(project_id="p-0")
    done = {state: _performed(app, _intent(state), surplus=("p-1",)) for state in ("absent", "entrusted")}
    assert "DeleteProject" in done["absent"]
    assert "DeleteProject" not in done["entrusted"]
    assert done["entrusted"][-1] == "DismissDuplicate"


def test_a_condition_of_a_later_version_is_kept() -> None:
    """Whoever says something else leaves it in its place."""
    said: dict[str, Any] = {"status": "False", "message": "m", "last_transition_time": NOW, "observed_generation": 1}
    later = Condition(type="Backed", reason="TooLong", **said)
    mine = Condition(type=ConditionType.READY, reason=Reason.QUEUED, **said)
    kept = set_condition(set_condition((later,), mine), mine)
    assert find_condition(kept, "Backed") == later
    assert kept == (later, mine)


def test_a_column_that_is_not_there_yet_is_the_catalogs_matter() -> None:
    """A program that is newer than the schema says what to do, and is no defect."""
    row = _app().model_dump()
    assert app_from_row(row | {"of_a_later_version": 1}) == _app()
    del row["role_number"]
    with pytest.raises(CatalogUnavailable, match="no column role_number; run morphik-apps migrate"):
        app_from_row(row)
