"""What bears an app's name beside its recorded project: one at a time, in the order in which a sweep named it."""

from __future__ import annotations

from reconciler.core import effects as e
from reconciler.core.snapshot import Next
from reconciler.errors import MutationStopped
from specs.status import Reason
from tests.unit.core_passes import Neon, passed
from tests.unit.test_core_recovering import app, project

OF = app(Reason.AVAILABLE)
THERE = project(OF)
UNPROVEN = project(OF, id="p-2")


def test_the_first_candidate_comes_first() -> None:
    done = passed(OF, Neon(alive=(THERE, UNPROVEN)), surplus_ids=("p-2", "p-3"))
    assert e.DropSurplus("p-2", report=True) in done.effects
    assert done.again == Next(0.0)


def test_what_is_not_proven_is_told_once_with_its_reason() -> None:
    (said,) = passed(OF, Neon(alive=(THERE, UNPROVEN)), surplus_ids=("p-2",)).told
    assert [(each.type, each.reason) for each in said.events] == [("LeftAlone", Reason.NOT_PROVEN_OURS)]


def test_what_stops_a_surplus_does_not_hold_up_the_app_that_lives() -> None:
    neon = Neon(alive=(THERE, UNPROVEN), errors={e.DropSurplus: MutationStopped("the budget of the sweeps is used up")})
    lives = passed(OF, neon, surplus_ids=("p-2",))
    assert "ListEndpoints" in lives.kinds or "OpenSeal" in lives.kinds
    gone = app(Reason.AVAILABLE, deleted_at=OF.created_at, delete_requested_at=OF.created_at)
    again = passed(gone, neon, surplus_ids=("p-2",)).again
    assert (again is not None and again.failed, "OpenSeal" in lives.kinds) == (True, True)
