"""A recorded project that Neon does not show.

A 404 proves nothing alone: the key may be another, the organization may be another, the answer may be stale. A
project that can be recovered is recovered, after a sweep has seen that the rest of the fleet is there; one that
cannot be is *lost* after two complete looks and with a key that is proven good. It is never replaced by an empty one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.core.conditions import (
    ConditionUpdate,
    build_status_update,
    record_error,
    record_if_changed,
    requeue_with_backoff,
)
from reconciler.core.context import ReconcileContext, Result, StatusUpdate, TimestampColumn
from reconciler.core.effects import (
    AuthorizeMutation,
    EffectGenerator,
    ListProjects,
    RecoverProject,
    VerifyAccess,
    perform,
)
from reconciler.core.ownership import is_in_organization
from reconciler.errors import CatalogUnavailable, LeaseLost, RateLimitExhausted, ReconcileError
from specs.neon import Project, ProjectListing
from specs.status import AppStatus, ConditionType, Reason, find_condition


def reconcile_missing(ctx: ReconcileContext, org_id: str, project_id: str) -> EffectGenerator[Result]:
    """Recover the project, or say why not yet."""
    deleted = yield from perform(ListProjects(project_id, recoverable=True))
    found = find_by_id(deleted, project_id)
    if found is not None and is_in_organization(found, org_id):
        return (yield from _recover(ctx, project_id))
    if not (yield from confirm_absent(project_id, deleted)):
        return requeue_with_backoff(ctx)
    return (yield from _mark_lost(ctx))


def find_by_id(listing: ProjectListing, project_id: str) -> Project | None:
    """The project of exactly that id in a list, whose search matches parts."""
    return next((project for project in listing.projects if project.id == project_id), None)


def confirm_absent(project_id: str, deleted: ProjectListing) -> EffectGenerator[bool]:
    """Whether neither list holds the project, both are complete, and the key is proven good."""
    alive = yield from perform(ListProjects(project_id))
    if not (deleted.is_complete and alive.is_complete):
        return False
    if find_by_id(alive, project_id) is not None or find_by_id(deleted, project_id) is not None:
        return False
    if project_id in alive.unreadable_ids | deleted.unreadable_ids:
        return False
    yield from perform(VerifyAccess(fresh=True))
    return True


def recovery_in_flight_since(ctx: ReconcileContext) -> datetime | None:
    """Since when no recover of ours was sent, while one may still take effect; None when none can.

    Whoever sends one may have stood still before, however long ago its pass began. So the time counts from the first
    pass after it, which finds that the app is being recovered; who sent before that has no permission any more.
    """
    ready = find_condition(ctx.app.conditions, ConditionType.READY)
    if ready is not None and ready.reason == Reason.RECOVERING:
        return ctx.now
    since = ctx.app.missing_since
    return None if since is None or ctx.now >= since + 2 * ctx.settle_window else since


def first_missed_at(ctx: ReconcileContext, reason: Reason) -> datetime | None:
    """When the first of two looks missed the project, as ``said`` tells; else ``missing_since`` is of a recover."""
    ready = find_condition(ctx.app.conditions, ConditionType.READY)
    return ctx.app.missing_since if ready is not None and ready.reason == reason else None


def remaining_seconds(ctx: ReconcileContext, since: datetime) -> float:
    """Seconds until neither a recover that was sent before ``since`` nor a list that lags can change what was seen."""
    return (since + 2 * ctx.settle_window - ctx.now).total_seconds()


def _recover(ctx: ReconcileContext, project_id: str) -> EffectGenerator[Result]:
    if ctx.app.hold_reason == "recovery":
        text = (
            "The project was deleted at Neon before the catalog was promoted, perhaps at its owner's request. Operator "
            "action required: `morphik-apps app confirm-owner` recovers it, deleting the app ends it."
        )
        yield from record_if_changed(
            ctx, build_status_update(ctx, ready=ConditionUpdate("False", Reason.PROJECT_MISSING, text))
        )
        return Result(None)
    if not ctx.confirmed_missing:
        text = "The project was deleted at Neon; it will be recovered when a sweep has seen the rest of the fleet."
        columns: dict[TimestampColumn, datetime | None] = {"missing_since": recovery_in_flight_since(ctx)}
        yield from record_if_changed(
            ctx,
            build_status_update(ctx, ready=ConditionUpdate("False", Reason.PROJECT_MISSING, text), timestamps=columns),
        )
        return Result(None)
    # Written before the request: nobody must take the app for settled or deleted while this may still take effect.
    said = ConditionUpdate(
        "False", Reason.RECOVERING, "The project was deleted at Neon and is being recovered, with its data."
    )
    recovering = build_status_update(ctx, ready=said, timestamps={"missing_since": ctx.now})
    yield from record_if_changed(ctx, recovering)
    try:
        yield from perform(AuthorizeMutation())
        yield from perform(RecoverProject(project_id))
    except (LeaseLost, CatalogUnavailable, RateLimitExhausted):
        raise
    except ReconcileError as error:
        # What was just said stays said: else the time of this recover would pass for that of a look at the lists.
        return (yield from record_error(_with_update(ctx, recovering), error))
    return requeue_with_backoff(ctx, 1.0)


def _with_update(ctx: ReconcileContext, said: StatusUpdate) -> ReconcileContext:
    """The app as this pass has just written it."""
    written = {
        "conditions": said.conditions,
        "status": said.status,
        **{str(c): at for c, at in said.timestamps.items()},
    }
    return replace(ctx, app=ctx.app.model_copy(update=written))


def _mark_lost(ctx: ReconcileContext) -> EffectGenerator[Result]:
    if ctx.app.status is AppStatus.LOST:
        return Result(None)
    since = first_missed_at(ctx, Reason.PROJECT_MISSING)
    if not ctx.confirmed_missing or since is None or ctx.now < since + 2 * ctx.settle_window:
        text = "Neon does not show the project, neither among the live nor among the recoverable; looking again."
        if not ctx.confirmed_missing:
            text = "Neon does not show the project; a sweep has to see the rest of the fleet before more is concluded."
        missing, since = ConditionUpdate("False", Reason.PROJECT_MISSING, text), since or ctx.now
        yield from record_if_changed(ctx, build_status_update(ctx, ready=missing, timestamps={"missing_since": since}))
        return Result(remaining_seconds(ctx, since) if ctx.confirmed_missing else None)
    text = "The project is gone from Neon and cannot be recovered; an operator must decide what to do."
    yield from record_if_changed(
        ctx, build_status_update(ctx, ready=ConditionUpdate("False", Reason.PROJECT_LOST, text))
    )
    return Result(None)
