"""What bears an app's name beside its recorded project: one at a time, in the order in which a sweep named it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.core import effects as e
from reconciler.core.context import CreateIntent, Result
from reconciler.errors import (
    CatalogUnavailable,
    LeaseLost,
    MutationsSuspended,
    NeonInvalidRequest,
    RateLimitExhausted,
    ReconcileError,
)
from specs.status import Reason
from tests.unit.core_passes import GONE, Neon, mark, neon_error, passed
from tests.unit.test_core_recovering import LONG_AGO, NOW, app, project

OF = app(Reason.AVAILABLE)
THERE = project(OF)
UNPROVEN = project(OF, id="p-2")


def test_the_first_candidate_comes_first() -> None:
    done = passed(OF, Neon(alive=(THERE, UNPROVEN)), duplicate_ids=("p-2", "p-3"))
    assert e.DismissDuplicate("p-2", report=True) in done.effects
    assert done.again == Result(0.0)


def test_what_is_not_proven_is_told_once_with_its_reason() -> None:
    (said,) = passed(OF, Neon(alive=(THERE, UNPROVEN)), duplicate_ids=("p-2",)).told
    assert [(each.type, each.reason) for each in said.events] == [("DuplicateRetained", Reason.OWNERSHIP_UNVERIFIED)]


REFUSALS = (MutationsSuspended("the budget of the sweeps is used up"), neon_error(NeonInvalidRequest), GONE)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_holds_up_a_surplus_does_not_hold_up_the_app_that_lives(refusal: ReconcileError) -> None:
    neon = Neon(alive=(THERE, UNPROVEN), errors={e.DismissDuplicate: refusal})
    lives = passed(OF, neon, duplicate_ids=("p-2",), attempts=3)
    assert "ListEndpoints" in lives.kinds
    assert lives.again is not None
    assert lives.again.backoff
    gone = app(Reason.AVAILABLE, deleted_at=OF.created_at, delete_requested_at=OF.created_at)
    again = passed(gone, neon, duplicate_ids=("p-2",)).again
    assert again is not None
    assert again.backoff


def test_a_young_surplus_waits_and_its_app_does_not() -> None:
    """It is young by Neon's clock, which may be ahead."""
    intent = CreateIntent(1, 1, "n", "absent", LONG_AGO)
    young = project(OF, id="p-2", created_at=NOW + timedelta(hours=1))
    neon = Neon(alive=(THERE, young), marks={"p-2": mark(OF, intent)})
    done = passed(OF, neon, intents=(intent,), duplicate_ids=("p-2",))
    assert "ListEndpoints" in done.kinds
    assert done.again == Result(3630.0, low_priority=True)


@pytest.mark.parametrize("error", [LeaseLost("lost"), CatalogUnavailable("gone"), RateLimitExhausted("none left")])
def test_who_may_not_go_on_leaves_the_app_too(error: ReconcileError) -> None:
    done = passed(OF, Neon(alive=(THERE, UNPROVEN), errors={e.DismissDuplicate: error}), duplicate_ids=("p-2",))
    assert "ListEndpoints" not in done.kinds
    assert done.error is error or done.again == Result(3.0, low_priority=True)
