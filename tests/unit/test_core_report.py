"""What an error says of an app, whom it tells, and when the next try comes."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import errors
from reconciler.core import effects as e
from reconciler.core.conditions import (
    SILENT_ATTEMPTS,
    build_status_update,
    condition_for_error,
    record_error,
    record_if_changed,
)
from reconciler.core.context import ConditionUpdate, ControlPlane, ReconcileContext, Result, StatusUpdate
from reconciler.core.reconcile import reconcile
from specs.metadata import AppMetadata
from specs.status import AppStatus, ConditionType, Reason, find_condition
from tests.unit.test_core_recovering import LONG_AGO, NOW, app

BACKOFF, SLOW = 1.0, 45.0
"""After two failed passes, with a jitter of a half."""


FLEET = "12 of 99 projects of org-of-the-operator"


def neon(kind: type[errors.NeonAPIError], said: str = "d", **more: Any) -> errors.NeonAPIError:
    return kind(method="GET", route="/projects", detail=said, **more)


def snapshot(of: AppMetadata, attempts: int = 2) -> ReconcileContext:
    return ReconcileContext(
        of, ControlPlane("morphik", "catalog-1", 30.0, (".neon.tech",)), NOW, attempts, 0.5, "nonce"
    )


def written(steps: e.EffectGenerator[Any]) -> tuple[list[StatusUpdate], Any]:
    """What is recorded by steps that ask nothing, and their result."""
    told: list[StatusUpdate] = []
    try:
        while True:
            effect = next(steps)
            assert isinstance(effect, e.RecordStatus)
            told.append(effect.update)
    except StopIteration as end:
        return told, end.value


@pytest.mark.parametrize(
    ("error", "status", "reason", "seconds"),
    [
        (errors.MutationsSuspended("stopped"), "False", Reason.MUTATIONS_SUSPENDED, SLOW),
        (errors.ProjectsUnexamined(130), "False", Reason.MUTATIONS_SUSPENDED, BACKOFF),
        (errors.AppDatabaseUnreachable("refused"), "False", Reason.CONNECTING, BACKOFF),
        (neon(errors.NeonUnauthorized), "False", Reason.NEON_UNAUTHORIZED, BACKOFF),
        (neon(errors.NeonProjectLimitReached), "False", Reason.PROJECT_LIMIT_REACHED, SLOW),
        (neon(errors.NeonLimitReached), "False", Reason.PLAN_LIMIT_REACHED, SLOW),
        (neon(errors.NeonQuotaExceeded), "False", Reason.QUOTA_EXCEEDED, SLOW),
        (neon(errors.NeonNotFound), "Unknown", Reason.OUTCOME_UNKNOWN, BACKOFF),
        (neon(errors.NeonConflict), "False", Reason.NEON_REJECTED, SLOW),
        (neon(errors.NeonRateLimited), "False", Reason.NEON_RATE_LIMITED, BACKOFF),
        (neon(errors.NeonRateLimited, retry_after=17.0), "False", Reason.NEON_RATE_LIMITED, 17.0),
        (neon(errors.NeonLocked), "False", Reason.NEON_LOCKED, BACKOFF),
        (neon(errors.NeonUnavailable), "False", Reason.NEON_UNAVAILABLE, BACKOFF),
        (neon(errors.NeonOutcomeUnknown), "Unknown", Reason.NEON_UNAVAILABLE, BACKOFF),
        (neon(errors.NeonIntermediaryError), "Unknown", Reason.NEON_UNAVAILABLE, BACKOFF),
        (errors.InvalidNeonId("project_id"), "False", Reason.ON_HOLD, SLOW),
        (errors.ReconcileError("odd"), "False", Reason.ON_HOLD, SLOW),
    ],
)
def test_each_error_has_its_reason_and_its_next_try(
    error: errors.ReconcileError, status: str, reason: Reason, seconds: float
) -> None:
    said, again = condition_for_error(snapshot(app(Reason.AVAILABLE)), error)
    assert (said.status, said.reason) == (status, reason)
    assert again == Result(seconds, backoff=True)


@pytest.mark.parametrize(
    ("error", "message", "detail"),
    [
        (
            neon(errors.NeonIntermediaryError),
            "An intermediary responded in place of Neon; retrying.",
            "check NEON_API_URL and the proxies between the reconciler and Neon.",
        ),
        (
            errors.InvalidNeonId("project_id"),
            "The app cannot be reconciled. Operator action required.",
            "Correct the app's project_id in the catalog.",
        ),
    ],
)
def test_explain_an_error_that_is_not_neons_names_it(error: errors.ReconcileError, message: str, detail: str) -> None:
    said = condition_for_error(snapshot(app(Reason.AVAILABLE)), error)[0]
    assert said.message == message
    assert (said.operator_message or "").endswith(detail)


@pytest.mark.parametrize(
    "error",
    [
        errors.MutationsSuspended(FLEET),
        errors.ReconcileError(FLEET),
        *(neon(kind, said=FLEET) for kind in (errors.NeonUnauthorized, errors.NeonConflict, errors.NeonNotFound)),
        *(neon(kind, said=FLEET) for kind in (errors.NeonRateLimited, errors.NeonUnavailable, errors.NeonLocked)),
        *(neon(kind, said=FLEET) for kind in (errors.NeonProjectLimitReached, errors.NeonLimitReached)),
        *(neon(kind, said=FLEET) for kind in (errors.NeonQuotaExceeded, errors.NeonOutcomeUnknown)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_text_of_an_error_is_the_operators(error: errors.ReconcileError) -> None:
    """Where an operator must act, the text is in the operator's message; it is never in the owner's or in an event."""
    of = snapshot(app(Reason.AVAILABLE), attempts=SILENT_ATTEMPTS)
    ([told], _) = written(record_error(of, error))
    synced = find_condition(told.conditions, ConditionType.SYNCED)
    assert synced is not None
    assert FLEET not in synced.message
    assert [FLEET in event.message for event in told.events] == [False]
    assert (FLEET in (synced.operator_message or "")) == ("Operator action required" in synced.message)


def test_a_refusal_is_neons_own_trouble_for_a_while_and_then_a_persons() -> None:
    for refused in (neon(errors.NeonConflict), neon(errors.NeonProjectLimitReached)):
        asked = [
            condition_for_error(snapshot(app(Reason.AVAILABLE), attempts), refused)[1].requeue_after
            for attempts in (10, 11, 12)
        ]
        assert asked == [45.0, 90.0, 180.0]


@pytest.mark.parametrize("kind", [errors.NeonLocked, errors.NeonOutcomeUnknown, errors.NeonNotFound])
def test_what_passes_by_itself_becomes_news_after_some_passes(kind: type[errors.NeonAPIError]) -> None:
    of = app(Reason.AVAILABLE)
    assert written(record_error(snapshot(of, 2), neon(kind))) == (
        [],
        condition_for_error(snapshot(of, 2), neon(kind))[1],
    )
    told, again = written(record_error(snapshot(of, 3), neon(kind)))
    assert [[event.type for event in said.events] for said in told] == [[ConditionType.SYNCED]]
    assert again == condition_for_error(snapshot(of, 3), neon(kind))[1]


def test_a_database_that_does_not_answer_is_not_ready_and_all_else_is_not_in_sync() -> None:
    of = snapshot(app(Reason.AVAILABLE), 0)
    (said,) = written(record_error(of, errors.AppDatabaseUnreachable("refused")))[0]
    assert [each.type for each in said.events] == [ConditionType.READY]
    (said,) = written(record_error(of, neon(errors.NeonUnavailable)))[0]
    assert [each.type for each in said.events] == [ConditionType.SYNCED]


def test_nothing_is_said_of_a_deleted_app() -> None:
    of = app(Reason.AVAILABLE, deleted_at=LONG_AGO, delete_requested_at=LONG_AGO, status=AppStatus.DELETED)
    told, again = written(record_error(snapshot(of), neon(errors.NeonUnavailable)))
    assert told == []
    assert again == Result(BACKOFF, backoff=True)


def test_an_event_is_told_when_the_status_or_the_reason_changes() -> None:
    of = snapshot(app(Reason.AVAILABLE))
    for said, told in (
        (ConditionUpdate("True", Reason.AVAILABLE, "other words"), 0),
        (ConditionUpdate("False", Reason.AVAILABLE, ""), 1),
        (ConditionUpdate("True", Reason.CONNECTING, ""), 1),
    ):
        assert len(build_status_update(of, ready=said).events) == told


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"project_id": None, "connected_at": None}, AppStatus.PENDING),
        ({"connected_at": None}, AppStatus.PROVISIONING),
        ({}, AppStatus.DEGRADED),
    ],
)
def test_the_status_follows_from_what_is_recorded_and_whether_it_ever_answered(
    changes: dict[str, Any], status: AppStatus
) -> None:
    assert build_status_update(snapshot(app(Reason.QUEUED, **changes))).status is status


def test_what_is_written_now_counts_for_the_status() -> None:
    connecting = snapshot(app(Reason.CONNECTING, connected_at=None))
    assert build_status_update(connecting).status is AppStatus.PROVISIONING
    assert build_status_update(connecting, timestamps={"connected_at": NOW}).status is AppStatus.DEGRADED
    assert build_status_update(connecting, timestamps={"deleted_at": NOW}).status is AppStatus.DELETED


def test_a_generation_is_observed_when_it_is_ready_or_deleted() -> None:
    of = snapshot(app(Reason.CONNECTING, generation=5, observed_generation=4))
    ready = ConditionUpdate("True", Reason.AVAILABLE, "")
    assert build_status_update(of, ready=ready).observed_generation == 5
    assert build_status_update(of, ready=ConditionUpdate("False", Reason.CONNECTING, "")).observed_generation == 4
    assert build_status_update(of, synced=ConditionUpdate("True", Reason.UP_TO_DATE, "")).observed_generation == 4
    assert build_status_update(of, timestamps={"deleted_at": NOW}).observed_generation == 5


def test_a_condition_tells_when_and_for_which_generation() -> None:
    said = build_status_update(
        snapshot(app(Reason.AVAILABLE, generation=5)), synced=ConditionUpdate("False", Reason.ON_HOLD, "a\x00b")
    )
    held = find_condition(said.conditions, ConditionType.SYNCED)
    assert held is not None
    assert (held.last_transition_time, held.observed_generation, held.message) == (NOW, 5, "a?b")
    assert said.events[0].message == "a?b"


def test_only_what_changes_is_written() -> None:
    of = snapshot(app(Reason.AVAILABLE, status=AppStatus.READY))
    assert build_status_update(of, timestamps={"connected_at": LONG_AGO, "missing_since": None}).timestamps == {}
    assert build_status_update(of, timestamps={"missing_since": NOW}).timestamps == {"missing_since": NOW}
    same = StatusUpdate(of.app.status, of.app.conditions, of.app.observed_generation)
    assert written(record_if_changed(of, same))[0] == []
    for other in (
        StatusUpdate(AppStatus.LOST, same.conditions, same.observed_generation),
        StatusUpdate(same.status, (), same.observed_generation),
        StatusUpdate(same.status, same.conditions, 99),
        StatusUpdate(same.status, same.conditions, same.observed_generation, {"missing_since": NOW}),
    ):
        assert written(record_if_changed(of, other))[0] == [other]


def test_an_unconfirmed_owner_is_said_and_nothing_else_is_done() -> None:
    told, again = written(reconcile(snapshot(app(Reason.AVAILABLE, hold_reason="owner"))))
    assert [find_condition(each.conditions, ConditionType.SYNCED).reason for each in told] == [Reason.OWNER_UNCONFIRMED]  # type: ignore[union-attr]
    assert again == Result(None)


@pytest.mark.parametrize("error", [errors.LeaseLost("lost"), errors.CatalogUnavailable("gone")])
def test_who_may_not_write_says_nothing(error: errors.ReconcileError) -> None:
    steps = reconcile(snapshot(app(Reason.AVAILABLE)))
    next(steps)
    with pytest.raises(type(error)):
        steps.throw(error)


def test_who_waits_for_a_turn_comes_back_in_the_background() -> None:
    steps = reconcile(snapshot(app(Reason.AVAILABLE)))
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.throw(errors.RateLimitExhausted("none left"))
    assert end.value.value == Result(3.0, low_priority=True)
