"""A recover of ours whose answer did not come may still take effect: who waits for it, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from reconciler.core import effects as e
from reconciler.core.context import ControlPlane, Credentials, ReconcileContext, Result, StatusUpdate
from reconciler.core.reconcile import reconcile
from reconciler.core.stages.missing import confirm_absent
from reconciler.errors import (
    CatalogUnavailable,
    LeaseLost,
    MutationsSuspended,
    NeonNotFound,
    NeonUnavailable,
    RateLimitExhausted,
    ReconcileError,
)
from specs.app import AppSpec
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes, role_name
from specs.neon import Branch, BranchList, Endpoint, Project, ProjectListing
from specs.status import AppStatus, Condition, ConditionType, Reason, find_condition
from tests.addresses import checked
from tests.catalogs import SPEC

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE = 30.0
LONG_AGO = NOW - timedelta(hours=1)
ROLE = role_name(app_id_from_bytes(bytes(15)), 1, 1)
URI = SecretStr(f"postgresql://{ROLE}:secret@ep-one.neon.tech/app?sslmode=require")
UNAVAILABLE = NeonUnavailable(method="POST", route="/projects/{project_id}/recover", status=503, detail="")
GONE = NeonNotFound(method="GET", route="/projects/{project_id}", status=404, detail="")


def app(reason: Reason, **changes: Any) -> AppMetadata:
    said = "True" if reason is Reason.AVAILABLE else "False"
    ready = Condition(
        type=ConditionType.READY,
        status=said,
        reason=reason,
        message="",
        last_transition_time=LONG_AGO,
        observed_generation=1,
    )
    fields: dict[str, Any] = {
        "app_id": app_id_from_bytes(bytes(15)),
        "owner_id": "o",
        "app_name": "shop",
        "spec": SPEC.model_copy(update={name: changes.pop(name) for name in {*changes} & {*AppSpec.model_fields}}),
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "conditions": (ready,),
        "org_id": "org-1",
        "project_id": "p-1",
        "project_recorded_at": LONG_AGO,
        "connected_at": LONG_AGO,
    }
    return AppMetadata(**fields | changes)


def project(of: AppMetadata, **changes: Any) -> Project:
    fields: dict[str, Any] = {
        "id": "p-1",
        "name": of.project_name,
        "region_id": of.spec.region,
        "pg_version": of.spec.pg_version,
        "org_id": "org-1",
        "created_at": LONG_AGO,
    }
    return Project(**fields | changes)


def one_pass(
    of: AppMetadata,
    *,
    alive: bool = False,
    recoverable: bool = False,
    confirmed: bool = False,
    refusal: ReconcileError | None = None,
    stopped: bool = False,
) -> tuple[list[StatusUpdate], Result]:
    """What a pass records, with the project alive, recoverable or neither, and when it wants to look again."""
    plane = ControlPlane("morphik", "catalog-1", SETTLE, (".neon.tech",))
    steps = reconcile(ReconcileContext(of, plane, NOW, 0, 0.0, "nonce", confirmed_missing=confirmed))
    written: list[StatusUpdate] = []
    answer: Any = None
    try:
        while True:
            effect = steps.throw(answer) if isinstance(answer, ReconcileError) else steps.send(answer)
            if isinstance(effect, e.RecordStatus | e.RecordCredentials):
                written.append(effect.update)
            answer = _answer(effect, of, alive=alive, recoverable=recoverable)
            if isinstance(effect, e.RecoverProject):
                answer = refusal
            if stopped and isinstance(effect, e.AuthorizeMutation):
                answer = MutationsSuspended("stopped")
    except StopIteration as end:
        return written, end.value


def _answer(effect: e.Effect[Any], of: AppMetadata, *, alive: bool, recoverable: bool) -> Any:
    match effect:
        case e.VerifyAccess():
            return "org-1"
        case e.GetProject():
            return project(of) if alive else GONE
        case e.ListProjects(_, deleted):
            there = recoverable if deleted else alive
            return ProjectListing(projects=(project(of, deleted_at=NOW if deleted else None),) if there else ())
        case e.ListBranches():
            return BranchList(branches=(Branch(id="br-1", name="main", default=True),))
        case e.ListEndpoints():
            return (Endpoint(id="ep-1", branch_id="br-1", type="read_write"),)
        case e.GetConnectionURI():
            return URI
        case e.DecryptCredentials():
            return Credentials(checked(URI), None)
        case e.ListOperations():
            return ()
    return None


def ago(settles: float) -> datetime:
    return NOW - timedelta(seconds=settles * SETTLE)


def test_a_delete_counts_from_its_own_first_look() -> None:
    """The pass that sent the recover may have begun long before it sent."""
    asked = app(Reason.RECOVERING, delete_requested_at=NOW, missing_since=ago(10))
    [said], outcome = one_pass(asked, recoverable=True)
    assert dict(said.timestamps) == {"missing_since": NOW}
    assert (said.status, outcome.requeue_after) == (AppStatus.DELETING, 2 * SETTLE)


@pytest.mark.parametrize(("settles", "deleted"), [(0.5, False), (1.9, False), (2.0, True)])
def test_a_delete_waits_until_no_recover_can_arrive(settles: float, deleted: bool) -> None:
    waiting = app(Reason.DELETE_REQUESTED, delete_requested_at=LONG_AGO, missing_since=ago(settles))
    written, outcome = one_pass(waiting, recoverable=True)
    assert any("deleted_at" in said.timestamps for said in written) is deleted
    assert outcome.requeue_after == (None if deleted else pytest.approx((2 - settles) * SETTLE))


def test_a_delete_of_what_was_never_recovered_does_not_wait() -> None:
    [said], outcome = one_pass(app(Reason.AVAILABLE, delete_requested_at=NOW), recoverable=True)
    assert said.timestamps["deleted_at"] == NOW
    assert outcome.requeue_after is None


def test_an_app_that_is_there_again_remembers_the_recover() -> None:
    """A delete may be asked for while an earlier recover is still under way."""
    [said], outcome = one_pass(app(Reason.RECOVERING, missing_since=ago(10)), alive=True)
    assert (said.status, said.timestamps["missing_since"]) == (AppStatus.READY, NOW)
    assert (outcome.requeue_after, outcome.low_priority) == (2 * SETTLE, True)


@pytest.mark.parametrize(("settles", "left"), [(0.5, 1.5), (2.0, None)])
def test_the_recover_is_forgotten_when_its_time_is_over(settles: float, left: float | None) -> None:
    written, outcome = one_pass(app(Reason.AVAILABLE, missing_since=ago(settles)), alive=True)
    forgotten = [said for said in written if said.timestamps.get("missing_since", NOW) is None]
    assert (len(forgotten), outcome.requeue_after) == ((1, None) if left is None else (0, pytest.approx(left * SETTLE)))


@pytest.mark.parametrize("confirmed", [True, False])
def test_the_time_of_a_recover_is_no_first_look(confirmed: bool) -> None:
    """Lost needs two looks that missed the project, two settle times apart."""
    again = app(Reason.AVAILABLE, missing_since=ago(1.5))
    [said], outcome = one_pass(again, confirmed=confirmed)
    assert said.timestamps["missing_since"] == NOW
    assert (said.status is AppStatus.LOST, outcome.requeue_after) == (False, 2 * SETTLE if confirmed else None)


def test_two_looks_that_missed_it_are_enough() -> None:
    [said], _ = one_pass(app(Reason.PROJECT_MISSING, missing_since=ago(2.0)), confirmed=True)
    assert said.status is AppStatus.LOST
    _, outcome = one_pass(app(Reason.PROJECT_MISSING, missing_since=ago(1.5)), confirmed=True)
    assert outcome.requeue_after == pytest.approx(0.5 * SETTLE)


def test_a_deleted_project_needs_two_looks_of_the_delete() -> None:
    """What a recover wrote is none of them, and between the two no recover can be under way any more."""
    [said], outcome = one_pass(app(Reason.RECOVERING, delete_requested_at=NOW, missing_since=ago(1.5)))
    assert (said.timestamps, outcome.requeue_after) == ({"missing_since": NOW}, 2 * SETTLE)
    asked = app(Reason.DELETE_REQUESTED, delete_requested_at=LONG_AGO, missing_since=ago(1.5))
    written, outcome = one_pass(asked)
    assert [said for said in written if "deleted_at" in said.timestamps] == []
    assert outcome.requeue_after == pytest.approx(0.5 * SETTLE)
    [said], _ = one_pass(asked.model_copy(update={"missing_since": ago(2.0)}))
    assert said.status is AppStatus.DELETED


def test_absence_is_not_believed_while_everything_is_stopped() -> None:
    """The key may see only a part; what Neon itself calls deleted is deleted all the same."""
    asked = app(Reason.DELETE_REQUESTED, delete_requested_at=LONG_AGO, missing_since=ago(2.0))
    written, outcome = one_pass(asked, stopped=True)
    assert [said.status for said in written] == [AppStatus.DELETING]
    assert outcome.backoff
    written, _ = one_pass(asked, recoverable=True, stopped=True)
    assert [said.status for said in written] == [AppStatus.DELETED]


def test_a_recover_that_fails_is_still_told_as_one() -> None:
    """What is said of the failure does not take back what the same pass wrote before it."""
    missing = app(Reason.PROJECT_MISSING)
    for refusal in (UNAVAILABLE, MutationsSuspended("no")):
        written, _ = one_pass(missing, recoverable=True, confirmed=True, refusal=refusal)
        ready = [find_condition(said.conditions, ConditionType.READY) for said in written]
        assert [each and each.reason for each in ready] == [Reason.RECOVERING, Reason.RECOVERING]
        assert [dict(said.timestamps) for said in written] == [{"missing_since": NOW}, {}]


def test_a_refusal_to_be_told_is_not_told() -> None:
    """Who may not write, or waits for a turn, says nothing of the recover."""
    missing = app(Reason.PROJECT_MISSING)
    for end in (LeaseLost("lost"), CatalogUnavailable("gone")):
        with pytest.raises(type(end)):
            one_pass(missing, recoverable=True, confirmed=True, refusal=end)
    written, outcome = one_pass(missing, recoverable=True, confirmed=True, refusal=RateLimitExhausted("none left"))
    assert (len(written), outcome.backoff, outcome.low_priority) == (1, False, True)


def test_what_no_sweep_confirmed_is_not_recovered() -> None:
    """A recover may have been sent before, so its time is kept."""
    [said], outcome = one_pass(app(Reason.RECOVERING, missing_since=ago(1.0)), recoverable=True)
    ready = find_condition(said.conditions, ConditionType.READY)
    assert ready is not None
    assert (ready.reason, dict(said.timestamps), outcome.requeue_after) == (
        Reason.PROJECT_MISSING,
        {"missing_since": NOW},
        None,
    )


def test_a_first_look_is_told_as_one() -> None:
    for confirmed, words in ((True, "retrying"), (False, "The next resync")):
        [said], _ = one_pass(app(Reason.AVAILABLE), confirmed=confirmed)
        ready = find_condition(said.conditions, ConditionType.READY)
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", Reason.PROJECT_MISSING)
        assert words in ready.message


@pytest.mark.parametrize("partial", ["deleted", "alive"])
def test_two_complete_lists_prove_that_it_is_gone(partial: str) -> None:
    whole, part = ProjectListing(projects=()), ProjectListing(projects=(), unavailable_project_ids=("p-9",))
    steps = confirm_absent("p-1", part if partial == "deleted" else whole)
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(part if partial == "alive" else whole)
    assert end.value.value is False
