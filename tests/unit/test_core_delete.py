"""Delete until Neon says gone, and never what is not proven ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reconciler import errors
from reconciler.core import effects as e
from reconciler.core.context import CreateIntent, Result
from specs.neon import Branch
from specs.status import AppStatus, Reason
from tests.unit.core_passes import Neon, mark, neon_error, passed
from tests.unit.test_core_recovering import LONG_AGO, NOW, app, project

UNWANTED = app(Reason.AVAILABLE, delete_requested_at=NOW)
INTENT = CreateIntent(1, 1, "n", "recorded", LONG_AGO)
THERE = project(UNWANTED)
UNTIL = NOW + timedelta(days=7)
RECOVERABLE = project(UNWANTED, deleted_at=NOW, recoverable_until=UNTIL)


def test_what_never_was_is_deleted_at_once() -> None:
    of = UNWANTED.model_copy(update={"project_id": None})
    done = passed(of, Neon())
    assert (done.kinds, done.again) == (["RecordStatus"], Result(None))
    assert done.told[0].status is AppStatus.DELETED
    assert done.told[0].timestamps == {"deleted_at": NOW, "tombstone_until": NOW + timedelta(days=8)}
    assert (done.ready, done.synced) == (("False", Reason.DELETED), ("True", Reason.UP_TO_DATE))
    assert passed(of, Neon(), duplicate_ids=("p-9",)).again == Result(0.0)


def test_a_project_is_deleted_and_then_confirmed() -> None:
    done = passed(UNWANTED, Neon(alive=(THERE,), deleted=(RECOVERABLE,)))
    assert done.changes == [e.AuthorizeMutation(), e.DeleteProject("p-1")]
    assert done.effects[-2] == e.ListProjects("p-1", recoverable=True)
    assert done.told[0].timestamps["recoverable_until"] == UNTIL


def test_what_may_yet_be_recovered_is_said_to_wait_for_its_deletion() -> None:
    of = app(Reason.RECOVERING, delete_requested_at=NOW)
    done = passed(of, Neon(deleted=(RECOVERABLE,)))
    assert (done.ready, done.told[0].timestamps) == (("False", Reason.DELETE_REQUESTED), {"missing_since": NOW})
    assert (done.told[0].status, done.again) == (AppStatus.DELETING, Result(60.0))


def test_what_is_among_the_deleted_is_not_deleted_again() -> None:
    done = passed(UNWANTED, Neon(deleted=(RECOVERABLE,)))
    assert (done.changes, done.told[0].status) == ([], AppStatus.DELETED)


@pytest.mark.parametrize(
    ("seen", "marked", "ours"),
    [
        ({}, False, True),
        ({"name": "renamed"}, True, True),
        ({"name": "renamed"}, False, False),
        ({"org_id": "org-2"}, True, False),
    ],
)
def test_only_what_is_proven_ours_is_deleted(seen: dict[str, str], marked: bool, ours: bool) -> None:
    marks = {"p-1": mark(UNWANTED, INTENT)} if marked else {"p-1": {"morphik_plane": "morphik"}}
    done = passed(UNWANTED, Neon(alive=(project(UNWANTED, **seen),), marks=marks))
    assert (e.DeleteProject("p-1") in done.changes) is ours
    if not ours:
        assert (done.changes, done.synced) == ([], ("False", Reason.OWNERSHIP_UNVERIFIED))
        assert done.again == Result(60.0, backoff=True)


def test_what_is_gone_when_it_is_deleted_is_looked_for() -> None:
    gone = neon_error(errors.NeonNotFound)
    done = passed(UNWANTED, Neon(alive=(THERE,), errors={e.DeleteProject: gone}))
    assert (done.told, done.again) == ([], Result(0.5, backoff=True))


def test_a_protected_branch_is_unprotected_first() -> None:
    branches = (Branch(id="br-1", name="main", default=True), Branch(id="br-2", name="kept", protected=True))
    refused = {e.DeleteProject: neon_error(errors.NeonInvalidRequest)}
    done = passed(UNWANTED, Neon(alive=(THERE,), branches=branches, errors=refused))
    assert done.changes == [
        e.AuthorizeMutation(),
        e.DeleteProject("p-1"),
        e.AuthorizeMutation(),
        e.UnprotectBranch("p-1", "br-2"),
    ]
    assert (done.events, done.again) == (["BranchUnprotected"], Result(0.5, backoff=True))


def test_a_refusal_that_no_branch_explains_is_a_persons() -> None:
    refused = {e.DeleteProject: neon_error(errors.NeonInvalidRequest)}
    done = passed(UNWANTED, Neon(alive=(THERE,), errors=refused))
    assert done.changes == [e.AuthorizeMutation(), e.DeleteProject("p-1")]
    assert (done.synced, done.again) == (("False", Reason.NEON_REJECTED), Result(60.0, backoff=True))


def test_gone_takes_two_looks_at_both_lists_with_a_good_key() -> None:
    first = passed(UNWANTED, Neon())
    assert first.effects[-4:-1] == (
        e.ListProjects("p-1", recoverable=True),
        e.ListProjects("p-1"),
        e.VerifyAccess(fresh=True),
    )
    assert (first.ready, first.told[0].timestamps) == (("False", Reason.DELETE_REQUESTED), {"missing_since": NOW})
    assert (first.told[0].status, first.again) == (AppStatus.DELETING, Result(60.0))
    for ago, left in ((10, 50.0), (60, None)):
        since = NOW - timedelta(seconds=ago)
        second = passed(app(Reason.DELETE_REQUESTED, delete_requested_at=LONG_AGO, missing_since=since), Neon())
        assert second.again == Result(left)
        assert (AppStatus.DELETED in [said.status for said in second.told]) is (left is None)


@pytest.mark.parametrize(
    "neon", [Neon(unavailable=("p-9",)), Neon(alive=(THERE,), errors={e.GetProject: neon_error(errors.NeonNotFound)})]
)
def test_lists_that_say_too_little_end_nothing(neon: Neon) -> None:
    done = passed(UNWANTED, neon)
    assert (done.told, done.again) == ([], Result(0.5, backoff=True))


def test_a_create_of_unknown_outcome_is_resolved_first() -> None:
    of = UNWANTED.model_copy(update={"project_id": None})
    intent = CreateIntent(4, 1, "n", "open", NOW)
    done = passed(of, Neon(alive=(THERE,), marks={"p-1": mark(of, intent)}), intents=(intent,))
    assert (done.kinds[-1], done.again) == ("RecordProject", Result(0.0))
    waiting = passed(of, Neon(), intents=(intent,))
    assert (waiting.told, waiting.again) == ([], Result(1.0))


SEEN: list[tuple[dict[str, Any], str]] = [
    ({"name": "other"}, "DuplicateRetained"),
    ({"org_id": "org-2"}, "DuplicateRetained"),
    ({}, "DuplicateDeleted"),
]


@pytest.mark.parametrize(("seen", "event"), SEEN)
def test_a_surplus_is_deleted_when_a_create_that_was_never_recorded_made_it(seen: dict[str, Any], event: str) -> None:
    of, intent = app(Reason.AVAILABLE), CreateIntent(2, 1, "late", "absent", LONG_AGO)
    late = project(of, id="p-2", **seen)
    neon = Neon(alive=(project(of), late), marks={"p-2": mark(of, intent)})
    done = passed(of, neon, intents=(intent,), duplicate_ids=("p-2",))
    left = event == "DuplicateRetained"
    wanted = [] if left else [e.AuthorizeMutation(automatic=True), e.DeleteProject("p-2")]
    assert done.changes == [*wanted, e.DismissDuplicate("p-2", report=left)]
    assert (done.events, done.again) == ([event], Result(0.0))


def test_a_surplus_of_a_recorded_create_or_a_copied_one_is_left_alone() -> None:
    of = app(Reason.AVAILABLE)
    late = (project(of), project(of, id="p-2"), project(of, id="p-3"))
    for state, copied, report in (("recorded", False, True), ("open", True, True), ("open", False, False)):
        intent = CreateIntent(2, 1, "late", state, LONG_AGO)  # type: ignore[arg-type]
        marks = {each: mark(of, intent) for each in (("p-2", "p-3") if copied else ("p-2",))}
        done = passed(of, Neon(alive=late, marks=marks), intents=(intent,), duplicate_ids=("p-2",))
        assert done.changes[-1] == e.DismissDuplicate("p-2", report=report)
        assert (e.DeleteProject("p-2") in done.changes) is not report
        partial = passed(
            of, Neon(alive=late, marks=marks, unavailable=("p",)), intents=(intent,), duplicate_ids=("p-2",)
        )
        assert partial.changes == [e.DismissDuplicate("p-2", report=report)]
        assert partial.again == Result(0.0)


def test_a_young_surplus_is_left_until_its_outcome_is_settled() -> None:
    of, intent = app(Reason.AVAILABLE), CreateIntent(2, 1, "late", "open", LONG_AGO)
    for ago, left in ((10, 20.0), (30, None)):
        young = project(of, id="p-2", created_at=NOW - timedelta(seconds=ago))
        done = passed(
            of, Neon(alive=(young,), marks={"p-2": mark(of, intent)}), intents=(intent,), duplicate_ids=("p-2",)
        )
        assert done.again == (Result(0.0) if left is None else Result(left, low_priority=True))
        assert (done.changes == []) is (left is not None)


def test_a_deleted_apps_project_that_is_there_again_is_held_and_not_held_when_it_goes() -> None:
    of = app(Reason.DELETED, delete_requested_at=LONG_AGO, deleted_at=LONG_AGO)
    back = passed(of, Neon(alive=(THERE,)), duplicate_ids=("p-1",))
    assert (back.events, back.synced) == (["OnHold", "Synced"], ("False", Reason.ON_HOLD))
    assert (back.changes, back.again) == ([e.DismissDuplicate("p-1", report=True)], Result(0.0))
    held = of.model_copy(update={"conditions": back.told[0].conditions})
    assert passed(held, Neon(alive=(THERE,)), duplicate_ids=("p-1",)).told == []
    for neon in (Neon(), Neon(deleted=(RECOVERABLE,))):
        gone = passed(held, neon, duplicate_ids=("p-1",))
        assert (gone.synced, gone.again) == (("True", Reason.UP_TO_DATE), Result(0.0))
        assert gone.changes == [e.DismissDuplicate("p-1", report=False)]
        assert passed(of, neon, duplicate_ids=("p-1",)).told == []


def test_a_deleted_app_is_not_looked_at_without_a_candidate() -> None:
    of = app(Reason.DELETED, delete_requested_at=LONG_AGO, deleted_at=LONG_AGO)
    assert (passed(of, Neon()).kinds, passed(of, Neon()).again) == ([], Result(None))


def test_a_used_up_budget_of_the_sweeps_does_not_hold_up_a_living_app() -> None:
    of, intent = app(Reason.AVAILABLE), CreateIntent(2, 1, "late", "open", LONG_AGO)
    neon = Neon(
        alive=(project(of), project(of, id="p-2")),
        marks={"p-2": mark(of, intent)},
        errors={e.AuthorizeMutation: errors.MutationsSuspended("used up")},
    )
    done = passed(of, neon, intents=(intent,), duplicate_ids=("p-2",))
    assert "ListEndpoints" in done.kinds
    gone = of.model_copy(update={"deleted_at": LONG_AGO, "delete_requested_at": LONG_AGO})
    assert passed(gone, neon, intents=(intent,), duplicate_ids=("p-2",)).again == Result(45.0, backoff=True)
