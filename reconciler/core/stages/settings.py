"""The settings of the app's project: updates after a change of the desired state, and repairs of drift."""

from __future__ import annotations

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import (
    UP_TO_DATE,
    build_status_update,
    record_if_changed,
    requeue_with_backoff,
)
from reconciler.core.context import ConditionUpdate, Event, ReconcileContext, Result
from reconciler.core.diff import changed_fields, diff_project, immutable_drift
from reconciler.core.effects import AuthorizeMutation, EffectGenerator, UpdateProject, perform
from specs.status import Reason


def apply_settings(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Send the settings that differ. Stores ``observed.synced``.

    A difference is an update if the desired state has changed, and else drift.
    """
    project_id = ctx.observed.project.id
    immutable = immutable_drift(ctx.app, ctx.observed.project)
    update = diff_project(ctx.app, ctx.observed.project)
    if update is None:
        text = f"The project has drift that cannot be repaired in place: {immutable}. Operator action required."
        drift = ConditionUpdate("False", Reason.IMMUTABLE_DRIFT, text)
        ctx.observed.synced = UP_TO_DATE if immutable is None else drift
        return None
    yield from perform(AuthorizeMutation())
    response = yield from perform(UpdateProject(project_id, update))
    left = diff_project(ctx.app, response.project)
    if left is not None:
        text = f"Neon accepted the settings but kept its own values: {changed_fields(left)}. Operator action required."
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.NEON_REJECTED, text))
        )
        return Result(CAP_SECONDS, backoff=True)
    event = (
        Event("Updated", "DesiredStateChanged", f"Applied the new values: {changed_fields(update)}.")
        if ctx.app.is_updating
        else Event("DriftRepaired", "ChangedAtNeon", f"Restored the desired values: {changed_fields(update)}.")
    )
    yield from record_if_changed(ctx, build_status_update(ctx, synced=UP_TO_DATE, events=(event,)))
    # If the values do not last, the next requests are delayed by backoff.
    return requeue_with_backoff(ctx, 1.0)
