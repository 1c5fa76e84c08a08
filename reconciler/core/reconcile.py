"""The order of the stages of a reconcile."""

from __future__ import annotations

from reconciler.core.conditions import ConditionUpdate, build_status_update, record_error, record_if_changed
from reconciler.core.context import ReconcileContext, Result
from reconciler.core.effects import EffectGenerator, VerifyAccess, perform
from reconciler.core.stages.create import create
from reconciler.core.stages.delete import delete
from reconciler.core.stages.duplicates import delete_duplicates
from reconciler.core.stages.sync import sync_project
from reconciler.errors import CatalogUnavailable, LeaseLost, RateLimitExhausted, ReconcileError
from specs.status import Reason

# A repair without a token of the rate limit is requeued after this time, and up to twice that.
RATE_LIMIT_REQUEUE_SECONDS = 2.0
OWNER_UNCONFIRMED = ConditionUpdate(
    "False",
    Reason.OWNER_UNCONFIRMED,
    "The app's row was lost and rebuilt from its project's annotations. Its URI is withheld and its project is not "
    "changed. Operator action required: confirm the owner with `morphik-apps app confirm-owner`.",
)


def reconcile(ctx: ReconcileContext) -> EffectGenerator[Result]:
    """Observe one app, send at most one mutation, record, and return when to reconcile again.

    Raises:
        LeaseLost: another worker may hold the lease; nothing is recorded.
        CatalogUnavailable: nothing can be recorded now.
    """
    try:
        return (yield from _reconcile_app(ctx))
    except (LeaseLost, CatalogUnavailable):
        raise
    except RateLimitExhausted:
        # A wait for the rate limit is no condition of the app.
        return Result(RATE_LIMIT_REQUEUE_SECONDS * (1 + ctx.jitter), low_priority=True)
    except ReconcileError as error:
        return (yield from record_error(ctx, error))


def _reconcile_app(ctx: ReconcileContext) -> EffectGenerator[Result]:
    app = ctx.app
    if app.hold_reason == "owner":
        yield from record_if_changed(ctx, build_status_update(ctx, synced=OWNER_UNCONFIRMED))
        return Result(None)
    if app.delete_requested_at is not None and app.deleted_at is None:
        return (yield from delete(ctx))
    if app.deleted_at is not None and not ctx.duplicate_ids:
        return Result(None)
    org_id = yield from perform(VerifyAccess())
    if app.deleted_at is not None:
        return (yield from delete_duplicates(ctx, org_id))
    if app.project_id is None:
        return (yield from create(ctx, org_id))
    if not ctx.duplicate_ids:
        return (yield from sync_project(ctx, org_id, app.project_id))
    # A failure of the duplicates must not delay the app itself.
    duplicates = yield from delete_duplicates(ctx, org_id)
    own = duplicates if duplicates.requeue_after == 0.0 else (yield from sync_project(ctx, org_id, app.project_id))
    return duplicates if own.requeue_after is None else own
