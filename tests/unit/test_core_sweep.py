"""The merge of Neon's list with the catalog: what is concluded, and above all what is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reconciler.core.context import ControlPlane, CreateIntent
from reconciler.core.diff import project_to_create
from reconciler.core.fleet.resync import FleetDiff, diff_fleet
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes
from specs.neon import Project, ProjectListing, UnreadableProject
from specs.status import AppStatus, Condition, ConditionType, Reason
from tests.unit.test_core_recovering import LONG_AGO, NOW
from tests.unit.test_core_recovering import app as one_app

SETTLE = timedelta(seconds=30)


def app(number: int, **changes: Any) -> AppMetadata:
    fields: dict[str, Any] = {
        "app_id": app_id_from_bytes(number.to_bytes(15, "big")),
        "app_name": f"app {number}",
        "status": AppStatus.READY,
        "conditions": (),
        "project_id": f"p-{number}",
    }
    return one_app(Reason.AVAILABLE, **fields | changes)


def project(of: AppMetadata, **changes: Any) -> Project:
    intent = CreateIntent(1, 1, "n", "open", NOW)
    sent = project_to_create(of, ControlPlane("morphik", "c", 30, ()), intent, "org-1").model_dump(mode="json")
    return Project.model_validate(sent | {"id": of.project_id or "p-x", "created_at": LONG_AGO} | changes)


def _said(kind: ConditionType, reason: Reason) -> Condition:
    return Condition(
        type=kind, status="False", reason=reason, message="", last_transition_time=LONG_AGO, observed_generation=1
    )


def merged(
    rows: list[AppMetadata],
    projects: list[Project],
    unavailable: tuple[str, ...] = (),
    reported: set[str] | None = None,
    unreadable: tuple[UnreadableProject, ...] = (),
) -> FleetDiff:
    listing = ProjectListing(projects=tuple(projects), unavailable_project_ids=unavailable, unreadable=unreadable)
    return diff_fleet(rows, listing, known_orphans=reported or set(), listed_from=NOW, settle_window=SETTLE)


def test_a_fleet_as_it_shall_be_gives_nothing_to_do() -> None:
    rows = [app(n) for n in range(50)]
    verdict = merged(rows, [project(row) for row in rows])
    assert verdict == FleetDiff((), (), (), (), None, complete=True)


def test_absence_counts_only_in_a_complete_list() -> None:
    rows = [app(1), app(2)]
    assert merged(rows, [project(rows[0])]).missing == (rows[1].app_id,)
    partial = merged(rows, [project(rows[0])], unavailable=("p-2",))
    assert (partial.missing, partial.stop_reason, partial.complete) == ((), None, False)


@pytest.mark.parametrize(
    ("odd", "missing", "complete"),
    [
        (UnreadableProject(id="p-2"), [3], True),
        (UnreadableProject(id="p-2", name="renamed"), [3], True),
        (UnreadableProject(id="x-1", name="foreign"), [2, 3], True),
        (UnreadableProject(id="x-1"), [2, 3], True),
        (UnreadableProject(name="foreign"), [], False),
        (UnreadableProject(), [], False),
    ],
)
def test_an_item_that_cannot_be_read_proves_no_absence_of_its_project(
    odd: UnreadableProject, missing: list[int], complete: bool
) -> None:
    """Whatever else is in the list is compared as ever."""
    rows = [app(1), app(2), app(3)]
    verdict = merged(rows, [project(rows[0], name="x")], unreadable=(odd,))
    assert verdict.drifted == (rows[0].app_id,)
    assert verdict.missing == tuple(rows[n - 1].app_id for n in missing)
    assert verdict.complete is complete


@pytest.mark.parametrize(
    ("fleet", "gone", "stops"),
    [(10, 5, False), (10, 6, True), (59, 6, True), (60, 6, False), (99, 10, True), (100, 10, False), (100, 11, True)],
)
def test_many_at_once_stop_everything(fleet: int, gone: int, stops: bool) -> None:
    """More than the larger of five apps and a tenth."""
    rows = [app(n) for n in range(fleet)]
    verdict = merged(rows, [project(row) for row in rows[gone:]])
    assert (verdict.stop_reason is not None) == stops


def test_a_partial_list_stops_nothing() -> None:
    rows = [app(n) for n in range(100)]
    assert merged(rows, [], unavailable=("p-0",)).stop_reason is None


def test_apps_that_were_just_recorded_are_not_missing() -> None:
    """A list may lag behind what it lists; and what does not count for the stop must not be called missing either."""
    rows = [app(n, project_recorded_at=NOW - timedelta(seconds=5)) for n in range(20)]
    verdict = merged(rows, [])
    assert (verdict.stop_reason, verdict.missing) == (None, ())
    assert merged([app(1, project_recorded_at=NOW + timedelta(seconds=1))], []).missing == ()


def test_a_list_that_lags_for_the_whole_settle_time_may_hide_what_was_recorded_at_its_edge() -> None:
    assert merged([app(1, project_recorded_at=NOW - SETTLE)], []).missing == ()
    earlier = NOW - SETTLE - timedelta(milliseconds=1)
    assert merged([app(1, project_recorded_at=earlier)], []).missing != ()


@pytest.mark.parametrize("changed", [{"name": "x"}, {"history_retention_seconds": 1}, {"region_id": "aws-eu-west-2"}])
def test_a_difference_is_seen(changed: dict[str, Any]) -> None:
    row = app(1)
    assert merged([row], [project(row, **changed)]).drifted == (row.app_id,)


def test_what_the_app_says_and_the_list_denies_is_looked_at() -> None:
    """A condition that is not true any more is drift, too: nothing else would take it back."""
    moved = {"region_id": "aws-eu-west-2"}
    told = app(1, conditions=(_said(ConditionType.SYNCED, Reason.IMMUTABLE_DRIFT),))
    assert merged([told], [project(app(1), **moved)]).drifted == ()
    assert merged([told], [project(app(1))]).drifted == (told.app_id,)
    other = app(1, conditions=(_said(ConditionType.SYNCED, Reason.OUTCOME_UNKNOWN),))
    assert merged([other], [project(app(1))]).drifted == ()
    missing = app(1, conditions=(_said(ConditionType.READY, Reason.PROJECT_MISSING),))
    assert merged([missing], [project(app(1))]).drifted == (missing.app_id,)
    recovering = app(1, conditions=(_said(ConditionType.READY, Reason.RECOVERING),))
    assert merged([recovering], [project(app(1))]).drifted == ()


def test_deleting_and_lost_apps_are_neither_missing_nor_counted() -> None:
    rows = [app(n, delete_requested_at=NOW) for n in range(20)] + [app(30, status=AppStatus.LOST)]
    assert merged(rows, []) == FleetDiff((), (), (), (), None, complete=True)


def test_what_a_claim_holds_is_not_missing_and_is_seen_when_it_is_there_again() -> None:
    rows = [app(n, hold_reason="recovery", app_name="other") for n in range(20)]
    gone = merged(rows, [])
    assert (gone.missing, gone.stop_reason) == ((), None)
    assert merged(rows, [project(app(0))]).drifted == (rows[0].app_id,)


def test_an_app_whose_owner_is_not_confirmed_is_left_alone() -> None:
    """Neither missing nor drifted nor with a surplus: nothing could be done about it."""
    rows = [app(n, hold_reason="owner") for n in range(20)]
    assert merged(rows, []) == FleetDiff((), (), (), (), None, complete=True)
    changed = [project(rows[0], name="x"), project(rows[1]), project(rows[1], id="p-late")]
    assert merged(rows, changed) == FleetDiff((), (), (), (), None, complete=True)


def test_a_lost_app_that_is_there_again_is_looked_at() -> None:
    row = app(1, status=AppStatus.LOST)
    assert merged([row], [project(row)]).drifted == (row.app_id,)


def test_a_second_project_with_an_apps_name_is_a_candidate_for_a_surplus() -> None:
    row = app(1)
    verdict = merged([row], [project(row), project(row, id="p-late")])
    assert verdict.duplicates == ((row.app_id, "p-late"),)
    assert merged([row], [project(row), project(row, id="p-late")], reported={"p-late"}).duplicates == ()


def test_an_app_without_a_recorded_project_has_no_surplus_yet() -> None:
    """Its project is about to be adopted."""
    row = app(1, project_id=None)
    assert merged([row], [project(row, id="p-new")]).duplicates == ()


def test_a_deleted_apps_live_project_is_looked_at() -> None:
    row = app(1, delete_requested_at=LONG_AGO, deleted_at=LONG_AGO, status=AppStatus.DELETED)
    assert merged([row], [project(row)]).duplicates == ((row.app_id, "p-1"),)


def test_what_was_held_of_a_deleted_app_and_is_gone_is_looked_at() -> None:
    held = _said(ConditionType.SYNCED, Reason.ON_HOLD)
    deleted = app(1, status=AppStatus.DELETED, delete_requested_at=LONG_AGO, deleted_at=LONG_AGO, conditions=(held,))
    assert merged([deleted], []).duplicates == ((deleted.app_id, "p-1"),)
    assert merged([deleted], [], unavailable=("p-2",)).duplicates == ()
    assert merged([deleted.model_copy(update={"conditions": ()})], []).duplicates == ()


def test_a_project_without_a_row_is_an_orphan_and_a_foreign_name_is_nothing() -> None:
    orphan = project(app(7))
    foreign = project(app(8), name="somebody-elses", id="p-foreign")
    assert merged([], [orphan, foreign]).orphans == (orphan,)
