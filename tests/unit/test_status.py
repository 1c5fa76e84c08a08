"""The one word for an app, and how conditions change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from specs.status import (
    MANUAL_ACTION_REASONS,
    AppStatus,
    Condition,
    ConditionType,
    Reason,
    derive_status,
    find_condition,
    set_condition,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
Truth = Literal["True", "False", "Unknown"]


def said(kind: ConditionType, status: Truth, reason: Reason, at: datetime = AT) -> Condition:
    """A condition."""
    return Condition(
        type=kind, status=status, reason=reason, message="m", last_transition_time=at, observed_generation=1
    )


READY = said(ConditionType.READY, "True", Reason.AVAILABLE)
WAITING = said(ConditionType.READY, "False", Reason.QUEUED)
RUNNING = said(ConditionType.READY, "False", Reason.OPERATIONS_RUNNING)
LOST = said(ConditionType.READY, "False", Reason.PROJECT_LOST)
IN_SYNC = said(ConditionType.SYNCED, "True", Reason.UP_TO_DATE)
REFUSED = said(ConditionType.SYNCED, "False", Reason.NEON_REJECTED)
DOWN = said(ConditionType.SYNCED, "False", Reason.NEON_UNAVAILABLE)


@pytest.mark.parametrize(
    ("conditions", "recorded", "connected", "status"),
    [
        ((), False, False, AppStatus.PENDING),
        ((WAITING,), False, False, AppStatus.PENDING),
        ((WAITING, DOWN), False, False, AppStatus.PENDING),
        ((RUNNING,), False, False, AppStatus.PROVISIONING),
        ((WAITING,), True, False, AppStatus.PROVISIONING),
        ((READY, IN_SYNC), True, True, AppStatus.READY),
        ((READY, DOWN), True, True, AppStatus.READY),
        ((READY, REFUSED), True, True, AppStatus.DEGRADED),
        ((RUNNING, IN_SYNC), True, True, AppStatus.DEGRADED),
        ((WAITING, REFUSED), False, False, AppStatus.FAILED),
        ((LOST, REFUSED), True, True, AppStatus.LOST),
    ],
)
def test_the_word_for_conditions(
    conditions: tuple[Condition, ...], recorded: bool, connected: bool, status: AppStatus
) -> None:
    """What is known decides."""
    found = derive_status(
        conditions, outdated=False, deleting=False, deleted=False, recorded=recorded, connected=connected
    )
    assert found == status


@pytest.mark.parametrize("conditions", [(), (READY, IN_SYNC), (LOST,), (WAITING, REFUSED)])
def test_a_delete_goes_before_everything(conditions: tuple[Condition, ...]) -> None:
    """Whatever is known of an app that is being deleted, or was."""
    deleting = derive_status(conditions, outdated=False, deleting=True, deleted=False, recorded=True, connected=True)
    deleted = derive_status(conditions, outdated=False, deleting=True, deleted=True, recorded=True, connected=True)
    assert (deleting, deleted) == (AppStatus.DELETING, AppStatus.DELETED)


@pytest.mark.parametrize("reason", sorted(MANUAL_ACTION_REASONS))
def test_what_needs_a_person_is_failed_or_degraded(reason: Reason) -> None:
    """Never ready."""
    synced = said(ConditionType.SYNCED, "False", reason)
    new = derive_status(
        (WAITING, synced), outdated=False, deleting=False, deleted=False, recorded=False, connected=False
    )
    served = derive_status(
        (READY, synced), outdated=False, deleting=False, deleted=False, recorded=True, connected=True
    )
    assert (new, served) == (AppStatus.FAILED, AppStatus.DEGRADED)


def test_the_same_statement_again_is_an_equal_value() -> None:
    """The time of the transition stays, so nothing is written."""
    later = said(ConditionType.READY, "True", Reason.AVAILABLE, AT + timedelta(hours=1))
    assert set_condition((READY, IN_SYNC), later) == (READY, IN_SYNC)


def test_another_status_moves_the_time() -> None:
    """Another reason alone does not."""
    later = AT + timedelta(hours=1)
    reworded = set_condition((RUNNING,), said(ConditionType.READY, "False", Reason.CONNECTING, later))
    turned = set_condition((RUNNING,), said(ConditionType.READY, "True", Reason.AVAILABLE, later))
    assert [each.last_transition_time for each in reworded + turned] == [AT, later]
    assert find_condition(turned, ConditionType.SYNCED) is None
