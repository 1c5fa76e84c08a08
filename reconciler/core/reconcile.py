"""The order of one pass over one app."""

from __future__ import annotations

from reconciler.core.create import create
from reconciler.core.delete import delete
from reconciler.core.effects import ConfirmAccess, Steps, perform
from reconciler.core.maintain import maintain
from reconciler.core.report import Said, progress, record, report_failure
from reconciler.core.snapshot import Next, Snapshot
from reconciler.core.surplus import sweep_surplus
from reconciler.errors import CatalogUnavailable, LeaseLost, RateLimitExhausted, ReconcileError
from specs.status import Reason

# A repair that found no room in the request budget comes back after so long, and up to twice that.
BUDGET_SECONDS = 2.0
UNCONFIRMED = Said(
    "False",
    Reason.OWNER_UNCONFIRMED,
    "The app's row was lost and rebuilt from what its project says. Nothing is done to it, and it has no URI, until an "
    "operator confirms its owner with `morphik-apps claim --confirm`.",
)


def reconcile(s: Snapshot) -> Steps[Next]:
    """One pass: look, change at most one thing at Neon, record, and say when to look again.

    Raises:
        LeaseLost: another worker may hold the app; everything is discarded.
        CatalogUnavailable: nothing can be recorded now.
    """
    try:
        return (yield from _pass(s))
    except (LeaseLost, CatalogUnavailable):
        raise
    except RateLimitExhausted:
        # Waiting for one's turn is no news about the app.
        return Next(BUDGET_SECONDS * (1 + s.jitter), background=True)
    except ReconcileError as error:
        return (yield from report_failure(s, error))


def _pass(s: Snapshot) -> Steps[Next]:
    app = s.app
    if app.held_for == "owner":
        yield from record(s, progress(s, synced=UNCONFIRMED))
        return Next(None)
    if app.delete_requested_at is not None and app.deleted_at is None:
        return (yield from delete(s))
    if app.deleted_at is not None and not s.surplus_ids:
        return Next(None)
    org_id = yield from perform(ConfirmAccess())
    if app.deleted_at is not None:
        return (yield from sweep_surplus(s, org_id))
    if app.project_id is None:
        return (yield from create(s, org_id))
    if not s.surplus_ids:
        return (yield from maintain(s, org_id, app.project_id))
    # Whatever becomes of it, the app itself is not held up.
    beside = yield from sweep_surplus(s, org_id)
    own = beside if beside.after == 0.0 else (yield from maintain(s, org_id, app.project_id))
    return beside if own.after is None else own
