"""A recorded project that Neon does not return.

A 404 alone proves nothing: the key or the organization may have changed, or the response may be stale. A recoverable
project is recovered after a resync has ruled out a mass disappearance. A project that is not recoverable is *lost*
after two pairs of complete lists from a verified key. It is never replaced by an empty one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import (
    build_status_update,
    record_error,
    record_if_changed,
    requeue_with_backoff,
)
from reconciler.core.context import ConditionUpdate, ReconcileContext, Result, StatusUpdate, TimestampColumn
from reconciler.core.effects import (
    AuthorizeMutation,
    EffectGenerator,
    GetProject,
    ListProjects,
    RecoverProject,
    VerifyAccess,
    perform,
)
from reconciler.core.ownership import is_in_organization
from reconciler.errors import CatalogUnavailable, LeaseLost, NeonNotFound, RateLimitExhausted, ReconcileError
from specs.neon import Project, ProjectListing
from specs.status import AppStatus, ConditionType, Reason, find_condition


def observe_project(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Read the project, or reconcile its absence. Stores ``observed.project``."""
    org_id, project_id = ctx.observed.org_id, ctx.project_id
    try:
        project = yield from perform(GetProject(project_id))
    except NeonNotFound:
        return (yield from reconcile_missing(ctx, org_id, project_id))
    if project.deleted_at is not None:
        return (yield from reconcile_missing(ctx, org_id, project_id))
    if not is_in_organization(project, org_id):
        on_hold = ConditionUpdate(
            "False", Reason.ON_HOLD, "The project belongs to another organization. Operator action required."
        )
        yield from record_if_changed(ctx, build_status_update(ctx, synced=on_hold))
        return Result(CAP_SECONDS, backoff=True)
    ctx.observed.project = project
    return None


def reconcile_missing(ctx: ReconcileContext, org_id: str, project_id: str) -> EffectGenerator[Result]:
    """Recover the project, or record why that is not possible yet."""
    deleted = yield from perform(ListProjects(project_id, recoverable=True))
    project = find_by_id(deleted, project_id)
    if project is not None and is_in_organization(project, org_id):
        return (yield from _recover(ctx, project_id))
    if not (yield from confirm_absent(project_id, deleted)):
        return requeue_with_backoff(ctx)
    return (yield from _mark_lost(ctx))


def find_by_id(listing: ProjectListing, project_id: str) -> Project | None:
    """Return the project with exactly this id from a list, as Neon's search matches parts."""
    return next((project for project in listing.projects if project.id == project_id), None)


def confirm_absent(project_id: str, deleted: ProjectListing) -> EffectGenerator[bool]:
    """Whether neither list contains the project, both are complete, and the key is verified."""
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
    """Return the time after which no recover was sent, while one may still take effect, else None.

    A process may stop for any time between the start of its reconcile and its request. So the time counts from the
    first later reconcile, which finds the reason RECOVERING; from then on the earlier lease authorizes no request.
    """
    ready = find_condition(ctx.app.conditions, ConditionType.READY)
    if ready is not None and ready.reason == Reason.RECOVERING:
        return ctx.now
    since = ctx.app.missing_since
    return None if since is None or ctx.now >= since + 2 * ctx.settle_window else since


def first_missed_at(ctx: ReconcileContext, reason: Reason) -> datetime | None:
    """Return when the first of two checks missed the project; None if ``missing_since`` is the time of a recover."""
    ready = find_condition(ctx.app.conditions, ConditionType.READY)
    return ctx.app.missing_since if ready is not None and ready.reason == reason else None


def remaining_seconds(ctx: ReconcileContext, since: datetime) -> float:
    """Return the seconds until neither a recover sent before ``since`` nor a stale list can change the result."""
    return (since + 2 * ctx.settle_window - ctx.now).total_seconds()


def _recover(ctx: ReconcileContext, project_id: str) -> EffectGenerator[Result]:
    if ctx.app.hold_reason == "recovery":
        text = (
            "The project was deleted at Neon before the catalog was promoted, perhaps at its owner's request. Operator "
            "action required: recover the project with `morphik-apps app confirm-owner`, or delete the app."
        )
        yield from record_if_changed(
            ctx, build_status_update(ctx, ready=ConditionUpdate("False", Reason.PROJECT_MISSING, text))
        )
        return Result(None)
    if not ctx.confirmed_missing:
        text = "The project was deleted at Neon. It is recovered after the next resync confirms it. No action required."
        columns: dict[TimestampColumn, datetime | None] = {"missing_since": recovery_in_flight_since(ctx)}
        yield from record_if_changed(
            ctx,
            build_status_update(ctx, ready=ConditionUpdate("False", Reason.PROJECT_MISSING, text), timestamps=columns),
        )
        return Result(None)
    # Recorded before the request: the app must not count as converged or deleted while this may still take effect.
    condition = ConditionUpdate(
        "False", Reason.RECOVERING, "The project was deleted at Neon and is being recovered, with its data."
    )
    recovering = build_status_update(ctx, ready=condition, timestamps={"missing_since": ctx.now})
    yield from record_if_changed(ctx, recovering)
    try:
        yield from perform(AuthorizeMutation())
        yield from perform(RecoverProject(project_id))
    except (LeaseLost, CatalogUnavailable, RateLimitExhausted):
        raise
    except ReconcileError as error:
        # The condition just recorded must stay: else the time of this recover would count as that of a check.
        return (yield from record_error(_with_update(ctx, recovering), error))
    return requeue_with_backoff(ctx, 1.0)


def _with_update(ctx: ReconcileContext, update: StatusUpdate) -> ReconcileContext:
    """Return the context with the app as this reconcile has just written it."""
    written = {
        "conditions": update.conditions,
        "status": update.status,
        **{str(c): at for c, at in update.timestamps.items()},
    }
    return replace(ctx, app=ctx.app.model_copy(update=written))


def _mark_lost(ctx: ReconcileContext) -> EffectGenerator[Result]:
    if ctx.app.status is AppStatus.LOST:
        return Result(None)
    since = first_missed_at(ctx, Reason.PROJECT_MISSING)
    if not ctx.confirmed_missing or since is None or ctx.now < since + 2 * ctx.settle_window:
        text = "Neon returns the project neither as live nor as recoverable; retrying."
        if not ctx.confirmed_missing:
            text = "Neon does not return the project. The next resync checks it again. No action required."
        missing, since = ConditionUpdate("False", Reason.PROJECT_MISSING, text), since or ctx.now
        yield from record_if_changed(ctx, build_status_update(ctx, ready=missing, timestamps={"missing_since": since}))
        return Result(remaining_seconds(ctx, since) if ctx.confirmed_missing else None)
    text = "The project no longer exists at Neon and cannot be recovered. Operator action required."
    yield from record_if_changed(
        ctx, build_status_update(ctx, ready=ConditionUpdate("False", Reason.PROJECT_LOST, text))
    )
    return Result(None)
