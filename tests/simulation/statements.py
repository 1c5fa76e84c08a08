"""Statements of the catalog under faults: one that was not carried out, and one whose answer was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reconciler.catalog.work_queue import WorkItem
from reconciler.core import effects as e
from reconciler.errors import CatalogUnavailable, ReconcileError
from tests.simulation.faults import Kind
from tests.simulation.fleet import FleetCatalog
from tests.simulation.neon import Answered
from tests.simulation.steps import Do, Release, Violation
from tests.simulation.world import Meeting

if TYPE_CHECKING:
    from tests.simulation.tasks import Task


def carry_out(task: Task, met: Meeting) -> Answered:
    """The answer to a statement."""
    met.taken.asked = True
    lost = Answered(error=CatalogUnavailable("the catalog did not answer"))
    if met.strikes(Kind.CATALOG_REFUSED):
        return lost
    try:
        answered = Answered(_statement(task, met.taken.step))
    except ReconcileError as error:
        answered = Answered(error=error)
    if met.strikes(Kind.UNOPENED):
        return Answered()
    return lost if met.strikes(Kind.CATALOG_LOST) else answered


def _statement(task: Task, step: Any) -> Any:
    if isinstance(step, Do):
        return step.act()
    if task.claimed is None:
        raise Violation(f"{task.name}: a round writes {step}")
    act = _STATEMENTS.get(type(step))
    if act is None:
        raise Violation(f"no such effect: {step}")
    return act(task.world.catalog, task.claimed, step)


_STATEMENTS: dict[type, Callable[[FleetCatalog, WorkItem, Any], Any]] = {
    Release: lambda c, of, s: c.release(of.lease, s.outcome),
    e.DecryptCredentials: lambda c, of, _: c.open_seal(of.app),
    e.OpenIntent: lambda c, of, s: c.open_intent(of.lease, s),
    e.AuthorizeMutation: lambda c, of, s: c.permit(of.lease, swept=s.automatic),
    e.MarkIntentRejected: lambda c, of, s: c.settle_intent(of.lease, s.create_seq, "rejected", absent=False),
    e.RecordAbsence: lambda c, of, s: c.settle_intent(
        of.lease, s.create_seq, "absent" if s.confirmed else "open", absent=True
    ),
    e.RecordProject: lambda c, of, s: c.record_project(of.lease, of.app, s),
    e.RecordCredentials: lambda c, of, s: c.record(of.lease, s.update, s.credentials),
    e.RecordStatus: lambda c, of, s: c.record(of.lease, s.update),
    e.DismissDuplicate: lambda c, of, s: c.drop_surplus(of.lease, s.project_id, report=s.report),
}
