"""Apps that the reconciler does not touch."""

from __future__ import annotations

from reconciler.core.conditions import build_status_update, record_if_changed
from reconciler.core.context import ConditionUpdate, ReconcileContext, Result
from reconciler.core.effects import EffectGenerator
from specs.status import Reason

OWNER_UNCONFIRMED = ConditionUpdate(
    "False",
    Reason.OWNER_UNCONFIRMED,
    "The app's row was lost and rebuilt from its project's annotations. Its URI is withheld and its project is not "
    "changed. Operator action required: confirm the owner with `morphik-apps app confirm-owner`.",
)


def hold(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Stop at an app without a confirmed owner, and at a deleted one without duplicates."""
    if ctx.app.hold_reason == "owner":
        yield from record_if_changed(ctx, build_status_update(ctx, synced=OWNER_UNCONFIRMED))
        return Result(None)
    return Result(None) if ctx.app.deleted_at is not None and not ctx.duplicate_ids else None
